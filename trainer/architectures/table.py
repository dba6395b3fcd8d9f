"""Every architecture by name: a row each."""

from pathlib import Path
from typing import Any

from trainer.architectures.bag import Bag
from trainer.architectures.base import Architecture, Config
from trainer.architectures.bert import Bert
from trainer.architectures.elmo import ELMo
from trainer.architectures.features import NAME as FEATURES
from trainer.architectures.features import Features
from trainer.architectures.gpt import GPT
from trainer.architectures.rnn import Recurrent
from trainer.architectures.seq2seq import Seq2Seq
from trainer.architectures.transformer import Transformer
from trainer.architectures.transformer_seq2seq import TransformerSeq2Seq
from trainer.errors import Mistake
from trainer.weights import pretrained

ARCHITECTURES: dict[str, Architecture] = {
    "bag": Bag(),
    "rnn": Recurrent(),
    "transformer": Transformer(),
    "seq2seq": Seq2Seq(),
    "transformer-seq2seq": TransformerSeq2Seq(),
    "elmo": ELMo(),
    "gpt2": GPT(),
    "bert": Bert(),
}


def named(model: str) -> tuple[Architecture, dict[str, Any]]:
    """Returns (architecture, size) of what --model names: a size, `bilstm`; or `bert-mini`, the architecture before it.

    Raises:
        Mistake: There is none of that name.
    """
    plain = {
        size: (architecture, value)
        for architecture in ARCHITECTURES.values()
        for size, value in architecture.sizes.items()
    }
    names = {
        f"{architecture.name}-{size}": (architecture, value) for size, (architecture, value) in plain.items()
    } | plain
    if model not in names:
        raise Mistake(f"--model: expected one of {', '.join(plain)}, received {model}")
    return names[model]


def read(folder: str | Path) -> tuple[Architecture, Config]:
    """Returns the architecture and the configuration of a folder of weights.

    Raises:
        FileNotFoundError, ValueError: No such file; no architecture of ours; a setting that it does not have.
    """
    settings, path = pretrained.read_config(folder)
    architecture = _of_settings(settings)
    return architecture, architecture.from_settings(settings, path)


def _of_settings(settings):
    """Returns the architecture of the settings of a model; one of features is made of those of its parts."""
    kind, parts = settings.get("model_type", ""), [settings.get(part) for part in ("encoder", "top")]
    if kind == FEATURES and parts[0]:
        return Features(*(part and _of_settings(part) for part in parts))
    return ARCHITECTURES.get(kind, ARCHITECTURES["bert"])
