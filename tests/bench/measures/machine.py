"""The machine: the products of float32 matrices, and the memory that are read or copied in a second, at best."""

import re
from pathlib import Path

import tensorflow as tf
import torch

from tests.bench.report import MACHINE, Measure
from tests.bench.turns import fastest

SIZES = ((512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (4096, 768, 3072))  # the last is BERT-base's, 32 x 128
MEMORY = 2**29  # bytes: more than caches hold


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
    taken = fastest({"read": block.sum, "copy": lambda: other.copy_(block)}, options.rounds, options.seconds)
    memory = {"read": MEMORY / taken["read"] / 1e6, "copy, read and written": 2 * MEMORY / taken["copy"] / 1e6}
    return [Measure(f"{MACHINE}, products", products, "GFLOP/s"), Measure(f"{MACHINE}, memory", memory, "GB/s")]


def name():
    """Returns the processor: its name, and what of it decides how fast matrices are multiplied."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "unknown processor"
    of = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", text, re.MULTILINE))
    flags = of.get("flags", of.get("Features", "")).split()
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve") if flag in flags]
    family = f" (family {of['cpu family']}, model {of['model']})" if "cpu family" in of else ""
    cache = f"; cache {of['cache size']}" if "cache size" in of else ""
    return f"{of.get('model name', 'unknown processor')}{family}; {', '.join(known)}{cache}"
