"""GPT-2's published weights: Hugging Face's names of its settings and tensors. Imports no framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.weights.tensors import Stored, by_path

if TYPE_CHECKING:
    import keras

# Key of Hugging Face's `config.json` -> argument of `models.gpt.gpt`
ARGUMENTS = {
    "n_layer": "layers",
    "n_embd": "width",
    "n_head": "heads",
    "n_inner": "feed_forward",
    "n_positions": "positions",
    "activation_function": "activation",
    "resid_pdrop": "dropout",
    "attn_pdrop": "attention_dropout",
    "layer_norm_epsilon": "epsilon",
}
ACTIVATIONS = {"gelu_new": "gelu_tanh"}  # Hugging Face's name of an activation -> ours
PREFIX = "transformer."  # before the names of all but the head


def table(model: keras.Model) -> dict[str, Stored]:
    """Returns {path of a variable: where Hugging Face stores it} of a model of `models.gpt`; what a head adds is named by its path.

    Kernels are [in, out], as ours: transformers has GPT-2's dense layers as convolutions of width 1.
    """
    stored = by_path(model)
    for path in stored:
        layer, _, variable = path.partition("/")
        if layer in LAYERS:
            stored[path] = Stored((f"{PREFIX}{LAYERS[layer]}.weight",))
        elif layer.startswith("layer_"):
            _, number, name = layer.split("_", 2)
            kind = "weight" if variable in ("kernel", "gamma") else "bias"
            place = "" if name == "output_norm" else f"h.{number}."
            stored[path] = Stored((f"{PREFIX}{place}{PARTS[name]}.{kind}",))
    return stored


LAYERS = {"token_embedding": "wte", "position_embedding": "wpe"}
PARTS = {
    "attention_norm": "ln_1",
    "attention_qkv": "attn.c_attn",
    "attention_output": "attn.c_proj",
    "feed_forward_norm": "ln_2",
    "feed_forward_inner": "mlp.c_fc",
    "feed_forward_output": "mlp.c_proj",
    "output_norm": "ln_f",  # behind the last layer
}
