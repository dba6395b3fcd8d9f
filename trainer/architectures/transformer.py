"""The Transformer's encoder as an architecture."""

from dataclasses import dataclass
from typing import ClassVar

from models import transformer as builder
from trainer.architectures import units


@dataclass(frozen=True, kw_only=True)
class Config(units.Config):
    """The arguments of `models.transformer.transformer_encoder`."""

    layers: int = 2
    width: int = 256
    heads: int = 4
    feed_forward: int | None = None
    position_codes: str = "sinusoids"
    positions: int = 512
    norm_first: bool = False
    activation: str = "relu"
    pooling: str = "mean"
    attention_dropout: float = 0.0


class Transformer(units.Units[Config]):
    name, title = "transformer", "Transformer encoder"
    builder = builder.transformer_encoder
    config_class = Config
    always: ClassVar = {"packed": True}
    sizes: ClassVar = {
        "transformer": {},
        "transformer-base": {"layers": 6, "width": 512, "heads": 8},  # the paper's
    }
