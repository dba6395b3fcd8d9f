"""What is decayed as BERT is trained, and how its learning rate falls; the same on every backend of Keras.

Imports no framework.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

EPSILON = 1e-6  # of Adam in google-research/bert; Keras has 1e-7, transformers 1e-8
UNDECAYED = r"(bias|gamma|beta|mix/(logits|scale))$"  # biases, layer normalisation, and how layers are mixed


def falling(step: Any, warmup: int, total: int) -> Any:
    """Returns the share of the peak that is left of a learning rate that falls to 0 in a line."""
    return (total - step) / max(total - warmup, 1)


def linear(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Returns the learning rate of a step from 0, which rises to `peak` in `warmup` steps, then falls to 0 in a line."""
    share = step / max(warmup, 1) if step < warmup else falling(step, warmup, total)
    return peak * min(max(share, 0.0), 1.0)


def is_decayed(variable: keras.Variable) -> bool:
    """Says whether weights decay; see `UNDECAYED`."""
    return not re.search(UNDECAYED, variable.path)


def describe(variables: Sequence[keras.Variable]) -> str:
    """Returns in words how many of the variables, and of their parameters, are decayed."""
    decayed = [variable for variable in variables if is_decayed(variable)]
    return f"weight decay on {len(decayed)} of {len(variables)} variables ({count(decayed):,} parameters)"


def count(variables: Sequence[keras.Variable]) -> int:
    """Returns the number of parameters of the variables."""
    return sum(int(np.prod(variable.shape)) for variable in variables)
