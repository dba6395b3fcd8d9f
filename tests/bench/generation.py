"""Writing, unit by unit: our Transformer of encoder and decoder beside transformers' `generate` of the same size.

    python -m tests.bench.generation [--layers 3] [--width 256] [--heads 4] [--vocabulary 4000] [--rounds 5] [--json FILE]

In the environment of requirements-peers.txt. Random weights; MarianMT has ours, so both compute the same (the largest
difference of logits of one batch is printed). Sources without padding; the end is made so improbable that every text has
as many units as were asked for. `ours, all anew` computes the whole prefix at every step, as a decoder without states does.
Two threads (`OMP_NUM_THREADS`); all contenders in turn, the best of several rounds. Units a second are those of the texts that come out. Prints
its table last.
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

import keras
import numpy as np
import tensorflow as tf
import torch
from transformers import MarianConfig, MarianMTModel

from models.seq2seq import joined
from models.transformer import transformer_seq2seq
from tests.bench.turns import best_of, parsed
from trainer.generation import decode
from trainer.progress import say

PADDING, START, END = 0, 1, 2
SHAPES = ((1, 16, 20), (1, 32, 40), (32, 16, 20), (32, 32, 40))  # rows, units of the source, units written
NEVER = -1e4  # logit of the end
BEAMS = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", type=int, nargs="+", default=range(len(SHAPES)), help="some of 0 to 3 only")
    options, threads, clock = parsed(parser)
    keras.utils.set_random_seed(0)
    size = {"layers": options.layers, "width": options.width, "heads": options.heads, "dropout": 0.0}
    ours = Ours(options.vocabulary, **size, packed=True)
    peer = marian(ours, options)
    difference = compare(ours, peer, options.vocabulary)
    contenders = {
        "ours, greedy": lambda batch: ours.beams(*batch, 1),
        "transformers, greedy": lambda batch: generated(peer, *batch, 1),
        "ours, all anew, greedy": lambda batch: ours.anew(*batch),
        f"ours, beam {BEAMS}": lambda batch: ours.beams(*batch, BEAMS),
        f"transformers, beam {BEAMS}": lambda batch: generated(peer, *batch, BEAMS),
    }
    random, figures = np.random.default_rng(0), {}
    for rows, source, written in (SHAPES[i] for i in options.shapes):
        ids = random.integers(END + 1, options.vocabulary, [rows, source]).astype(np.int32)
        seconds = best_of(contenders, [(ids, written)], options.rounds, clock)
        key = f"{rows} x {source} to {written}"
        figures[key] = {name: rows * written / value for name, value in seconds.items()}
        say(f"{key}: {', '.join(f'{name} {value:,.0f}' for name, value in figures[key].items())}")
    if options.json:
        options.json.write_text(json.dumps(figures))
    print(
        f"\nTransformer of {options.layers} + {options.layers} layers, width {options.width}, {options.heads} heads, "
        f"{options.vocabulary:,} units, {ours.model.count_params():,} parameters, {threads} threads, seconds {'of CPU' if options.cpu_time else 'by the clock'}; "
        f"largest difference of logits {difference:.1e}"
    )
    print(f"{'units a second':<26}" + "".join(f"{key:>16}" for key in figures))
    for name in contenders:
        print(f"{name:<26}" + "".join(f"{row[name]:>16,.0f}" for row in figures.values()))
    for how in ("greedy", f"beam {BEAMS}"):
        ratios = [row[f"ours, {how}"] / row[f"transformers, {how}"] for row in figures.values()]
        print(f"{f'ours / transformers, {how}':<26}" + "".join(f"{ratio:>15.2f}x" for ratio in ratios))


class Ours:
    """Our encoder-decoder, as an exported function runs it."""

    def __init__(self, vocabulary, **size):
        self.encoder, self.decoder = transformer_seq2seq(vocabulary, **size)
        self.model = joined(self.encoder, self.decoder)
        bias = next(variable for variable in self.model.variables if variable.path.startswith("output_bias"))
        bias.assign(np.where(np.arange(vocabulary) == END, NEVER, 0.0))
        self.allowed = tf.constant([i not in (PADDING, START) for i in range(vocabulary)])
        ids = tf.TensorSpec([None, None], tf.int32)
        self._beams = {
            width: tf.function(
                lambda ids, longest, width=width: self._search(ids, longest, width), [ids, LENGTH], autograph=False
            )
            for width in (1, BEAMS)
        }
        self._anew = tf.function(self._recompute, [ids, LENGTH], autograph=False)

    def beams(self, ids, written, width):
        found = self._beams[width](ids, written + 1)
        assert found.lengths.numpy().tolist() == [[written] * width] * len(ids)
        return found.ids.numpy()

    def anew(self, ids, written):
        return self._anew(ids, written).numpy()

    def _read(self, ids):
        return self.encoder({"token_ids": ids, "mask": tf.ones_like(ids, tf.bool)}, training=False)

    def _following(self, ids, memory, states):
        found = self.decoder({"token_ids": ids, **memory, **states}, training=False)
        return decode.Step(found["logits"], found["states"], found["alignments"])

    def _search(self, ids, longest, width):
        read = self._read(ids)
        rows = tf.fill([tf.shape(ids)[0]], longest)
        return decode.beams(
            self._following, read["memory"], read["states"], start=START, end=END, allowed=self.allowed, width=width,
            longest=rows,
        )  # fmt: skip

    def _recompute(self, ids, longest):
        read = self._read(ids)
        refused = tf.where(self.allowed, 0.0, decode.LOWEST)

        def step(written):
            logits = self._following(written, read["memory"], read["states"]).logits[:, -1] + refused
            return (tf.concat([written, tf.argmax(logits, axis=-1, output_type=tf.int32)[:, None]], axis=1),)

        begin = tf.fill([tf.shape(ids)[0], 1], START)
        shape = tf.TensorShape([None, None])
        (written,) = tf.while_loop(
            lambda written: tf.shape(written)[1] < longest, step, (begin,), shape_invariants=(shape,)
        )
        return written[:, 1:]


LENGTH = tf.TensorSpec([], tf.int32)


def marian(ours, options):
    """Returns MarianMT of the same size with our weights."""
    sizes = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (
            ("layers", options.layers),
            ("attention_heads", options.heads),
            ("ffn_dim", 4 * options.width),
        )
    }
    config = MarianConfig(
        vocab_size=options.vocabulary, d_model=options.width, activation_function="relu", dropout=0.0, scale_embedding=True,
        pad_token_id=PADDING, decoder_start_token_id=START, eos_token_id=END, forced_eos_token_id=None, **sizes,
    )  # fmt: skip
    model = MarianMTModel(config).eval()
    weights = {variable.path: np.array(variable) for variable in ours.model.variables}
    given = {"model.shared.weight": next(value for path, value in weights.items() if "token_embedding" in path)}
    given["final_logits_bias"] = next(value for path, value in weights.items() if path.startswith("output_bias"))[None]
    for i in range(options.layers):
        for side, prefix in (("encoder", "encoder_"), ("decoder", "")):
            given |= _layer(weights, f"{prefix}layer_{i}", f"model.{side}.layers.{i}")
    lacking, unknown = model.load_state_dict({name: torch.tensor(x) for name, x in given.items()}, strict=False)
    lacking = [
        name for name in lacking if not any(part in name for part in ("embed_tokens", "embed_positions", "lm_head"))
    ]
    assert not lacking and not unknown, (lacking, unknown)
    model.tie_weights()
    place, feature = np.arange(model.config.max_position_embeddings)[:, None], np.arange(options.width)
    angles = place * 10000.0 ** -(feature // 2 * 2 / options.width)
    for side in (model.model.encoder, model.model.decoder):
        side.embed_positions.weight.data = torch.tensor(
            np.where(feature % 2, np.cos(angles), np.sin(angles)), dtype=torch.float32
        )
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    model.generation_config.update(bos_token_id=None, max_length=None)
    return model


def _layer(weights, ours, theirs):
    """Returns the weights of one of our layers by MarianMT's names."""
    found = {}

    def linear(name, *parts):
        kernels = np.split(weights[f"{ours}_{name}/kernel"], len(parts), axis=1)
        biases = np.split(weights[f"{ours}_{name}/bias"], len(parts))
        for part, kernel, bias in zip(parts, kernels, biases, strict=True):
            found[f"{theirs}.{part}.weight"], found[f"{theirs}.{part}.bias"] = kernel.T.copy(), bias

    def norm(name, part):
        found[f"{theirs}.{part}.weight"] = weights[f"{ours}_{name}/gamma"]
        found[f"{theirs}.{part}.bias"] = weights[f"{ours}_{name}/beta"]

    linear("attention_qkv", *(f"self_attn.{name}_proj" for name in "qkv"))
    linear("attention_output", "self_attn.out_proj")
    norm("attention_norm", "self_attn_layer_norm")
    if f"{ours}_memory_queries/kernel" in weights:
        linear("memory_queries", "encoder_attn.q_proj")
        linear("memory_keys_values", "encoder_attn.k_proj", "encoder_attn.v_proj")
        linear("memory_output", "encoder_attn.out_proj")
        norm("memory_norm", "encoder_attn_layer_norm")
    linear("feed_forward_inner", "fc1")
    linear("feed_forward_output", "fc2")
    norm("feed_forward_norm", "final_layer_norm")
    return found


def generated(model, ids, written, beams):
    """Returns what MarianMT writes, as users call it."""
    with torch.inference_mode():
        found = model.generate(
            torch.from_numpy(ids.astype(np.int64)),
            attention_mask=torch.ones(ids.shape, dtype=torch.long),
            num_beams=beams,
            do_sample=False,
            min_new_tokens=written,
            max_new_tokens=written,
        )
    assert found.shape == (len(ids), 1 + written), found.shape
    return found[:, 1:].numpy()


def compare(ours, peer, vocabulary):
    """Returns the largest difference of logits, of a source and a target all at once."""
    source, target = np.random.default_rng(1).integers(END + 1, vocabulary, [2, 2, 9]).astype(np.int32)
    inputs = {"token_ids": source, "mask": np.ones(source.shape, bool), "target_token_ids": target}
    logits = ours.model({name: tf.constant(x) for name, x in inputs.items()}, training=False).numpy()
    of = lambda x: torch.from_numpy(x.astype(np.int64))
    with torch.inference_mode():
        of_peer = peer(input_ids=of(source), decoder_input_ids=of(target)).logits.numpy()
    usual = np.arange(vocabulary) != END  # its logit is `NEVER`
    return float(np.abs(logits - of_peer)[..., usual].max())


if __name__ == "__main__":
    main()
