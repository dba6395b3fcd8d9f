"""ELMo as an architecture."""

from dataclasses import dataclass
from typing import ClassVar

from models import elmo as builder
from trainer.architectures import units


@dataclass(frozen=True, kw_only=True)
class Config(units.Config):
    """The arguments of `models.elmo.elmo`."""

    layers: int = 2
    width: int = 128
    cell_width: int = 512
    dropout: float = 0.1


class ELMo(units.Units[Config]):
    name, title = "elmo", "ELMo"
    builder = builder.elmo
    config_class = Config
    gives = (*units.Units.gives, "states")
    directions = 2
    sizes: ClassVar = {
        "elmo": {},
        "elmo-original": {"width": 512, "cell_width": 4096, "letters": 50},  # the paper's
    }

    def reads_ids(self, config: Config) -> bool:
        return not config.letters
