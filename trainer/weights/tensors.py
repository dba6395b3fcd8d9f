"""Weights of BERT: tensors by Hugging Face's names (a folder of `trainer.weights.pretrained`) <-> our layers.

One table of names serves both ways: `names(layers)`. Hugging Face keeps kernels transposed ([out, in]) and queries, keys
and values apart; we hold them side by side in one kernel.
"""

import numpy as np
from safetensors.numpy import save

from trainer.weights import pretrained

ENCODER_PREFIX = "bert."  # before the encoder's names in a model with a head; absent in a bare `BertModel`


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
    own = {layer.name for layer in model.layers}
    layers = 1 + max(int(name.split("_")[1]) for name in own if name.startswith("layer_"))
    table = {key: [ENCODER_PREFIX + name for name in theirs] for key, theirs in names(layers).items()}
    heads = ("classifier", "qa_outputs")
    for head in heads:
        table |= _dense(head, head)
    return {key: theirs for key, theirs in table.items() if key[0] in own or key[0] not in ("pooler", *heads)}


def builder_arguments(config):
    """Returns the keyword arguments of `models.bert.bert` that a configuration of `pretrained.read_config` describes."""
    return {ours: config[theirs] for theirs, ours in pretrained.ARGUMENTS.items()}


def load(model, folder, *, ignore=()):
    """Sets every weight of `model` from a folder of pretrained weights, with or without the encoder's prefix.

    Args:
        model: A model of `models.bert`, with or without a head.
        folder: Of either form, see `trainer.weights.pretrained`.
        ignore: Names of our layers (a new head) that the file need not have; they keep their values.

    Returns:
        The names of the tensors in the file that were not used, those of an optimiser left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a tensor is missing, or has another shape than the model's; names it.
    """
    found = pretrained.read_tensors(folder)
    bare = not any(name.startswith(ENCODER_PREFIX) for name in found.readers)
    used = set()

    def read(name):
        name = name.removeprefix(ENCODER_PREFIX) if bare else name
        if name not in found.readers:
            raise ValueError(f"{found.path}: tensor {name} is missing ({len(found.readers)} others are there)")
        used.add(name)
        tensor = found.readers[name]().astype(np.float32)
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
                raise ValueError(f"{found.path}: tensor {name} has shape {shapes[0]}, expected {shapes[1]}")
        variable.assign(np.concatenate([part for _, part in parts], axis=-1))
    return sorted(found.names[name] for name in found.readers.keys() - used)


def to_bytes(model):
    """Returns all weights of `model` as the content of a `model.safetensors` that `transformers` opens."""
    tensors = {}
    for (layer, attribute), theirs in table_of(model).items():
        value = np.asarray(getattr(model.get_layer(layer), attribute))
        for name, part in zip(theirs, np.split(value, len(theirs), axis=-1), strict=True):
            tensors[name] = np.ascontiguousarray(part.T if attribute == "kernel" else part)
    return save(tensors, metadata={"format": "pt"})


def load_by_path(model, folder, *, ignore=()):
    """As `load`, of a model that has names of its own: tensors are named after the paths of its variables, kernels as they are."""
    found, used = pretrained.read_tensors(folder), set()
    for variable in model.weights:
        name = variable.path
        if name.split("/")[0] in ignore:
            continue
        if name not in found.readers:
            raise ValueError(f"{found.path}: tensor {name} is missing ({len(found.readers)} others are there)")
        tensor = found.readers[name]()
        if tensor.shape != tuple(variable.shape):
            shapes = [list(tensor.shape), list(variable.shape)]
            raise ValueError(f"{found.path}: tensor {name} has shape {shapes[0]}, expected {shapes[1]}")
        variable.assign(tensor)
        used.add(name)
    return sorted(found.names[name] for name in found.readers.keys() - used)


def to_bytes_by_path(model):
    """Returns the weights of `model` as the content of a `model.safetensors`, by the paths of its variables."""
    return save({variable.path: np.ascontiguousarray(variable) for variable in model.weights})
