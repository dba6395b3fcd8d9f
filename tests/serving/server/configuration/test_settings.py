"""Flags and files about how models are loaded and run: what they do, and one line for those that cannot be."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.configuration.flags import parse
from serving.server.configuration.settings import settings_of
from serving.server.models.model import AVAILABLE, END, Model
from serving.server.models.servable import Servable
from serving.server.models.versions import Models
from serving.server.refusal import Refused
from tests.conftest import ROOT
from tests.serving.saved import save_half_plus_two

PLATFORM = """
platform_configs { key: "tensorflow" value { source_adapter_config {
  [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] { legacy_config {
    session_config { intra_op_parallelism_threads: 3 } saved_model_tags: "a" saved_model_tags: "b"
    batching_parameters { max_batch_size { value: 7 } num_batch_threads { value: 2 } }
    model_warmup_options { num_request_iterations { value: 4 } } } } } } }
"""


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "platform": PLATFORM,
        "other": 'platform_configs { key: "jax" }',
        "empty": 'platform_configs { key: "tensorflow" value {} }',
        "batching": "max_batch_size { value: 16 } batch_timeout_micros { value: 500 }",
        "sizes": "allowed_batch_sizes: [1, 2]",
        "session": "inter_op_parallelism_threads: 2 gpu_options { allow_growth: true }",
        "broken": "max_batch_size { valeu: 1 }",
    }.items():
        (tmp_path / name).write_text(text)
    return lambda *flags: settings_of(parse(["--model_base_path=m", *flags], None))


def test_defaults(settings):
    found = settings()
    assert (found.tags, found.warm_ups, found.retries) == (("serve",), 1, 0)
    assert not found.bundle.HasField("batching_parameters") and not found.session.ByteSize()


def test_a_session(settings):
    session = settings("--tensorflow_intra_op_parallelism=2", "--tensorflow_inter_op_parallelism=5").session
    assert (session.intra_op_parallelism_threads, session.inter_op_parallelism_threads) == (2, 5)
    session = settings("--tensorflow_session_parallelism=3", "--tensorflow_session_config_file=session").session
    assert (session.intra_op_parallelism_threads, session.inter_op_parallelism_threads) == (3, 3)
    assert session.gpu_options.allow_growth
    session = settings("--mixed_precision=bfloat16", "--per_process_gpu_memory_fraction=0.5").session
    assert session.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 == 1
    assert session.gpu_options.per_process_gpu_memory_fraction == 0.5


def test_a_platform_file_replaces_the_flags(settings):
    found = settings("--platform_config_file=platform", "--tensorflow_intra_op_parallelism=1")
    assert found.tags == ("a", "b") and found.session.intra_op_parallelism_threads == 3
    assert found.bundle.batching_parameters.max_batch_size.value == 7
    assert found.warm_ups == 0  # false if it is not written, as in TensorFlow Serving


WRONG = {
    "--batching_parameters_file=batching": "--batching_parameters_file is set without setting --enable_batching to true",
    "--enable_batching --batching_parameters_file=away": "away: cannot be read (No such file or directory)",
    "--enable_batching --batching_parameters_file=broken": 'has no field named "valeu"',
    "--enable_batching --batching_parameters_file=sizes": "last entry was 2; expected 1000",
    "--tensorflow_session_parallelism=1 --tensorflow_intra_op_parallelism=1 --tensorflow_inter_op_parallelism=1": "received all three",
    "--tensorflow_session_config_file=batching": "Error parsing text-format tensorflow.ConfigProto",
    "--mixed_precision=float16": "expected a mixed precision of bfloat16, received float16",
    "--platform_config_file=other": "expected platform_configs with the key tensorflow, found ['jax']",
    "--platform_config_file=empty": "expected a tensorflow.serving.SavedModelBundleSourceAdapterConfig, found nothing",
    "--per_process_gpu_memory_fraction=1.5": "expected 0 to 1, received 1.5",
    "--num_load_threads=-1": "--num_load_threads: expected 0 to 1024, received -1",
}  # fmt: skip


@pytest.mark.parametrize("flags", WRONG)
def test_one_line(settings, flags, capsys):
    with pytest.raises(SystemExit) as stop:
        settings(*flags.split())
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.count("\n") == 1 and WRONG[flags] in err


@pytest.fixture(scope="module")
def half_plus_two(tmp_path_factory):
    return save_half_plus_two(tmp_path_factory.mktemp("half") / "1")


def record(x, signature="serving_default"):
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.array(x, np.float32)))
    return log.SerializeToString()


def test_warm_up(settings, half_plus_two, tmp_path, monkeypatch):
    """As often as asked for; a failing request fails the load, unless none are run."""
    tf.io.gfile.makedirs("ram://warm")
    tf.io.gfile.copy(str(half_plus_two / "saved_model.pb"), "ram://warm/1/saved_model.pb")
    for file in (half_plus_two / "variables").iterdir():
        tf.io.gfile.copy(str(file), f"ram://warm/1/variables/{file.name}")
    ran = []
    original = Servable.run
    monkeypatch.setattr(Servable, "run", lambda self, *arguments: ran.append(1) or original(self, *arguments))
    requests = "ram://warm/1/assets.extra/tf_serving_warmup_requests"
    tf.io.gfile.makedirs("ram://warm/1/assets.extra")
    with tf.io.TFRecordWriter(requests) as writer:
        writer.write(record([[1.0]]))
    Servable("ram://warm/1", settings("--num_request_iterations_for_warmup=3"))
    assert len(ran) == 3
    with tf.io.TFRecordWriter(requests) as writer:
        writer.write(record([[1.0]], "away"))
    with pytest.raises(Refused, match='Serving signature key "away" not found'):
        Servable("ram://warm/1", settings())
    Servable("ram://warm/1", settings("--enable_model_warmup=false")).close()


def test_models_of_another_file_system(settings, half_plus_two, capsys):
    """Versions come and go, and the configuration is read, where `tf.io.gfile` finds them."""

    def write(version):
        for source in half_plus_two.rglob("*"):
            if source.is_file():
                target = f"ram://store/half/{version}/{source.relative_to(half_plus_two)}"
                tf.io.gfile.makedirs(target.rpartition("/")[0])
                tf.io.gfile.copy(str(source), target)

    write(3)
    tf.io.gfile.makedirs("ram://store/half/latest")
    with tf.io.gfile.GFile("ram://store/models.config", "w") as file:
        file.write('model_config_list { config { name: "m" base_path: "ram://store/half" } }')
    from serving.server.configuration.model_config import read_models

    options = parse(["--model_config_file=ram://store/models.config"], None)
    models = Models(read_models(options))
    models.update()
    assert {n: version.state for n, version in models.status("m")} == {3: AVAILABLE}
    write(12)
    models.update()
    assert {n: version.state for n, version in models.status("m")} == {12: AVAILABLE, 3: END}
    (output,) = (
        models.models["m"]
        .versions[12]
        .servable.predict("serving_default", {"x": np.array([[2.0]], np.float32)})
        .values()
    )
    assert output == [[3.0]]
    tf.io.gfile.makedirs("ram://store/half/13")
    with tf.io.gfile.GFile("ram://store/half/13/saved_model.pb", "w") as file:
        file.write("not a graph")
    models.update()
    models.update()
    assert {n: version.state for n, version in models.status("m")} == {13: END, 12: AVAILABLE, 3: END}
    assert capsys.readouterr().err.count("m version 13: not loaded from ram://store/half/13") == 1
    assert Model("m", f"file://{half_plus_two.parent}").aspired() == {1: str(half_plus_two)}
    for path, said in {"ram://away": "No versions of servable m found", "nowhere://x": "nowhere://x cannot be read (File system scheme 'nowhere' not implemented"}.items():  # fmt: skip
        with pytest.raises(SystemExit):
            read_models(parse(["--model_name=m", f"--model_base_path={path}"], None))
        assert said in capsys.readouterr().err


def test_tags(settings, tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        info = v1.saved_model.utils.build_tensor_info
        signature = v1.saved_model.signature_def_utils.build_signature_def({"x": info(x)}, {"y": info(x + 1)})
        builder = v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "1"))
        builder.add_meta_graph_and_variables(session, ["serve", "gpu"], {"serving_default": signature})
        builder.save()
    tagged = Servable(tmp_path / "1", settings("--saved_model_tags=gpu,serve"))
    assert tagged.predict("serving_default", {"x": np.array([1.0], np.float32)})["y"] == [2.0]
    with pytest.raises(RuntimeError, match="'serve'"):
        Servable(tmp_path / "1", settings())


XLA = """
import sys
from serving.server.quiet import import_tensorflow_quietly
import_tensorflow_quietly()
import numpy as np, tensorflow as tf
from serving.server.refusal import Refused
from serving.server.models.servable import Servable
from serving.server.configuration.settings import disable_xla
module = tf.Module()
module.f = tf.function(lambda x: {"y": x * 2}, input_signature=[tf.TensorSpec([None], tf.float32, name="x")], jit_compile=True)
tf.saved_model.save(module, sys.argv[1], signatures=module.f.get_concrete_function())
x = {"x": np.array([1.5], np.float32)}
print(Servable(sys.argv[1]).predict("serving_default", x)["y"])
disable_xla()
try:
    print(Servable(sys.argv[1]).predict("serving_default", x))
except Refused as refusal:
    print(refusal.code, refusal.message)
"""


def test_xla_is_refused_unless_asked_for(tmp_path):
    output = subprocess.run([sys.executable, "-c", XLA, tmp_path / "1"], cwd=ROOT, capture_output=True, text=True)
    assert output.stdout.splitlines()[0] == "[3.]", output.stderr
    assert output.stdout.splitlines()[1].startswith("INTERNAL XLA compilation disabled")


def test_per_model_parameters(settings, half_plus_two, tmp_path, capsys):
    for name, text in {
        "batched": "max_batch_size { value: 3 }",
        "single": None,
        "wrong": "allowed_batch_sizes: [9]",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "1").symlink_to(half_plus_two)
        if text:
            version = tmp_path / name / "2"
            version.mkdir()
            for entry in half_plus_two.iterdir():
                (version / entry.name).symlink_to(entry)
            (version / "batching_params.pbtxt").write_text(text)
    models = Models(
        [Model(name, tmp_path / name) for name in ("batched", "single", "wrong")],
        settings("--enable_batching", "--enable_per_model_batching_parameters"),
    )
    models.update()
    queues = {
        name: model.versions[max(model.available())].servable.queue
        for name, model in models.models.items()
        if model.available()
    }
    assert set(queues) == {"batched", "single"} and queues["single"] is None
    assert queues["batched"].parameters.most == 3
    assert (
        "wrong version 2: not loaded" in (err := capsys.readouterr().err) and "last entry was 9; expected 1000" in err
    )


def test_the_text_of_a_platform_file_is_upstreams():
    from tensorflow_serving.config import platform_config_pb2

    assert text_format.Parse(PLATFORM, platform_config_pb2.PlatformConfigMap()).platform_configs["tensorflow"]
