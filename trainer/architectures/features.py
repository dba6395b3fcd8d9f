"""A pretrained encoder whose layers are features, which a task reads by itself or through a recurrent network: `--features`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from models import features as builder
from trainer.architectures import base, units
from trainer.weights import tensors

if TYPE_CHECKING:
    from trainer.text.reader import Reader
    from trainer.text.tokenizer import Tokenizer

NAME = "features"
READ = ("vocabulary_size", "layers", "frozen", "dropout")  # fields of a configuration that are settings
HEAD_DROPOUT = 0.1  # where no other model reads the features


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """The configurations of the encoder and of what reads its layers, and how it reads them."""

    encoder: base.Config
    top: base.Config | None = None
    layers: str = builder.MIX  # mix, last, or a number
    frozen: bool = True  # the encoder keeps its weights, and nothing in it is dropped

    def shown(self) -> str:
        """Returns in words what is read."""
        of_one = "the last layer" if self.layers == builder.LAST else f"layer {self.layers} (0: the embeddings)"
        return "a mix of all layers, whose weights are learned" if self.layers == builder.MIX else of_one

    @property
    def letters(self) -> int:
        """Of words, as the encoder reads them."""
        return getattr(self.encoder, "letters", 0)


class Features(base.Architecture[Config]):
    """An architecture made of two.

    Args:
        encoder: Whose layers are read.
        top: What reads them, see `trainer.architectures.base.Architecture.reads_features`; None: the head of the task.
    """

    name = NAME
    config_class = Config
    gives = ("pooled", "hidden_states", "pairs")
    optional = ("pooler", "mix", builder.TOP)
    sizes = {}  # noqa: RUF012  a class variable, as in the base

    def __init__(self, encoder: base.Architecture, top: base.Architecture | None) -> None:
        self.encoder, self.top = encoder, top
        self.title = f"{encoder.title} as features" + (f" of a {top.title}" if top else "")
        self.prefix = encoder.prefix

    def build(self, config: Config, wants: dict[str, Any], *, seed: int) -> keras.Model:
        encoder = self.encoder.build(self._encoder_config(config), {}, seed=seed)
        top = None
        if self.top and config.top:
            given = wants | {"features": builder.width_of(encoder, config.layers), "name": builder.TOP}
            with keras.name_scope(builder.TOP):
                top = self.top.build(config.top, given, seed=seed)
        return builder.features(encoder, top, layers=config.layers, **wants)

    def _encoder_config(self, config):
        if not config.frozen:
            return config.encoder
        return base.Architecture.with_dropout(self.encoder, config.encoder, 0.0)  # all of its rates

    def build_pair(self, config: Config, wants: dict[str, Any], *, seed: int) -> keras.Model:
        if not isinstance(self.encoder, units.Units):
            return self.build(config, wants, seed=seed)  # one sequence of both texts
        how = config.top or config.encoder
        assert isinstance(how, units.Config)
        return units.paired(self.build(config, wants, seed=seed), how, wants, seed=seed)

    def reader(self, tokenizer: Tokenizer, max_length: int) -> Reader:
        return self.encoder.reader(tokenizer, max_length)

    def to_settings(self, config: Config) -> dict[str, Any]:
        top = self.top.to_settings(config.top) if self.top and config.top else None
        settings = {"model_type": self.name, "encoder": self.encoder.to_settings(config.encoder), "top": top}
        return settings | {name: getattr(config, name) for name in READ}

    def from_settings(self, settings: dict[str, Any], path: Path) -> Config:
        missing = [name for name in READ if name not in settings]
        if missing:
            raise ValueError(f"{path}: {', '.join(missing)} missing")
        encoder = self.encoder.from_settings(settings["encoder"], path)
        top = self.top.from_settings(settings["top"], path) if self.top else None
        return Config(encoder=encoder, top=top, **{name: settings[name] for name in READ})

    def with_dropout(self, config: Config, rate: float) -> Config:
        encoder = config.encoder if config.frozen else self.encoder.with_dropout(config.encoder, rate)
        top = self.top.with_dropout(config.top, rate) if self.top and config.top else None
        return replace(config, encoder=encoder, top=top, dropout=rate)

    def head_dropout(self, config: Config) -> float:
        return self.top.head_dropout(config.top) if self.top and config.top else config.dropout

    def longest(self, config: Config) -> int | None:
        return self.encoder.longest(config.encoder)

    def layers(self, config: Config) -> int:
        return self.encoder.layers(config.encoder)

    def depths(self, model: keras.Model, head: Iterable[str]) -> dict[str, int]:
        """As that of any architecture, with what reads the features between the encoder and what stands behind it."""
        found = super().depths(model, head)
        level = 1 + max((depth for name, depth in found.items() if name.startswith("layer_")), default=0)
        found = {name: depth + (depth >= level) for name, depth in found.items()}
        return found | {"mix": level, builder.TOP: level}

    def frozen_below(self, config: Config, depths: dict[str, int]) -> int:
        return depths[builder.TOP] if config.frozen else 0

    def table(self, model: keras.Model) -> dict[str, tensors.Stored]:
        return tensors.by_path(model) | self.encoder.table(model)

    def learned(self, model: keras.Model) -> dict[str, float]:
        """Returns `weight_I` of each layer that is mixed, 0 the embeddings, their sum 1, and `scale`; of one layer nothing."""
        if "mix" not in {layer.name for layer in model.layers}:
            return {}
        mix = model.get_layer("mix")
        weights = keras.ops.convert_to_numpy(mix.weights_of_tensors()).tolist()
        values = {f"weight_{i}": weight for i, weight in enumerate(weights)} | {"scale": float(mix.scale)}
        return {name: round(value, 4) for name, value in values.items()}
