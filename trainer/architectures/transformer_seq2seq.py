"""The Transformer's encoder and decoder as an architecture."""

from dataclasses import dataclass
from typing import ClassVar

from models import transformer as builder
from trainer.architectures import base, writers


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """The arguments of `models.transformer.transformer_seq2seq`."""

    layers: int = 3
    width: int = 256
    heads: int = 4
    feed_forward: int | None = None
    position_codes: str = "sinusoids"
    positions: int = 512
    norm_first: bool = False
    activation: str = "relu"
    attention_dropout: float = 0.0


class TransformerSeq2Seq(writers.Writer[Config]):
    name, title = "transformer-seq2seq", "Transformer of encoder and decoder"
    builder = builder.transformer_seq2seq
    config_class = Config
    always: ClassVar = {"packed": True}
    sizes: ClassVar = {
        "transformer-seq2seq": {},
        "transformer-seq2seq-base": {"layers": 6, "width": 512, "heads": 8},  # the paper's
    }
