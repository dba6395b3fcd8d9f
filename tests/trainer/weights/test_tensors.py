"""Weights: the round trip is exact; every tensor is accounted for."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, load_file, save_file

from models.bert import bert
from tests.conftest import encoder_of
from trainer.architectures import table
from trainer.architectures.bert import Bert
from trainer.weights import hub
from trainer.weights.bert import PREFIX

BERT = Bert()


def tiny(**arguments):
    return bert(50, layers=2, width=32, heads=4, **arguments)


def test_round_trip_is_exact(tmp_path):
    model, loaded = tiny(seed=1), tiny(seed=2)
    (tmp_path / "model.safetensors").write_bytes(BERT.to_bytes(model))
    assert BERT.load(loaded, tmp_path) == []
    for before, after in zip(model.get_weights()[:-1], loaded.get_weights()[:-1], strict=True):
        if before.dtype == np.float32:
            np.testing.assert_array_equal(before, after)
    assert BERT.to_bytes(loaded) == BERT.to_bytes(model)


def test_round_trip_of_real_weights_is_exact():
    folder = hub.folder_of("minilm")
    published = load_file(folder / "model.safetensors")
    written = load(BERT.to_bytes(encoder_of(folder)[0]))
    assert {name.removeprefix(PREFIX) for name in written} == set(published) - {"embeddings.position_ids"}
    for name, tensor in written.items():
        np.testing.assert_array_equal(tensor, published[name.removeprefix(PREFIX)])


def test_tensors_are_accounted_for(tmp_path):
    model = tiny()
    path = tmp_path / "model.safetensors"
    path.write_bytes(BERT.to_bytes(model))
    written = load_file(path)

    save_file(written | {"cls.predictions.bias": np.zeros(50, np.float32)}, path)
    assert BERT.load(model, tmp_path) == ["cls.predictions.bias"]

    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): tensor for name, tensor in written.items()}
    save_file(old, path)
    assert BERT.load(model, tmp_path) == []

    name = "bert.encoder.layer.1.output.dense.weight"
    save_file({key: tensor for key, tensor in written.items() if key != name}, path)
    with pytest.raises(ValueError, match=f"tensor {name} is missing"):
        BERT.load(model, tmp_path)

    save_file(written | {name: np.zeros([32, 7], np.float32)}, path)
    with pytest.raises(ValueError, match=rf"{name} has shape \[32, 7\], expected \[32, 128\]"):
        BERT.load(model, tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "roberta"}, "model_type is 'roberta', expected 'bert'"),
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"hidden_size": None}, "hidden_size missing"),
    ],
)
def test_configurations_that_are_not_ours(tmp_path, bert_folder, change, message):
    config = json.loads((bert_folder / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    with pytest.raises(ValueError, match=message):
        table.read(tmp_path)
