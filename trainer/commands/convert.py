"""`python -m trainer convert SOURCE --to DIR`: pretrained weights in their other form."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

from trainer.options import Convert
from trainer.weights import hub
from trainer.weights.convert import convert
from trainer.writing import naming, print_json


def run(options: Convert) -> None:
    with naming(options.to):
        print_json(convert(hub.folder_of(options.source), options.to))
