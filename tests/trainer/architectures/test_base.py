"""An architecture needs little of its own: a toy, whose row is added for these tests, goes the whole way."""

import json
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import pytest
from keras import ops
from safetensors.numpy import load_file

from models.layers import embedding
from serving.export import export
from tests.conftest import VOCABULARY, answers_of_export, cli, write_examples, write_questions
from trainer.architectures import base, table
from trainer.architectures.bert import Bert
from trainer.runs.run import Run
from trainer.tasks.table import TASKS


def toy(vocabulary_size, *, width=16, dropout=0.1, pooled_only=False, seed=0):
    token_ids = keras.Input([None], dtype="int32", name="token_ids")
    segment_ids = keras.Input([None], dtype="int32", name="segment_ids")
    mask = keras.Input([None], dtype="bool", name="mask")
    x = embedding(vocabulary_size, width, "token_embedding")(token_ids)
    x = keras.layers.Dropout(dropout, seed=1000 * seed)(x)
    weights = ops.cast(mask, x.dtype)[:, :, None]
    pooled = ops.sum(x * weights, axis=1) / ops.sum(weights, axis=1)
    inputs = {"token_ids": token_ids, "segment_ids": segment_ids, "mask": mask}
    return keras.Model(inputs, {"pooled": pooled} if pooled_only else {"pooled": pooled, "hidden_states": [x]})


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    width: int = 16


class Toy(base.Architecture[Config]):
    name, title = "toy", "toy model"
    builder = toy
    config_class = Config
    gives = ("pooled", "hidden_states")
    sizes: ClassVar = {"toy": {}, "wide": {"width": 64}}


@pytest.fixture(autouse=True)
def with_a_row(monkeypatch):
    monkeypatch.setitem(table.ARCHITECTURES, "toy", Toy())


@pytest.fixture
def options(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    train = write_examples(tmp_path / "train.txt", 128)
    options = {"train": train, "dev": train, "vocabulary": tmp_path / "vocab.txt", "out": tmp_path / "run"}
    return options | {"epochs": 8, "learning_rate": 0.03}


def finetune(capsys, task, options):
    return cli(capsys, "finetune", task, *[f"--{name}={value}" for name, value in options.items()])


def test_from_a_file_to_an_export(options, capsys, tmp_path):
    status, out, err = finetune(
        capsys, "sentiment", options | {"model": "toy-wide", "dropout": 0.2, "layer_decay": 0.9}
    )
    assert status == 0, err
    result = json.loads(out)
    assert result["model"] == "toy" and result["final"]["accuracy"] > 0.9
    config = json.loads((options["out"] / "config.json").read_text())
    assert (config["model_type"], config["width"], config["dropout"]) == ("toy", 64, 0.2)
    assert {*load_file(options["out"] / "model.safetensors")} == {
        "token_embedding/embeddings", "classifier/kernel", "classifier/bias",
    }  # fmt: skip
    assert finetune(capsys, "sentiment", options | {"model": "toy-wide", "dropout": 0.2, "layer_decay": 0.9})[1] == out
    rows = [{"text": text} for text in ("a good film", "坏 片", "")]
    _, out, _ = cli(capsys, "predict", options["out"], "--text", *[row["text"] for row in rows])
    predicted = [json.loads(line) for line in out.splitlines()]
    assert [row["label"] for row in predicted[:2]] == ["positive", "negative"]
    export(options["out"], tmp_path / "export")
    assert answers_of_export(tmp_path / "export" / "1", TASKS["sentiment"], rows, 2) == predicted


def test_another_run_begins_with_its_weights(options, capsys, tmp_path):
    assert finetune(capsys, "sentiment", options | {"model": "toy", "epochs": 1})[0] == 0
    del options["vocabulary"]
    again = options | {"init": options["out"], "out": tmp_path / "again", "freeze": "embeddings", "epochs": 1}
    status, _, err = finetune(capsys, "classification", again)
    assert status == 0 and "new: classifier; in the file but not used: classifier/bias, classifier/kernel" in err
    before, after = (load_file(folder / "model.safetensors") for folder in (options["out"], again["out"]))
    np.testing.assert_array_equal(before["token_embedding/embeddings"], after["token_embedding/embeddings"])
    status, _, err = finetune(capsys, "sentiment", again | {"out": tmp_path / "deep", "freeze": 1})
    assert status == 2 and "--freeze: expected embeddings (this model has no layers), received 1" in err


def test_what_it_lacks_is_said(options, capsys, tmp_path):
    questions = write_questions(tmp_path / "a.json", 8)
    wrong = options | {"model": "toy", "train": questions, "dev": questions}
    status, out, err = finetune(capsys, "qa", wrong)
    assert (status, out) == (2, "") and not options["out"].exists()
    message = "qa: expected a model that reads two texts; toy model does not"
    assert err.splitlines()[-1].endswith(message)
    status, _, err = finetune(capsys, "sentiment", options | {"model": "toy-huge"})
    assert (
        status == 2
        and "--model: expected one of bag, rnn, lstm, gru, bilstm, bigru, transformer, transformer-base, seq2seq, seq2seq-attention, transformer-seq2seq, transformer-seq2seq-base, elmo, elmo-original, gpt, gpt2, tiny"
        in err
    )
    assert finetune(capsys, "sentiment", options | {"model": "toy", "epochs": 1})[0] == 0
    status, _, err = cli(capsys, "export_hf", options["out"], "--to", tmp_path / "given-away")
    assert status == 2 and "expected a run of a model that transformers has, found toy model" in err
    path = options["out"] / "config.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "width"}))
    status, _, err = cli(capsys, "predict", options["out"], "--text", "a")
    assert status == 2 and err.splitlines()[-1].endswith("config.json: width missing")


def test_settings_go_both_ways(run_folder):
    for architecture, config in ((Toy(), Config(vocabulary_size=9, width=3, dropout=0.5)), (Bert(), None)):
        if config is None:
            _, config = table.read(run_folder)
        settings = json.loads(json.dumps(architecture.to_settings(config)))
        assert architecture.from_settings(settings, run_folder) == config
    assert settings["hidden_size"] == 32 and settings["id2label"] == {"0": "negative", "1": "positive"}
    assert Run(run_folder).settings == settings
