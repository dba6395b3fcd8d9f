"""The recurrent encoder-decoder as an architecture."""

from dataclasses import dataclass
from typing import ClassVar

from models import seq2seq as builder
from trainer.architectures import base, writers


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """The arguments of `models.seq2seq.seq2seq`."""

    cell: str = "gru"
    layers: int = 1
    width: int = 512
    embedding_width: int = 256
    attention: str | None = None
    dropout: float = 0.3


class Seq2Seq(writers.Writer[Config]):
    name, title = "seq2seq", "recurrent encoder-decoder"
    builder = builder.seq2seq
    config_class = Config
    sizes: ClassVar = {
        "seq2seq": {},
        "seq2seq-attention": {"attention": "additive"},
    }
