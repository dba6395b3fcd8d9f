"""What an architecture is: a model of the lineage, as training, evaluation and export see it. TensorFlow is imported where text is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args, get_type_hints

import keras

from models import heads
from trainer.weights import pretrained, tensors

if TYPE_CHECKING:
    from trainer.text.reader import Reader
    from trainer.text.tokenizer import Tokenizer

# What an encoder may do, which kinds of tasks may need (`trainer.tasks.kind.Kind.needs`)
GIVES = {
    "pooled": "gives one vector a text",
    "hidden_states": "gives a vector for every piece of a text",
    "pairs": "reads two texts",
    "writes": "writes a text",
    "states": "reads from left to right (ELMo: in each direction), and carries states on",
}


UNSET = ("vocabulary_size", "others")  # fields of configurations that are not --settings
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", NoneType: "null"}


@dataclass(frozen=True, kw_only=True)
class Config:
    """The configuration of a model: its fields are the keywords of the builder; the first is V."""

    vocabulary_size: int
    dropout: float = 0.1


AnyConfig = TypeVar("AnyConfig", bound=Config)


class Architecture(Generic[AnyConfig]):
    """A model of the lineage. A new one says what stands under "its own"; the rest has defaults that fit most of them."""

    # Its own
    name: ClassVar[str]  # of a row, of --model, and `model_type` in config.json
    title: str  # for messages
    builder: ClassVar[Callable[..., keras.Model]]  # of `models`
    config_class: type[AnyConfig]
    sizes: ClassVar[dict[str, dict[str, Any]]]  # by name, fields of the configuration
    gives: ClassVar[tuple[str, ...]]  # of `GIVES`

    # Defaults
    family: ClassVar[str | None] = None  # of classes in transformers, `Bert`, if it has this architecture
    language_model: ClassVar[str | None] = None  # the class in transformers of what `pretrain lm` trains, if it has one
    directions: ClassVar[int] = 1  # that its language model reads in
    reads_features: ClassVar[bool] = False  # of units, from another encoder, see `models.features`
    optional: ClassVar[tuple[str, ...]] = ()  # layers of the encoder that published weights need not have
    prefix: str = ""  # see `trainer.weights.tensors.load`
    always: ClassVar[dict[str, Any]] = {}  # what the builder is given beside the configuration
    # What it is asked for ("wants") where sequences are read one after the other in one row; None: it has no such form
    joined: ClassVar[dict[str, Any] | None] = None

    def configuration(self, size: dict[str, Any], vocabulary_size: int) -> AnyConfig:
        """Returns the configuration of a new model."""
        return self.config_class(vocabulary_size=vocabulary_size, **size)

    def with_settings(self, config: AnyConfig, settings: Iterable[str]) -> AnyConfig:
        """Returns the configuration with other values: NAME=VALUE.

        Raises:
            ValueError: There is no setting of that name; a value is of another type.
        """
        import yaml

        types = {name: hint for name, hint in get_type_hints(self.config_class).items() if name not in UNSET}
        values: dict[str, Any] = {}
        for setting in settings:
            name, _, text = setting.partition("=")
            if name not in types:
                raise ValueError(f"{self.title} has the settings {', '.join(types)}, received {name}")
            value = yaml.safe_load(text)
            allowed = get_args(types[name]) or (types[name],)
            if type(value) is int and float in allowed:
                value = float(value)
            if type(value) not in allowed:
                expected = " or ".join(WORDS[hint] for hint in allowed)
                raise ValueError(f"{name}: expected {expected}, received {text}")
            values[name] = value
        return replace(config, **values)

    def build(self, config: AnyConfig, wants: dict[str, Any], *, seed: int) -> keras.Model:
        """Returns the encoder.

        It maps what its reader gives, `token_ids`, `segment_ids` [B, S] and `mask` [B, S], to a dict of `hidden_states`, a list
        of [B, S, D], the embeddings first, and `pooled` [B, D].

        Args:
            config: Of the model.
            wants: {"pooled_only": True} where that is all that is read.
            seed: Of the dropout.
        """
        return type(self).builder(**asdict(config), **self.always, **wants, seed=seed)

    def build_language_model(self, config: AnyConfig, *, seed: int) -> keras.Model:
        """Returns the model that says what comes next, of an architecture that gives `states`: see `models.heads.next_units`.

        Raises:
            ValueError: Its configuration reads in both directions.
        """
        encoder = self.build(config, {"states": True}, seed=seed)
        bias = self.language_model is None
        dropout = bias * self.head_dropout(config)
        return heads.next_units(encoder, config.vocabulary_size, bias=bias, dropout=dropout, seed=seed)

    def build_pair(self, config: AnyConfig, wants: dict[str, Any], *, seed: int) -> keras.Model:
        """Returns the encoder of two texts, from what its reader gives of them; by default that of one sequence. Args as `build`."""
        return self.build(config, wants, seed=seed)

    def reader(self, tokenizer: Tokenizer, max_length: int) -> Reader:
        """Returns how it reads text."""
        from trainer.text.reader import Reader

        return Reader(tokenizer, max_length)

    def to_settings(self, config: AnyConfig) -> dict[str, Any]:
        """Returns what `config.json` holds of a configuration."""
        return {"model_type": self.name, **asdict(config)}

    def from_settings(self, settings: dict[str, Any], path: Path) -> AnyConfig:
        """The way back from `to_settings`.

        Raises:
            ValueError: A setting is missing, or not what this architecture has; names the file and the setting.
        """
        missing = [field.name for field in fields(self.config_class) if field.name not in settings]
        if missing:
            raise ValueError(f"{path}: {', '.join(missing)} missing")
        return self.config_class(**{field.name: settings[field.name] for field in fields(self.config_class)})

    def with_dropout(self, config: AnyConfig, rate: float) -> AnyConfig:
        """Returns the configuration with this rate throughout."""
        rates: dict[str, Any] = {field.name: rate for field in fields(config) if field.name.endswith("dropout")}
        return replace(config, **rates)

    def head_dropout(self, config: AnyConfig) -> float:
        """Returns the rate before the head."""
        return config.dropout

    def longest(self, config: AnyConfig) -> int | None:
        """Returns how long a sequence may be; None: as long as one likes, as where places have no vector each."""
        learned = getattr(config, "position_codes", "learned") == "learned"
        return getattr(config, "positions", None) if learned else None

    def layers(self, config: AnyConfig) -> int:
        """Returns how many layers --freeze N counts."""
        return getattr(config, "layers", 0)

    def reads_ids(self, config: AnyConfig) -> bool:
        """Says whether the encoder reads units by their numbers in its vocabulary; else by their letters alone."""
        return True

    def frozen_below(self, config: AnyConfig, depths: dict[str, int]) -> int:
        """Returns the depth below which weights are always kept."""
        return 0

    def learned(self, model: keras.Model) -> dict[str, float]:
        """Returns what is shown of a model beside its scores as it learns, by name."""
        return {}

    def depths(self, model: keras.Model, head: Iterable[str]) -> dict[str, int]:
        """Returns {name of a layer: its depth} of a model with its head, for freezing and layer-wise decay.

        Embeddings 0, what is named layer_I_... 1 + I; the pooler, or what puts two texts together, if there is either, and the
        head's layers one more each.
        """
        numbers = {
            layer.name: int(layer.name.split("_")[1]) for layer in model.layers if layer.name.startswith("layer_")
        }
        top = 1 + max(numbers.values(), default=-1)
        between = [name for layer in model.layers if (name := layer.name) == "pooler" or name.startswith("pair_")]
        last = dict.fromkeys(between, top + 1) | dict.fromkeys(head, top + 1 + bool(between))
        return {
            layer.name: 1 + numbers[layer.name] if layer.name in numbers else last.get(layer.name, 0)
            for layer in model.layers
            if not isinstance(layer, keras.Model)  # of a pair: an encoder, whose layers stand here as well
        }

    def table(self, model: keras.Model) -> dict[str, tensors.Stored]:
        """Returns where each variable is stored in a file of weights."""
        return tensors.by_path(model)

    def load(self, model: keras.Model, folder: str | Path, *, ignore: Iterable[str] = ()) -> list[str]:
        """Sets the weights from a folder; see `trainer.weights.tensors.load`."""
        file = pretrained.read_tensors(folder)
        return tensors.load(model, file, self.table(model), ignore=ignore, prefix=self.prefix)

    def absent(self, model: keras.Model, folder: str | Path, layers: Iterable[str] = ()) -> tuple[str, ...]:
        """Returns those of some layers of a model, and of its `optional` ones, that a folder of weights does not have."""
        file = pretrained.read_tensors(folder)
        return tensors.absent(file, self.table(model), (*self.optional, *layers), prefix=self.prefix)

    def to_bytes(self, model: keras.Model) -> bytes:
        """Returns the weights as the content of a `model.safetensors`."""
        return tensors.to_bytes(model, self.table(model))


def layers_of(model: keras.Model) -> Iterator[keras.Layer]:
    """Yields the layers of a model, and of the models in it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer
