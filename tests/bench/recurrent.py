"""A training step of an LSTM in both directions, or of another cell, ours beside PyTorch's, on the same batches of SST-2.

    python -m tests.bench.recurrent [--cell lstm] [--rounds 5] [--batches 16] [--width 256]

In the environment of requirements-peers.txt.

Both read the same sentences in the same batches of 32 (planned by length, so that padding is small), from embeddings of 300,
through 2 x `--width` units, the maximum over the words, to two classes: forward, backward, and Adam. One process, in turn,
several rounds, the best of each batch counted; two threads. PyTorch runs twice: over padded batches, which lets its backward layer
read the padding first, and over packed ones, which does not, as ours. Prints its table last.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

import keras
import numpy as np
import tensorflow as tf
import torch

from models.rnn import rnn
from trainer.data import datasets, files
from trainer.tasks.table import TASKS
from trainer.text import counted
from trainer.text.plain_reader import PlainReader
from trainer.text.units import UNITS
from trainer.training import optim
from trainer.training.batches import Examples, dataset, plan_training
from trainer.training.step import training_step

CELLS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
THREADS, BATCH, EMBEDDING, VOCABULARY = 2, 32, 300, 9000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=CELLS, default="lstm")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=16, help="batches of a round")
    parser.add_argument("--width", type=int, default=256, help="of one direction")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    task = TASKS["sentiment"]
    rows = files.read(datasets.path_of("sst2", "train"), task, ["negative", "positive"])
    texts = counted.Texts({row["text"]: 1 for row in rows}, {})
    vocabulary = counted.vocabulary("words", texts, VOCABULARY, lower_case=True, fallback="unk")
    reader = PlainReader(UNITS["words"](vocabulary, lower_case=True), 128)
    targets = tf.constant([task.labels.index(row["label"]) for row in rows], tf.int32)
    chosen = np.random.default_rng(0).permutation(len(rows))[: BATCH * options.batches]
    examples = Examples(reader, reader.ids([rows[i]["text"] for i in chosen]), tf.gather(targets, chosen))
    plan = plan_training(examples.lengths, BATCH, seed=0, epoch=1)
    batches = list(dataset(examples, plan))
    contenders = {
        "ours": ours(len(vocabulary), options.cell, options.width),
        "PyTorch, packed": of_torch(len(vocabulary), options.cell, options.width, packed=True),
        "PyTorch, padded": of_torch(len(vocabulary), options.cell, options.width, packed=False),
    }
    best = {name: np.full(len(batches), np.inf) for name in contenders}
    for _ in range(options.rounds + 1):  # the first warms up
        for name, step in contenders.items():
            for i, (inputs, target) in enumerate(batches):
                began = time.perf_counter()
                step(inputs, target)
                best[name][i] = min(best[name][i], time.perf_counter() - began)
    units = float(np.mean(examples.lengths))
    print(
        f"{options.cell} 2 x {options.width}, embeddings {EMBEDDING}, batches of {BATCH}, {units:.1f} words on average, {THREADS} threads"
    )
    print(f"{'':<18}{'ms a step':>10}{'PyTorch / ours':>16}")
    for name, seconds in best.items():
        ratio = "" if name == "ours" else f"{seconds.mean() / best['ours'].mean():>16.2f}"
        print(f"{name:<18}{1e3 * seconds.mean():>10.1f}{ratio}")
    print(f"run by: python -m tests.bench.recurrent --cell {options.cell}")


def ours(size, cell, width):
    """Returns a training step (inputs, targets) -> loss of our model."""
    arguments = {"embedding_width": EMBEDDING, "bidirectional": "concatenate", "pooling": "maximum", "dropout": 0.0}
    encoder = rnn(size, cell=cell, width=width, pooled_only=True, **arguments)
    model = keras.Model(encoder.input, keras.layers.Dense(2)(encoder.output["pooled"]))
    optimizer = optim.optimizer(model.trainable_variables, 1e-3, weight_decay=0.0, clip_norm=0)

    def loss(targets, logits):
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)

    ids, mask = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None], tf.bool)
    signature = [{"token_ids": ids, "mask": mask}, tf.TensorSpec([None], tf.int32)]
    step = training_step(model, loss, optimizer, signature)
    return lambda inputs, targets: step([(inputs, targets)])


def of_torch(size, cell, width, *, packed):
    """Returns a training step (inputs, targets) -> loss of the same model in PyTorch."""
    embedding = torch.nn.Embedding(size, EMBEDDING)
    layer = CELLS[cell](EMBEDDING, width, batch_first=True, bidirectional=True)
    dense = torch.nn.Linear(2 * width, 2)
    optimizer = torch.optim.Adam([*embedding.parameters(), *layer.parameters(), *dense.parameters()], lr=1e-3)
    rnn_utils = torch.nn.utils.rnn

    def step(inputs, targets):
        ids, mask = (torch.from_numpy(inputs[name].numpy()) for name in ("token_ids", "mask"))
        x = embedding(ids.long())
        if packed:
            x = rnn_utils.pack_padded_sequence(x, mask.sum(1), batch_first=True, enforce_sorted=False)
        x, _ = layer(x)
        if packed:
            x, _ = rnn_utils.pad_packed_sequence(x, batch_first=True)
        pooled = x.masked_fill(~mask[:, :, None], -1e9).amax(1)
        loss = torch.nn.functional.cross_entropy(dense(pooled), torch.from_numpy(targets.numpy()).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


if __name__ == "__main__":
    main()
