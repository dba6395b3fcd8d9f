"""What stands around a model in an exported function, as two parts: strings become sequences, and what the model gives of all
of them becomes answers.

A function that holds its model reads some sequences at once and pads them (`trainer.tasks.kind.Kind.functions`). Where another
runtime computes the model, it takes each sequence by itself, at its exact length, between the two parts.

Glossary of shapes: B batch, N sequences, S length of the longest, T places of all sequences, C outputs of a place.
"""

from collections.abc import Callable
from typing import Any, Protocol

import tensorflow as tf


class Parts(Protocol):
    """Both parts of one signature; the methods are parts of a graph."""

    @property
    def signature(self) -> list[tf.TensorSpec]:
        """Of the strings."""

    @property
    def read(self) -> Callable[..., Any]:
        """From strings to what was read of them, any nest of tensors."""

    def frame(self, read: Any) -> dict[str, tf.Tensor]:
        """Returns the inputs of the model, `mask` among them, [N, S] each: all sequences, padded to the longest."""

    def decode(self, read: Any, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the answers.

        Args:
            read: What `read` gave.
            outputs: Of the model: [N, C] where it gives a vector a sequence; else [T, C], those of the first sequence's
                places, then those of the next one's.
        """
