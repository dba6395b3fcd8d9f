"""Weights: the round trip is exact; every tensor is accounted for."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, load_file, save_file

from models.bert import bert
from trainer.architectures import table
from trainer.weights import hub, tensors


def tiny(**arguments):
    return bert(50, layers=2, width=32, heads=4, **arguments)


def test_round_trip_is_exact(tmp_path):
    model, other = tiny(seed=1), tiny(seed=2)
    (tmp_path / "model.safetensors").write_bytes(tensors.to_bytes(model))
    assert tensors.load(other, tmp_path) == []
    for one, two in zip(model.get_weights()[:-1], other.get_weights()[:-1], strict=True):
        if one.dtype == np.float32:
            np.testing.assert_array_equal(one, two)
    assert tensors.to_bytes(other) == tensors.to_bytes(model)


def test_round_trip_of_real_weights_is_exact():
    folder = hub.folder_of("minilm")
    config = table.read_config(folder)
    model = bert(config["vocab_size"], **tensors.builder_arguments(config))
    tensors.load(model, folder)
    path = folder / "model.safetensors"
    theirs = load_file(path)
    ours = load(tensors.to_bytes(model))
    assert {name.removeprefix(tensors.ENCODER_PREFIX) for name in ours} == set(theirs) - {"embeddings.position_ids"}
    for name, tensor in ours.items():
        np.testing.assert_array_equal(tensor, theirs[name.removeprefix(tensors.ENCODER_PREFIX)])


def test_tensors_are_accounted_for(tmp_path):
    model = tiny()
    path = tmp_path / "model.safetensors"
    path.write_bytes(tensors.to_bytes(model))
    found = load_file(path)

    save_file(found | {"cls.predictions.bias": np.zeros(50, np.float32)}, path)
    assert tensors.load(model, tmp_path) == ["cls.predictions.bias"]

    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): tensor for name, tensor in found.items()}
    save_file(old, path)
    assert tensors.load(model, tmp_path) == []

    name = "bert.encoder.layer.1.output.dense.weight"
    save_file({key: tensor for key, tensor in found.items() if key != name}, path)
    with pytest.raises(ValueError, match=f"tensor {name} is missing"):
        tensors.load(model, tmp_path)

    save_file(found | {name: np.zeros([32, 7], np.float32)}, path)
    with pytest.raises(ValueError, match=rf"{name} has shape \[32, 7\], expected \[32, 128\]"):
        tensors.load(model, tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2', expected 'bert'"),
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"hidden_size": None}, "hidden_size missing"),
    ],
)
def test_configurations_that_are_not_ours(tmp_path, bert_folder, change, message):
    config = json.loads((bert_folder / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    with pytest.raises(ValueError, match=message):
        table.read_config(tmp_path)
