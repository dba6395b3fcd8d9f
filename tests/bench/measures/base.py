"""BERT-base on 32 sequences of 128 pieces, random weights: ours as it is served, beside transformers on PyTorch, and beside the
machine's products."""

import tempfile
from pathlib import Path

import numpy as np
from safetensors.torch import load as load_torch
from transformers import BertConfig, BertModel

from tests.bench.contenders import ours, pytorch
from tests.bench.measures import examples
from tests.bench.report import CEILING, Measure
from tests.bench.turns import fastest
from trainer.runs.blueprint import Blueprint
from trainer.text.vocabulary import read_vocabulary
from trainer.weights import hub

ROWS, LENGTH = 32, 128
NEAR = 1e-3  # hidden states, of contenders with the same weights


def measure(options):
    vocabulary = read_vocabulary(hub.folder_of("minilm") / "vocab.txt")
    blueprint = Blueprint.new("base", vocabulary)
    joined, packed = (ours.encoder(blueprint, joined=joined) for joined in (True, False))
    for variable, value in zip(packed.variables, joined.variables, strict=True):
        variable.assign(value)
    peer = peer_of(blueprint, packed)
    ids = np.random.default_rng(0).integers(1000, 20000, [ROWS, LENGTH], np.int32)
    inputs = {"token_ids": ids, "segment_ids": np.zeros_like(ids), "mask": np.ones_like(ids, bool)}
    with tempfile.TemporaryDirectory() as folder:
        servable = ours.by_tensorflow(packed, Path(folder) / "base")
    lite = ours.by_litert(joined, options.threads)
    contenders = {
        "ours, TensorFlow": lambda: ours.output_of(servable, inputs),
        "ours, LiteRT": lambda: lite(inputs),
        "transformers": pytorch.encoder(peer, inputs),
    }
    expected = contenders["transformers"]().numpy()
    for name in ("ours, TensorFlow", "ours, LiteRT"):
        largest = np.abs(contenders[name]().reshape(expected.shape) - expected).max()
        assert largest < NEAR, f"{name} differs from transformers by {largest}"
    figures = fastest(contenders, options.rounds, options.seconds)
    best = min(("ours, TensorFlow", "ours, LiteRT"), key=figures.get)
    spent = ours.spent(servable, inputs, lambda node: node.timeline_label.split(" = ")[-1].partition("(")[0], runs=2)
    most = ", ".join(f"{kind} {milliseconds:.0f}" for kind, milliseconds in spent.most_common(6))
    return [
        Measure(
            "base",
            figures,
            "ms",
            flops=examples.flops(blueprint.config, [LENGTH] * ROWS),
            weights=4 * examples.weights(blueprint.config),
            targets=[(best, "transformers", 0.9), (best, CEILING, 0.9)],
            notes=[f"the graph that TensorFlow serves, ms by operation: {most}; {spent.total():.0f} in all"],
        )
    ]


def peer_of(blueprint, model):
    """Returns transformers' model with the same weights."""
    settings = blueprint.architecture.to_settings(blueprint.config)
    peer = BertModel(
        BertConfig(**{name: value for name, value in settings.items() if name != "model_type"}), add_pooling_layer=False
    )
    given = load_torch(blueprint.architecture.to_bytes(model))
    given = {name.removeprefix("bert."): value for name, value in given.items()}
    missing, unexpected = peer.load_state_dict(given, strict=False)
    assert not unexpected and all("position_ids" in name for name in missing), (missing, unexpected)
    return peer.eval().requires_grad_(False)
