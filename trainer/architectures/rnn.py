"""Recurrent networks as an architecture."""

from dataclasses import dataclass, replace
from typing import ClassVar

from models import rnn as builder
from trainer.architectures import units


@dataclass(frozen=True, kw_only=True)
class Config(units.Config):
    """The arguments of `models.rnn.rnn`."""

    cell: str = "lstm"
    layers: int = 1
    width: int = 256
    embedding_width: int = 300
    bidirectional: str | None = None
    residual: bool = False
    normalisation: str | None = None
    pooling: str = "last"
    dropout: float = 0.5
    recurrent_dropout: float = 0.0


class Recurrent(units.Units[Config]):
    name, title = "rnn", "recurrent network"
    gives = (*units.Units.gives, "states")
    builder = builder.rnn
    reads_features = True
    config_class = Config
    sizes: ClassVar = {
        "rnn": {"cell": "rnn"},
        "lstm": {"cell": "lstm"},
        "gru": {"cell": "gru"},
        "bilstm": {"cell": "lstm", "bidirectional": "concatenate"},
        "bigru": {"cell": "gru", "bidirectional": "concatenate"},
    }

    def with_dropout(self, config: Config, rate: float) -> Config:
        return replace(config, dropout=rate)  # on states it is another thing
