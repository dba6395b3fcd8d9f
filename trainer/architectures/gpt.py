"""GPT as an architecture: settings and weights bear the names of GPT-2 at Hugging Face."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import keras

from models import gpt as builder
from trainer.architectures import base
from trainer.weights import gpt as published
from trainer.weights import tensors


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """The arguments of `models.gpt.gpt`."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    feed_forward: int | None = None  # 4 * width
    positions: int = 512
    activation: str = "gelu_tanh"
    attention_dropout: float = 0.1
    epsilon: float = 1e-5


class GPT(base.Architecture[Config]):
    name, title = "gpt2", "GPT"
    builder = builder.gpt
    config_class = Config
    always: ClassVar = {"packed": True}
    gives = ("pooled", "hidden_states", "pairs", "states")
    prefix = published.PREFIX
    language_model = "GPT2LMHeadModel"
    sizes: ClassVar = {
        "gpt": {},
        "gpt2": {"layers": 12, "width": 768, "heads": 12, "positions": 1024},
    }

    def to_settings(self, config: Config) -> dict[str, Any]:
        values = asdict(config)
        theirs = {ours: name for name, ours in published.ACTIVATIONS.items()}
        values["activation"] = theirs.get(config.activation, config.activation)
        settings = {name: values[ours] for name, ours in published.ARGUMENTS.items()}
        settings |= {"embd_pdrop": config.dropout, "tie_word_embeddings": True}
        return {"model_type": self.name, "vocab_size": config.vocabulary_size} | settings

    def from_settings(self, settings: dict[str, Any], path: Path) -> Config:
        missing = [name for name in ("vocab_size", *published.ARGUMENTS) if name not in settings]
        if missing:
            raise ValueError(f"{path}: {', '.join(missing)} missing")
        values = {ours: settings[name] for name, ours in published.ARGUMENTS.items()}
        values["activation"] = published.ACTIVATIONS.get(values["activation"], values["activation"])
        return Config(vocabulary_size=settings["vocab_size"], **values)

    def table(self, model: keras.Model) -> dict[str, tensors.Stored]:
        return published.table(model)
