"""A text for a text: translation.

A model of an encoder and a decoder reads the source whole, and what is written unit by unit, each behind those that stand
there already; in training behind those of the target, whatever it would have written itself (teacher forcing). Afterwards
several hypotheses are kept at a time.

References: Sutskever et al. 2014 (arXiv 1409.3215); smoothed labels as in Vaswani et al. 2017 (arXiv 1706.03762), section 5.4.
"""

import keras

from trainer.tasks.kind import Kind
from trainer.tasks.write.alignment import draw
from trainer.tasks.write.answer import functions
from trainer.tasks.write.examples import examples
from trainer.tasks.write.score import Scorer
from trainer.tasks.write.step import TARGETS, plain_loss, smoothed_loss


def build(encoder: keras.Model, classes: int, *, dropout: float, seed: int) -> keras.Model:
    """Returns what the architecture built: it writes without a head of the task."""
    return encoder


KIND = Kind(
    needs=("writes",),
    wants={},
    layers=(),
    targets=TARGETS,
    build=build,
    examples=examples,
    loss=plain_loss,
    smoothed_loss=smoothed_loss,
    functions=functions,
    scorer=Scorer,
    transformers=None,
    draw=draw,
)
