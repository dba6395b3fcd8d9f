"""Weights of BERT on disk: a Hugging Face folder (`config.json`, `model.safetensors`, `vocab.txt`) <-> our layers.

One table of names serves both ways: `names(layers)`. Hugging Face keeps kernels transposed ([out, in]) and queries, keys
and values apart; we hold them side by side in one kernel.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

ENCODER_PREFIX = "bert."  # before the encoder's names in a model with a head; absent in a bare `BertModel`

# Hugging Face's `config.json` -> arguments of `models.bert.bert`
ARGUMENTS = {
    "num_hidden_layers": "layers",
    "hidden_size": "width",
    "num_attention_heads": "heads",
    "intermediate_size": "feed_forward",
    "max_position_embeddings": "positions",
    "type_vocab_size": "segments",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "layer_norm_eps": "epsilon",
}
ACTIVATIONS = ("gelu", "relu", "silu")  # of the same name and meaning in Keras


def names(layers):
    """Returns {(our layer, our variable): names of the tensors that it is made of, side by side}, of the encoder."""
    table = {
        ("token_embedding", "embeddings"): ["embeddings.word_embeddings.weight"],
        ("segment_embedding", "embeddings"): ["embeddings.token_type_embeddings.weight"],
        ("position_embedding", "embeddings"): ["embeddings.position_embeddings.weight"],
        **_norm("embedding_norm", "embeddings.LayerNorm"),
    }
    for i in range(layers):
        ours, theirs = f"layer_{i}", f"encoder.layer.{i}"
        attention = [f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")]
        table |= _dense(f"{ours}_attention_qkv", *attention)
        table |= _dense(f"{ours}_attention_output", f"{theirs}.attention.output.dense")
        table |= _norm(f"{ours}_attention_norm", f"{theirs}.attention.output.LayerNorm")
        table |= _dense(f"{ours}_feed_forward_inner", f"{theirs}.intermediate.dense")
        table |= _dense(f"{ours}_feed_forward_output", f"{theirs}.output.dense")
        table |= _norm(f"{ours}_feed_forward_norm", f"{theirs}.output.LayerNorm")
    return table | _dense("pooler", "pooler.dense")


def _dense(ours, *theirs):
    return {(ours, "kernel"): [f"{t}.weight" for t in theirs], (ours, "bias"): [f"{t}.bias" for t in theirs]}


def _norm(ours, theirs):
    return {(ours, "gamma"): [f"{theirs}.weight"], (ours, "beta"): [f"{theirs}.bias"]}


def table_of(model):
    """Returns the table of all weights of `model`: the encoder's names with their prefix, and the heads that it has."""
    layers = 1 + max(int(layer.name.split("_")[1]) for layer in model.layers if layer.name.startswith("layer_"))
    table = {key: [ENCODER_PREFIX + name for name in theirs] for key, theirs in names(layers).items()}
    if any(layer.name == "classifier" for layer in model.layers):
        table |= _dense("classifier", "classifier")
    return table


def read_config(folder):
    """Returns the parsed `config.json` of a folder of type `bert`.

    Raises:
        FileNotFoundError, ValueError: no such file; another model type; a setting that this BERT does not have.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not found; expected a Hugging Face folder with config.json, model.safetensors, vocab.txt"
        )
    config = read_json(path)
    for key, supported in (
        ("model_type", ["bert"]),
        ("position_embedding_type", ["absolute", None]),
        ("hidden_act", ACTIVATIONS),
    ):
        if config.get(key) not in supported:
            raise ValueError(f"{path}: {key} is {config.get(key)!r}, expected {supported[0]!r}")
    missing = [key for key in ("vocab_size", *ARGUMENTS) if key not in config]
    if missing:
        raise ValueError(f"{path}: {', '.join(missing)} missing")
    return config


def read_json(path):
    """Returns the JSON object that a file holds.

    Raises:
        OSError, ValueError: It cannot be read; it holds something else.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, found {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def builder_arguments(config):
    """Returns the keyword arguments of `models.bert.bert` that a `config.json` describes."""
    return {ours: config[theirs] for theirs, ours in ARGUMENTS.items()}


def load(model, path, *, ignore=()):
    """Sets every weight of `model` from a `model.safetensors`, with or without the encoder's prefix.

    Args:
        model: A model of `models.bert`, with or without a head.
        path: The file.
        ignore: Names of our layers (a new head) that the file need not have; they keep their values.

    Returns:
        The names of the tensors in the file that were not used.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a tensor is missing, or has another shape than the model's; names it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: not found; expected the weights in safetensors form")
    try:
        file = safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(
            f"{path}: expected the weights in safetensors form, found another file or a part ({error})"
        ) from None
    with file:
        found = {_modern(name): name for name in list(file.keys())}
        bare = not any(name.startswith(ENCODER_PREFIX) for name in found)
        used = set()

        def read(name):
            name = name.removeprefix(ENCODER_PREFIX) if bare else name
            if name not in found:
                raise ValueError(f"{path}: tensor {name} is missing ({len(found)} others are there)")
            used.add(name)
            tensor = file.get_tensor(found[name]).astype(np.float32)
            return name, tensor.T if tensor.ndim == 2 and "embeddings." not in name else tensor

        for (layer, attribute), theirs in table_of(model).items():
            if layer in ignore:
                continue
            variable = getattr(model.get_layer(layer), attribute)
            parts = [read(name) for name in theirs]
            wanted = (*variable.shape[:-1], variable.shape[-1] // len(parts))
            for name, part in parts:
                if part.shape != wanted:
                    transposed = part.ndim == 2 and "embeddings." not in name
                    shapes = [list(s)[::-1] if transposed else list(s) for s in (part.shape, wanted)]
                    raise ValueError(f"{path}: tensor {name} has shape {shapes[0]}, expected {shapes[1]}")
            variable.assign(np.concatenate([part for _, part in parts], axis=-1))
    return sorted(found[name] for name in found.keys() - used)


def _modern(name):
    """Old conversions of Google's weights call the scale and shift of layer normalisation gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def to_bytes(model):
    """Returns all weights of `model` as the content of a `model.safetensors` that `transformers` opens."""
    tensors = {}
    for (layer, attribute), theirs in table_of(model).items():
        value = np.asarray(getattr(model.get_layer(layer), attribute))
        for name, part in zip(theirs, np.split(value, len(theirs), axis=-1), strict=True):
            tensors[name] = np.ascontiguousarray(part.T if attribute == "kernel" else part)
    return save(tensors, metadata={"format": "pt"})
