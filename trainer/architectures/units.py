"""What the models of the lineage before BERT have in common: they read plain units, and two texts apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import keras

from models import pairs
from trainer.architectures import base

if TYPE_CHECKING:
    from trainer.text.reader import Reader
    from trainer.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """The arguments that these builders share, and those of `models.pairs.pair`."""

    letters: int = 0
    pair_width: int = 256
    pair_attention: str = "multiplicative"


AnyConfig = TypeVar("AnyConfig", bound=Config)


class Units(base.Architecture[AnyConfig]):
    gives: ClassVar[tuple[str, ...]] = ("pooled", "hidden_states", "pairs")

    def reader(self, tokenizer: Tokenizer, max_length: int) -> Reader:
        from trainer.text.plain_reader import PlainReader

        return PlainReader(tokenizer, max_length)

    def build(self, config: AnyConfig, wants: dict[str, Any], *, seed: int) -> keras.Model:
        arguments = {name: value for name, value in asdict(config).items() if not name.startswith("pair_")}
        return type(self).builder(**arguments, **self.always, **wants, seed=seed)

    def build_pair(self, config: AnyConfig, wants: dict[str, Any], *, seed: int) -> keras.Model:
        return paired(self.build(config, wants, seed=seed), config, wants, seed=seed)


def paired(encoder: keras.Model, config: Config, wants: dict[str, Any], *, seed: int) -> keras.Model:
    """Returns the model of two texts, of an encoder of one, as a configuration says; other args as `Units.build`."""
    width, attention = config.pair_width, config.pair_attention
    return pairs.pair(encoder, width=width, attention=attention, dropout=config.dropout, seed=seed, **wants)
