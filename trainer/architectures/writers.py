"""What models that write a text have in common: an encoder and a decoder, which are trained as one model of both."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import keras

from models import seq2seq
from trainer.architectures import base

if TYPE_CHECKING:
    from trainer.text.reader import Reader
    from trainer.text.tokenizer import Tokenizer

AnyConfig = TypeVar("AnyConfig", bound=base.Config)
NUMBERED = re.compile(r"(encoder_)?(?:layer_)?(\d+)_")


class Writer(base.Architecture[AnyConfig]):
    """`builder` returns (encoder, decoder), as `models.seq2seq.seq2seq` does."""

    gives: ClassVar[tuple[str, ...]] = ("writes",)

    def reader(self, tokenizer: Tokenizer, max_length: int) -> Reader:
        from trainer.text.writing_reader import WritingReader

        return WritingReader(tokenizer, max_length)

    def build(self, config: AnyConfig, wants: dict[str, Any], *, seed: int) -> keras.Model:
        """Returns the model of both, with the layers `encoder` and `decoder`; see `models.seq2seq.joined`."""
        return seq2seq.joined(*type(self).builder(**asdict(config), **self.always, **wants, seed=seed))

    def layers(self, config: AnyConfig) -> int:
        return 2 * super().layers(config)

    def depths(self, model: keras.Model, head: Iterable[str]) -> dict[str, int]:
        """Returns {name of a layer: its depth}: embeddings 0, the layers of the encoder, then those of the decoder, and one more
        what has no number."""
        names = [layer.name for layer in base.layers_of(model)]
        numbers = {name: match for name in names if (match := NUMBERED.match(name))}
        layers = 1 + max(int(match[2]) for match in numbers.values())
        depths = {name: 1 + int(match[2]) + (not match[1]) * layers for name, match in numbers.items()}
        first = lambda name: "embedding" in name or "position_codes" in name
        return {name: 0 if first(name) else 2 * layers + 1 for name in names} | depths
