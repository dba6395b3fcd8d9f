"""A training step of an LSTM language model, ours beside PyTorch's: the same weights, the same windows of text, states carried on.

    python -m tests.bench.language [--width 512] [--vocabulary 10000] [--batches 8] [--rounds 4]

In the environment of requirements-peers.txt. Text: Wikipedia's paragraphs of SQuAD ($LINEAGE_DATA/text-en) in words; 32 rows, windows
of 35, the rows of the softmax are those of the embeddings, all of them; forward, backward, clipping, AdamW; two threads, in turn,
the best of several rounds. First loss and gradients of one window from states that are not zero, which should be equal. The last
line is ours with --sampled 2048, which PyTorch has nothing like. Prints its table last.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

from itertools import islice
from pathlib import Path

import numpy as np
import tensorflow as tf
import torch

from tests.bench.contenders.pytorch import torch_step
from tests.bench.turns import best_of
from trainer.corpora import making
from trainer.data.plain_text import PlainText
from trainer.pretraining.language import model_of
from trainer.pretraining.next_units import TARGETS, Carried, NextUnits
from trainer.pretraining.source import StreamSource
from trainer.pretraining.windows import Stream
from trainer.runs.blueprint import Blueprint
from trainer.text import counted
from trainer.training import batches, optim
from trainer.training.step import training_step

THREADS, ROWS, LENGTH, RATE, SAMPLED = 2, 32, 35, 1e-3, 2048


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--vocabulary", type=int, default=10000)
    parser.add_argument("--batches", type=int, default=8, help="windows of a round")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    text = PlainText([str(Path(os.environ["LINEAGE_DATA"]) / "text-en" / "wikipedia_squad_train.txt.xz")])
    vocabulary = counted.of_counts("words", counted.count_lines(text), options.vocabulary)
    settings = [f"width={options.width}", f"embedding_width={options.width}", "dropout=0.0"]
    blueprint = Blueprint.new("lstm", vocabulary, unit="words", settings=settings)
    corpus = making.corpus(text, blueprint.tokenizer, stream=True)
    source = StreamSource(Stream(corpus), LENGTH, ROWS, carried=True, end=3, padding=0)
    data = [*islice(batches.dataset(source, source.plan(ROWS, seed=0, epoch=0)), options.batches)]
    frequencies = corpus.frequencies(len(vocabulary)) + 1.0

    model, peer = model_of(blueprint, 0), Peer(len(vocabulary), options.width)
    peer.take(model)
    differences = compare(model, peer, data)
    contenders = {
        "ours": ours(model_of(blueprint, 0), frequencies),
        "PyTorch": torch_step(peer, lambda batch: peer.loss(*batch), RATE),
        f"ours, {SAMPLED:,} drawn": ours(model_of(blueprint, 0), frequencies, SAMPLED),
    }
    best = best_of(contenders, data, options.rounds)
    print(
        f"\nLSTM of {options.width}, {len(vocabulary):,} words, {model.count_params():,} parameters, {ROWS} rows of {LENGTH}, "
        f"{THREADS} threads"
    )
    for name, difference in differences.items():
        print(f"{name:<46}{difference:10.1e}")
    print(f"{'':<20}{'ms a step':>12}{'words/s':>12}{'beside PyTorch':>18}")
    for name, seconds in best.items():
        rate = ROWS * LENGTH * len(data) / seconds
        print(f"{name:<20}{1000 * seconds / len(data):12.1f}{rate:12.0f}{best['PyTorch'] / seconds:18.2f}")


class Peer(torch.nn.Module):
    """The same model, as a user of PyTorch writes it."""

    def __init__(self, size, width):
        super().__init__()
        self.embedding = torch.nn.Embedding(size, width)
        self.lstm = torch.nn.LSTM(width, width, batch_first=True)
        self.bias = torch.nn.Parameter(torch.zeros(size))
        self.states = None

    def forward(self, ids):
        states = None if self.states is None else tuple(state.detach() for state in self.states)
        x, self.states = self.lstm(self.embedding(ids), states)
        return torch.nn.functional.linear(x, self.embedding.weight, self.bias)

    def loss(self, inputs, targets):
        if bool(inputs["begins"]):
            self.states = None
        of = lambda x: torch.from_numpy(np.asarray(x).astype(np.int64))
        logits = self(of(inputs["token_ids"]))
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), of(targets[0]).flatten())

    def pairs(self, model):
        """Yields (a variable of ours, a parameter of PyTorch's, whether it is transposed)."""
        of = {variable.path: variable for variable in model.trainable_variables}
        cell = "layer_0_forward/lstm_cell"
        yield of["token_embedding/embeddings"], self.embedding.weight, False
        yield of[f"{cell}/kernel"], self.lstm.weight_ih_l0, True
        yield of[f"{cell}/recurrent_kernel"], self.lstm.weight_hh_l0, True
        yield of[f"{cell}/bias"], self.lstm.bias_ih_l0, False
        yield of["next_bias/bias"], self.bias, False

    def take(self, model):
        with torch.no_grad():
            self.lstm.bias_hh_l0.zero_()
            for variable, parameter, transposed in self.pairs(model):
                value = torch.tensor(np.array(variable))
                parameter.copy_(value.T if transposed else value)


def compare(model, peer, data):
    carried, loss = Carried(model, ROWS), NextUnits(model, 0, np.ones(1), None, 0)
    for inputs, targets in data[:2]:
        with tf.GradientTape() as tape:
            total, number = loss(targets, carried(inputs, training=True))
            mean = total / number
        of_peer = peer.loss(inputs, targets)
    gradients = dict(
        zip((v.path for v in model.trainable_variables), tape.gradient(mean, model.trainable_variables), strict=True)
    )
    of_peer.backward()
    worst = 0.0
    for variable, parameter, transposed in peer.pairs(model):
        expected = parameter.grad.numpy().T if transposed else parameter.grad.numpy()
        worst = max(worst, float(np.abs(tf.convert_to_tensor(gradients[variable.path]).numpy() - expected).max()))
    peer.zero_grad()
    peer.states = None
    return {
        f"loss {float(mean):.6f}, difference": abs(float(mean) - float(of_peer.detach())),
        "largest difference of any gradient": worst,
    }


def ours(model, frequencies, sampled=0):
    variables, carried = model.trainable_variables, Carried(model, ROWS)
    optimizer = optim.optimizer(variables, RATE, weight_decay=0.01)
    loss = NextUnits(model, sampled, frequencies / frequencies.sum(), optimizer.iterations, 0)
    step = training_step(carried, loss, optimizer, [carried.signature, TARGETS])
    return lambda batch: step([batch])


if __name__ == "__main__":
    main()
