"""Training steps of models that translate, ours beside PyTorch's: the same batches of Multi30k.

    python -m tests.bench.translation [--models gru transformer] [--batches 4] [--rounds 3] [--json FILE]

In the environment of requirements-peers.txt, with $LINEAGE_DATA. The Transformer beside MarianMT of the same size and weights;
the GRU with additive attention (width and embeddings 256) beside the same model as a user of PyTorch writes it, the encoder
on packed sequences. Forward, backward, clipping, AdamW; labels smoothed by 0.1; no dropout. Two threads (`OMP_NUM_THREADS`);
in turn, the best of several rounds. Prints its table last.
"""

import argparse
import json
import os
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "2")

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

import keras
import numpy as np
import torch

from models.seq2seq import joined, seq2seq
from models.transformer import transformer_seq2seq
from tests.bench.contenders.pytorch import torch_step
from tests.bench.generation import marian
from tests.bench.turns import best_of, parsed
from trainer.data import datasets, files
from trainer.tasks.setup import Setup
from trainer.tasks.table import TASKS
from trainer.tasks.write.examples import pairs
from trainer.tasks.write.step import TARGETS, smoothed_loss
from trainer.text import counted
from trainer.text.units import UNITS
from trainer.text.writing_reader import WritingReader
from trainer.training import optim
from trainer.training.batches import dataset
from trainer.training.step import training_step

BATCH, VOCABULARY, WIDTH, LAYERS, HEADS, RATE, SMOOTHING = 64, 4000, 256, 3, 4, 1e-3, 0.1
nn = torch.nn


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--batches", type=int, default=4, help="batches of a round")
    parser.add_argument("--rounds", type=int, default=3)
    options, threads, clock = parsed(parser)
    reader, data = read(options.batches)
    size, sentences = len(reader.tokenizer.vocabulary), sum(len(targets) for _, targets in data)
    figures = {}
    for name in options.models:
        keras.utils.set_random_seed(0)
        contenders, number = CONTENDERS[name](size, reader)
        best = best_of(contenders, data, options.rounds, clock)
        figures[name] = {which: sentences / seconds for which, seconds in best.items()} | {"parameters": number}
    if options.json:
        options.json.write_text(json.dumps(figures))
    print(
        f"\n{sentences / len(data):.0f} pairs a batch on average, {size:,} units; {threads} threads, seconds {'of CPU' if options.cpu_time else 'by the clock'}"
    )
    print(f"{'sentences a second':<20}{'parameters':>12}{'ours':>10}{'PyTorch':>10}{'ours / PyTorch':>16}")
    for name, row in figures.items():
        ratio = row["ours"] / row["PyTorch"]
        print(f"{name:<20}{row['parameters']:>12,}{row['ours']:>10.0f}{row['PyTorch']:>10.0f}{ratio:>15.2f}x")


def read(number):
    """Returns the reader and so many batches, [(inputs, targets)]."""
    task = TASKS["translation"]
    path = datasets.path_of("multi30k", "train", "translation")
    rows = files.read(path, task, files.ANY, limit=4000)
    texts = counted.Texts({row[name]: 1 for row in rows for name in ("source", "target")}, {})
    vocabulary = counted.vocabulary("joined_pieces", texts, VOCABULARY, lower_case=False, fallback="unk")
    reader = WritingReader(UNITS["joined_pieces"](vocabulary, lower_case=False), 128)
    examples = pairs(rows, Setup(task, reader, ("source",), []))
    return reader, list(dataset(examples, examples.plan(BATCH, seed=0, epoch=1)[:number]))


def ours(model, reader):
    optimizer = optim.optimizer(model.trainable_variables, RATE, weight_decay=0.01)
    step = training_step(model, smoothed_loss(SMOOTHING), optimizer, [reader.inputs(), TARGETS])
    return lambda batch: step([batch])


def of_torch(module, logits_of):
    """Returns the step of a module of PyTorch; logits_of(source, mask, target) -> logits [B, T, V]."""
    of = lambda x: torch.from_numpy(np.asarray(x))

    def loss(batch):
        inputs, targets = batch
        logits = logits_of(of(inputs["token_ids"]).long(), of(inputs["mask"]), of(inputs["target_token_ids"]).long())
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), of(targets).long().flatten(), ignore_index=-1, label_smoothing=SMOOTHING
        )

    return torch_step(module.train(), loss, RATE)


def transformers(size, reader):
    shape = {"layers": LAYERS, "width": WIDTH, "heads": HEADS}
    model = joined(*transformer_seq2seq(size, **shape, dropout=0.0, packed=True))
    peer = marian(SimpleNamespace(model=model), SimpleNamespace(**shape, vocabulary=size))
    logits = lambda source, mask, target: (
        peer(input_ids=source, attention_mask=mask.long(), decoder_input_ids=target, use_cache=False).logits
    )
    return {"ours": ours(model, reader), "PyTorch": of_torch(peer, logits)}, model.count_params()


def recurrent(size, reader):
    model = joined(*seq2seq(size, width=WIDTH, embedding_width=WIDTH, dropout=0.0))
    peer = Recurrent(size)
    return {"ours": ours(model, reader), "PyTorch": of_torch(peer, peer)}, model.count_params()


class Recurrent(nn.Module):
    """`models.seq2seq.seq2seq` with additive attention, in PyTorch."""

    def __init__(self, size):
        super().__init__()
        self.embedding = nn.Embedding(size, WIDTH)
        self.encoder = nn.GRU(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.begin = nn.Linear(WIDTH, WIDTH)
        self.keys, self.queries = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        self.vector = nn.Linear(WIDTH, 1, bias=False)
        self.readout = nn.Linear(3 * WIDTH, WIDTH)
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, source, mask, target):
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(source), mask.sum(1), batch_first=True, enforce_sorted=False
        )
        packed, ends = self.encoder(packed)
        memory, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
        begin = torch.tanh(self.begin(torch.cat([ends[0], ends[1]], dim=-1)))
        embedded = self.embedding(target)
        x, _ = self.decoder(embedded, begin[None])
        scores = self.vector(torch.tanh(self.queries(x)[:, :, None] + self.keys(memory)[:, None]))[..., 0]
        weights = scores.masked_fill(~mask[:, None], -1e9).softmax(-1)
        read = torch.tanh(self.readout(torch.cat([x, weights @ memory, embedded], dim=-1)))
        return nn.functional.linear(read, self.embedding.weight, self.bias)


CONTENDERS = {"gru": recurrent, "transformer": transformers}


if __name__ == "__main__":
    main()
