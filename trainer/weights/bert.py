"""BERT's published weights: the names of its settings and tensors, Hugging Face's and Google's.

Everywhere else in this project tensors have Hugging Face's names, from which `google_name` derives Google's. Google's kernels
are [in, out], Hugging Face's [out, in]. Both keep queries, keys and values apart; our model holds them in one kernel. Imports
no framework.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.weights.tensors import Stored

if TYPE_CHECKING:
    import keras

# Key of Hugging Face's `config.json` -> argument of `models.bert.bert`
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
DEFAULTS = {  # of google-research/bert's code and of transformers' `BertConfig`: a file may leave them out
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
}
PREFIX = "bert."  # before the encoder's names in a model with a head; absent in a bare `BertModel`

# The heads, whose names at Google are not Hugging Face's with slashes.
HEADS = {
    "cls.predictions.bias": "cls/predictions/output_bias",
    "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
    "cls.seq_relationship.bias": "cls/seq_relationship/output_bias",
    "classifier.weight": "output_weights",  # run_classifier.py
    "classifier.bias": "output_bias",
    "qa_outputs.weight": "cls/squad/output_weights",  # run_squad.py
    "qa_outputs.bias": "cls/squad/output_bias",
}
HEADS_OF_GOOGLE = {google: hugging_face for hugging_face, google in HEADS.items()}


def check_config(config: dict[str, Any], path: str | Path) -> None:
    """Refuses a configuration, under Hugging Face's keys.

    Raises:
        ValueError: Another model type; a setting that our BERT does not support; a missing setting.
    """
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


def table(model: keras.Model) -> dict[str, Stored]:
    """Returns {path of a variable: where Hugging Face stores it} of a model of `models.bert`, with or without a head."""
    names = {layer.name for layer in model.layers}
    layers = 1 + max((int(name.split("_")[1]) for name in names if name.startswith("layer_")), default=-1)
    stored = encoder_table(layers) | _dense("classifier", "classifier") | _dense("qa_outputs", "qa_outputs")
    stored |= _dense("masked_dense", "cls.predictions.transform.dense")
    stored |= _norm("masked_norm", "cls.predictions.transform.LayerNorm")
    stored |= {"masked_bias/bias": Stored(("cls.predictions.bias",))} | _dense("next_sentence", "cls.seq_relationship")
    stored |= {f"crf/{name}": Stored((f"crf.{name}",)) for name in ("transitions", "starts", "ends")}
    return {path: tensors for path, tensors in stored.items() if path.split("/")[0] in names}


def encoder_table(layers: int) -> dict[str, Stored]:
    """Returns the part of `table` that is the encoder's."""
    stored = {
        "token_embedding/embeddings": Stored((f"{PREFIX}embeddings.word_embeddings.weight",)),
        "segment_embedding/embeddings": Stored((f"{PREFIX}embeddings.token_type_embeddings.weight",)),
        "position_embedding/embeddings": Stored((f"{PREFIX}embeddings.position_embeddings.weight",)),
        **_norm("embedding_norm", f"{PREFIX}embeddings.LayerNorm"),
    }
    for i in range(layers):
        name, published = f"layer_{i}", f"{PREFIX}encoder.layer.{i}"
        attention = [f"{published}.attention.self.{kernel}" for kernel in ("query", "key", "value")]
        stored |= _dense(f"{name}_attention_qkv", *attention)
        stored |= _dense(f"{name}_attention_output", f"{published}.attention.output.dense")
        stored |= _norm(f"{name}_attention_norm", f"{published}.attention.output.LayerNorm")
        stored |= _dense(f"{name}_feed_forward_inner", f"{published}.intermediate.dense")
        stored |= _dense(f"{name}_feed_forward_output", f"{published}.output.dense")
        stored |= _norm(f"{name}_feed_forward_norm", f"{published}.output.LayerNorm")
    return stored | _dense("pooler", f"{PREFIX}pooler.dense")


def _dense(layer, *published):
    return {
        f"{layer}/kernel": Stored(tuple(f"{name}.weight" for name in published), transposed=True),
        f"{layer}/bias": Stored(tuple(f"{name}.bias" for name in published)),
    }


def _norm(layer, published):
    return {f"{layer}/gamma": Stored((f"{published}.weight",)), f"{layer}/beta": Stored((f"{published}.bias",))}


def google_name(name: str) -> tuple[str, bool]:
    """Returns (a tensor's name in Google's checkpoints, whether it is transposed there), by its name at Hugging Face."""
    if name in HEADS:
        return HEADS[name], False
    name = re.sub(r"\blayer\.(\d+)", r"layer_\1", name).replace("LayerNorm.weight", "LayerNorm.gamma")
    name = name.replace("LayerNorm.bias", "LayerNorm.beta").replace("_embeddings.weight", "_embeddings")
    transposed = name.endswith(".weight")
    return re.sub(r"\.weight$", ".kernel", name).replace(".", "/"), transposed


def hugging_face_name(name: str) -> tuple[str, bool]:
    """Returns (a tensor's name at Hugging Face, whether it is transposed there), the inverse of `google_name`."""
    if name in HEADS_OF_GOOGLE:
        return HEADS_OF_GOOGLE[name], False
    transposed = name.endswith("/kernel")
    name = re.sub(r"/(kernel|gamma)$", ".weight", re.sub(r"/beta$", ".bias", name))
    name = re.sub(r"_embeddings$", "_embeddings.weight", name)
    return re.sub(r"\blayer_(\d+)", r"layer.\1", name).replace("/", "."), transposed
