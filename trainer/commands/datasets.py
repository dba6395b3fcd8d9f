"""`python -m trainer datasets [NAME]`"""

from trainer.commands.listing import print_all
from trainer.data import datasets
from trainer.options import Datasets
from trainer.writing import print_json


def run(options: Datasets) -> None:
    if options.name is None:
        print_all(datasets.known())
    else:
        print_json({"name": options.name} | {part: str(path) for part, path in datasets.fetched(options.name).items()})
