"""The machine: how many products of float32 matrices it computes, and how much memory it reads and copies, a second at best."""

import tensorflow as tf
import torch

from tests.bench.measures import examples
from tests.bench.report import MACHINE, READ, Measure
from tests.bench.turns import fastest
from trainer.architectures import table

SIZES = (
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (4096, 768, 3072),
)  # the last is BERT-base's, 32 x 128
MEMORY = 2**29  # bytes: more than caches hold
ENCODERS, SHAPES = {"minilm": "MiniLM", "base": "BERT-base"}, ((1, 16), (32, 128))
VOCABULARY = 30522  # which decides nothing here


def measure(options):
    products = {}
    for rows, inner, columns in SIZES:
        a, b = torch.randn(rows, inner), torch.randn(inner, columns)
        x, y = tf.constant(a.numpy()), tf.constant(b.numpy())
        runs = {
            "TensorFlow": lambda x=x, y=y: tf.linalg.matmul(x, y).numpy(),
            "PyTorch": lambda a=a, b=b: torch.mm(a, b),
        }
        for name, milliseconds in fastest(runs, options.rounds, options.seconds).items():
            products[f"{name} {rows} x {inner} x {columns}"] = 2 * rows * inner * columns / milliseconds / 1e6
    block, other = torch.ones(MEMORY // 4), torch.empty(MEMORY // 4)
    taken = fastest({READ: block.sum, "copy": lambda: other.copy_(block)}, options.rounds, options.seconds)
    memory = {READ: MEMORY / taken[READ] / 1e6, "copy, read and written": 2 * MEMORY / taken["copy"] / 1e6}
    notes = [*limits(max(products.values()), memory[READ])]
    return [
        Measure(f"{MACHINE}, products", products, "GFLOP/s"),
        Measure(f"{MACHINE}, memory", memory, "GB/s", notes=notes),
    ]


def limits(products, memory):
    """Yields what encoders take at least at so many GFLOP/s and GB/s, in float32, a line a shape."""
    for size, title in ENCODERS.items():
        architecture, sizes = table.named(size)
        config = architecture.configuration(sizes, VOCABULARY)
        megabytes = 4 * examples.weights(config) / 1e6
        for rows, pieces in SHAPES:
            gigaflops = examples.flops(config, [pieces] * rows) / 1e9
            yield (
                f"{title}, {rows} x {pieces}: {megabytes:.0f} MB of weights are read in {megabytes / memory:.2f} ms (those that stay "
                f"in a cache faster), {gigaflops:.2f} GFLOP computed in {1000 * gigaflops / products:.2f} ms"
            )
