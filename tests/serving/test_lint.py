"""What the stock images lack of a SavedModel."""

import subprocess
import sys

import pytest
import tensorflow as tf
import tensorflow_text as text

from serving import lint
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """Returns the base path of a model with ops and attributes newer than TensorFlow 2.12, in a function and outside."""
    module = tf.Module()
    module.values = tf.Variable([1.0, 2.0])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text"), tf.TensorSpec([None, 1], tf.int32)])
    def serve(words, places):
        split = tf.ragged.constant([["a", "b"], ["c"]])
        trimmed = text.RoundRobinTrimmer(1).trim([split, split])[0].to_tensor()
        picture = tf.map_fn(lambda word: tf.io.decode_webp(word), words, fn_output_signature=tf.uint8)
        values = tf.gather_nd(module.values, places, bad_indices_policy="IGNORE")
        return {"y": trimmed, "picture": picture, "values": values}

    module.serve = serve
    base = tmp_path_factory.mktemp("newer")
    tf.saved_model.save(module, str(base / "7"), signatures=serve)
    return base


@pytest.mark.parametrize("target", ["2.10.0", "2.12.1", "2.19.1", "2.20.0", None])
def test_our_exports_load(export_folder, target):
    assert lint.check(export_folder, target) == (export_folder / "1", [])


def test_image_without_the_tokenizer(export_folder):
    _, problems = lint.check(export_folder / "1", "2.9.3")
    assert "lacks op FastWordpieceTokenizeWithOffsets (first in 2.10.0)" in problems


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("2.20.0", []),
        ("2.19.1", ["lacks op DecodeWebP (first in 2.20.0)", "lacks op TFText>RoundRobinTrim (first in 2.20.0)"]),
        (
            "2.12.1",
            [
                "lacks op DecodeWebP (first in 2.20.0)",
                "ignores attribute bad_indices_policy of op GatherNd (first in 2.17.0)",
                "lacks op TFText>RoundRobinTrim (first in 2.20.0)",
            ],
        ),
    ],
)
def test_newer_ops(newer, target, expected):
    assert lint.check(newer, target) == (newer / "7", expected)


def test_every_op_of_the_newest_image_is_known_by_the_version_that_has_it():
    last = len(lint.images()) - 1
    assert {"MatMul", "VarHandleOp", "TFText>Utf8Binarize", "SimpleMLInferenceOpWithHandle"} <= lint._known(last).keys()
    assert "grad_a" in lint._known(last)["MatMul"] and "grad_a" not in lint._known(lint.number_of("2.15.1"))["MatMul"]
    assert "SimpleMLInferenceOpWithHandle" not in lint._known(lint.number_of("2.10.1"))


def saved(folder, function):
    module = tf.Module()
    module.serve = tf.function(function, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def test_what_no_image_runs(tmp_path):
    compiled = tf.function(lambda x: x + 1, jit_compile=True)
    python = lambda x: tf.numpy_function(lambda x: x + 1, [x], tf.float32)
    folder = saved(tmp_path / "1", lambda x: {"y": compiled(x), "z": python(x)})
    assert lint.check(folder)[1] == [
        "runs no Python, as op PyFunc would",
        "needs its flag --xla_cpu_compilation_enabled, for jit_compile",
    ]


def changed(folder, change):
    """Changes the SavedModel of a folder."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = folder / "saved_model.pb"
    model = SavedModel.FromString(path.read_bytes())
    change(model.meta_graphs[0])
    path.write_bytes(model.SerializeToString())


def test_graph_and_files(tmp_path):
    folder = saved(tmp_path / "1", lambda x: {"y": x + 1})

    def change(graph):
        graph.graph_def.versions.min_consumer = 1600
        graph.graph_def.versions.bad_consumers.append(2288)
        graph.asset_file_def.add(filename="words.txt")
        graph.graph_def.node.add(name="unknown", op="OurOwn")
        added = graph.graph_def.node.add(name="old", op="Range")
        added.attr["Tidx"].type = 23

    changed(folder, change)
    assert lint.check(folder, "2.14.1")[1] == [
        "does not read graphs of version 1600, reads up to 1575 (first in 2.15.1)",
        "looks for the file assets/words.txt, found none",
        "lacks op OurOwn (in none up to 2.20.0)",
        "lacks type uint64 of attribute Tidx of op Range (first in 2.20.0)",
    ]
    assert "is one that the graph excludes, graph version 2288" in lint.check(folder, "2.20.0")[1]
    changed(folder, lambda graph: graph.meta_info_def.tags.append("gpu"))
    assert lint.check(folder)[1] == ["looks for a graph with the tag serve alone, found {serve gpu}"]


def test_attribute_with_its_default_is_no_problem(tmp_path):
    folder = saved(tmp_path / "1", lambda x: {"y": tf.linalg.matmul(x[None], x[:, None])})

    def change(graph, value):
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "MatMul":
                    node.attr["grad_a"].b = value

    changed(folder, lambda graph: change(graph, False))
    assert lint.check(folder, "2.14.1")[1] == []
    changed(folder, lambda graph: change(graph, True))
    assert lint.check(folder, "2.14.1")[1] == ["ignores attribute grad_a of op MatMul (first in 2.16.1)"]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "serving.lint", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


def test_command_line(newer, tmp_path):
    clean, lacking = command(newer), command(newer / "7", "--target=2.19.1")
    assert (clean.returncode, clean.stdout) == (0, f"{newer}/7: tensorflow/serving:2.20.0 has all that it needs\n")
    assert lacking.returncode == 1
    assert lacking.stdout.splitlines()[1] == (
        f"{newer}/7: tensorflow/serving:2.19.1 lacks op TFText>RoundRobinTrim (first in 2.20.0)"
    )
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 9)
    for arguments, expected in (
        ([newer, "--target=2.12.9"], "--target: expected one of 2.8.0, "),
        ([tmp_path / "nowhere"], "nowhere: cannot be read (No such file or directory)"),
        ([newer.parent], "saved_model.pb: expected a SavedModel, cannot be read"),
        ([tmp_path], "saved_model.pb: expected a SavedModel, found something else"),
        ([], "the following arguments are required: DIR"),
    ):
        wrong = command(*arguments)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert wrong.stderr.count("\n") == 1 and expected in wrong.stderr


def test_needs_no_tensorflow():
    code = "import sys, serving.lint; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
