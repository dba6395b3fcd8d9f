"""LiteRT between the text and the decoding of TensorFlow gives TensorFlow's answers; who answers, and what is refused."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import keras
import numpy as np
import pytest

from models.bert import bert
from serving.export import main
from serving.litert import converted
from serving.server.configuration.settings import Settings
from serving.server.models.apart import MOST_ROWS
from serving.server.models.encoder import Encoder
from serving.server.models.loader import Loader
from serving.server.models.servable import Servable, load
from serving.server.observation import metrics
from serving.server.refusal import Refused
from tests.conftest import encoded
from trainer.architectures.bert import Bert
from trainer.data import files
from trainer.runs.run import Run
from trainer.tasks.table import requests

LITERT = Settings(runtime="litert")
LONG = {"text": "ab 人 . " * 50, "context": "a film and 中国 . " * 20, "question": "good " * 40}


@pytest.fixture(scope="module")
def exports(run_folder, tagging_run, qa_run, tmp_path_factory):
    """Exports of every kind of task, {name: (run, dev file, path, what was said of LiteRT)}; sentiment in int8."""
    folder = tmp_path_factory.mktemp("litert")
    runs = {"sentiment": (run_folder, "txt"), "tagging": (tagging_run, "conllu"), "qa": (qa_run, "json")}
    made = {}
    for name, (run, ending) in runs.items():
        data, options = run.parent / f"dev.{ending}", ["--runtime", "litert"]
        if name == "sentiment":
            options += ["--precision", "int8", "--data", str(data)]
        with redirect_stdout(StringIO()) as printed:
            main([str(run), "--to", str(folder / name), *options])
        said = json.loads(printed.getvalue())
        made[name] = run, data, said["path"], said["litert"]
    return made


@pytest.mark.parametrize("name", ["sentiment", "tagging", "qa"])
def test_answers_are_those_of_tensorflow(exports, name):
    folder, data, path, _ = exports[name]
    tolerance = 0.05 if name == "sentiment" else 1e-5
    task = Run(folder).task
    rows = files.read(data, task, files.ANY if name == "tagging" else None, lines=files.LABELLED)[:20]
    fields = {"qa": ["question", "context"]}.get(name, ["text"])
    rows += [{field: text for field in fields} for text in ("", "👍 ab\t。\u200b")]
    rows.append({field: LONG[field] for field in fields})
    batches = [batch for key in (None, *task.more) for batch in requests(task, rows, 8, key)]
    if name == "tagging":
        batches += requests(task, [{"words": ["a", "\u200b", "b.c", "人"] * 20}, {"words": ["好"]}], 8)
    signature, inputs, _ = batches[0]
    batches.append((signature, {field: values[:0] for field, values in inputs.items()}, []))
    model = load(path, LITERT)
    assert model._most == MOST_ROWS
    for signature, inputs, _ in batches:
        model._most = MOST_ROWS
        answered = model.predict(signature, encoded(inputs))
        model._most = 0
        expected = model.predict(signature, encoded(inputs))
        for output, value in expected.items():
            if value.dtype == object:
                np.testing.assert_array_equal(answered[output], value)
            else:
                np.testing.assert_allclose(answered[output], value, atol=tolerance, rtol=1e-5)


def test_int8_is_smaller_and_scores_alike(exports):
    _, _, path, said = exports["sentiment"]
    fp32 = sum(file.stat().st_size for file in Path(path, "variables").glob("variables.data*"))
    assert said["precision"] == "int8" and said["bytes"] < 0.8 * fp32
    assert exports["qa"][3].keys() == {"precision", "bytes"} and exports["qa"][3]["precision"] == "fp32"
    before, after = said["scores"]["tensorflow fp32"], said["scores"]["litert int8"]
    assert before["examples"] == after["examples"] == 40 and before["loss"] != after["loss"]
    assert abs(before["accuracy"] - after["accuracy"]) <= 0.05 and abs(before["loss"] - after["loss"]) < 0.05


def test_either_runtime_answers_and_it_is_said(exports, capsys):
    _, _, path, _ = exports["sentiment"]
    texts = np.array([b"a good film", "坏 片".encode()] * 30, object)
    model = Loader(Settings()).load(path, "sentiment version 1")
    assert re.match(r"sentiment version 1: (LiteRT|TensorFlow) answers .* sentences: ", capsys.readouterr().err)
    expected = Servable.run(model, "serving_default", {"text": texts}, ["label", "probabilities"])
    for most, runtime in ((1, "tensorflow"), (60, "litert")):
        model._most, before = most, set(metrics.RUNS.lines())
        answered = model.predict("serving_default", {"text": texts})
        (counted,) = set(metrics.RUNS.lines()) - before
        assert f'runtime="{runtime}"' in counted
        assert answered["label"].tolist() == expected["label"].tolist()
        np.testing.assert_allclose(answered["probabilities"], expected["probabilities"], atol=0.05)
    with pytest.raises(Refused, match="not compatible with expected shape"):
        model.predict("serving_default", {"text": np.array([[b"a"]], object)})


def test_parts_that_cannot_be_used_leave_tensorflow(exports, tmp_path):
    _, _, path, _ = exports["sentiment"]
    version = shutil.copytree(path, tmp_path / "1")
    encoder = version / "assets.extra" / "litert" / "encoder.tflite"
    whole = encoder.read_bytes()
    encoder.write_bytes(whole[: len(whole) // 2])
    model = load(version, Settings())
    assert model.note.startswith("TensorFlow answers, for LiteRT cannot: assets.extra/litert: ")
    assert "\n" not in model.note
    answered = model.predict("serving_default", {"text": np.array([b"a good film"], object)})
    assert answered["label"].shape == (1,)
    with pytest.raises(ValueError, match=r"^LiteRT cannot answer, as --runtime says: assets\.extra/litert: .*$"):
        load(version, LITERT)
    plain = load(version, Settings(runtime="tensorflow"))
    assert type(plain) is Servable and not plain.note


def test_a_classifier_hands_nothing_from_text_to_decoding(exports):
    _, _, path, _ = exports["sentiment"]
    signatures = load(path, LITERT)._parts.signatures
    assert {*signatures["serving_default_text"].outputs} == {"lengths", "sequences_token_ids", "sequences_segment_ids"}
    assert [*signatures["serving_default_decode"].inputs] == ["outputs"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_layers_do_not_cut_the_graph(precision):
    """Each part of it that XNNPACK computes wakes the threads anew."""

    def parts(layers):
        encoder = bert(20, layers=layers, width=32, heads=2, joined=True, pooled_only=True)
        content = converted(keras.Model(encoder.input, encoder.output["pooled"]), precision)
        interpreter = Encoder(content, 1)._idle[1][0]._interpreter
        interpreter.allocate_tensors()
        return sum(operation["op_name"] == "DELEGATE" for operation in interpreter._get_ops_details())

    assert parts(1) == parts(3) > 0


def test_sequences_at_once_are_those_one_by_one(exports):
    _, _, path, _ = exports["tagging"]
    content = (Path(path) / "assets.extra" / "litert" / "encoder.tflite").read_bytes()
    random = np.random.default_rng(0)
    lengths = random.integers(2, 17, 24)
    sequences = {"token_ids": random.integers(5, 40, [24, 16], np.int32), "segment_ids": np.zeros([24, 16], np.int32)}
    single, several = Encoder(content, 1), Encoder(content, 3)
    expected = single(sequences, lengths)
    assert expected.shape[0] == lengths.sum()
    with ThreadPoolExecutor(6) as pool:
        for answered in pool.map(lambda _: several(sequences, lengths), range(12)):
            np.testing.assert_allclose(answered, expected, atol=1e-5)


def test_what_cannot_be_taken_apart_is_one_line(run_folder, tmp_path, monkeypatch, capsys):
    def refused(*arguments):
        with pytest.raises(SystemExit) as end:
            main([*arguments, "--to", str(tmp_path / "model")])
        assert end.value.code == 2
        return capsys.readouterr().err

    assert "--precision: expected --runtime litert" in refused(str(run_folder), "--precision", "int8")
    assert "no-such-file" in refused(str(run_folder), "--runtime", "litert", "--data", "no-such-file.txt")
    line = refused("nano", "--runtime", "litert")
    assert "--runtime litert: expected a run of a task, received one of fill_mask" in line and line.count("\n") == 1
    monkeypatch.setattr(Bert, "joined", None)
    assert "expected a model that reads each text by itself (BERT), received BERT" in refused(
        str(run_folder), "--runtime", "litert"
    )
    assert not any(path.name != "model" for path in tmp_path.iterdir()) and not [*(tmp_path / "model").glob("*")]
