"""BERT as an architecture: its settings are Hugging Face's, its weights bear Hugging Face's names; Google's are read, too."""

import re

from models.bert import PRESETS, bert
from trainer.weights import pretrained, tensors

TITLE = "BERT"
SIZES = PRESETS
OPENS_IN_TRANSFORMERS = True
DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")

load, to_bytes, check = tensors.load, tensors.to_bytes, pretrained.check_config


def configuration(size, vocabulary_size):
    return {
        "model_type": "bert",
        "vocab_size": vocabulary_size,
        "num_hidden_layers": size["layers"],
        "hidden_size": size["width"],
        "num_attention_heads": size["heads"],
        "intermediate_size": 4 * size["width"],
        **pretrained.DEFAULTS,
    }


def with_dropout(config, rate):
    return config | dict.fromkeys(DROPOUT, rate)


def head_dropout(config):
    rate = config.get("classifier_dropout")
    return config["hidden_dropout_prob"] if rate is None else rate


def longest(config):
    return config["max_position_embeddings"]


def layers(config):
    return config["num_hidden_layers"]


def build(config, wants, *, seed):
    return bert(config["vocab_size"], packed=True, seed=seed, **wants, **tensors.builder_arguments(config))


def depths(model, head_layers):
    """Embeddings 0, layer i of L is 1 + i, pooler, if there is one, and head one more each."""
    numbers = {layer.name: re.match(r"layer_(\d+)_", layer.name) for layer in model.layers}
    count = 1 + max(int(number[1]) for number in numbers.values() if number)
    special = {"pooler": count + 1} | dict.fromkeys(head_layers, count + 1 + ("pooler" in numbers))
    return {name: 1 + int(number[1]) if number else special.get(name, 0) for name, number in numbers.items()}
