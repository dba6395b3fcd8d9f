"""Every architecture by name: a row each."""

from pathlib import Path
from typing import Any

from trainer.architectures.base import Architecture, Config
from trainer.architectures.bert import Bert
from trainer.errors import Mistake
from trainer.weights import pretrained

ARCHITECTURES: dict[str, Architecture] = {"bert": Bert()}


def named(model: str) -> tuple[Architecture, dict[str, Any]]:
    """Returns (architecture, size) of what --model names: `bert-mini`, or a size of BERT's alone; `NAME` for its default size.

    Raises:
        Mistake: There is none of that name.
    """
    bert = ARCHITECTURES["bert"]
    names: dict[str, tuple[Architecture, dict[str, Any]]] = {}
    for name, architecture in ARCHITECTURES.items():
        names |= {f"{name}-{size}": (architecture, value) for size, value in architecture.sizes.items()}
        if "default" in architecture.sizes:
            names[name] = architecture, architecture.sizes["default"]
    names |= {size: (bert, value) for size, value in bert.sizes.items()}
    if model not in names:
        expected = ", ".join([*bert.sizes, *(name for name in names if "-" not in name and name not in bert.sizes)])
        raise Mistake(f"--model: expected one of {expected}, received {model}")
    return names[model]


def read(folder: str | Path) -> tuple[Architecture, Config]:
    """Returns the architecture and the configuration of a folder of weights.

    Raises:
        FileNotFoundError, ValueError: No such file; no architecture of ours; a setting that it does not have.
    """
    settings, path = pretrained.read_config(folder)
    architecture = ARCHITECTURES.get(settings.get("model_type", ""), ARCHITECTURES["bert"])
    return architecture, architecture.from_settings(settings, path)
