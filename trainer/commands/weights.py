"""`python -m trainer weights [NAME]`"""

from trainer.commands.listing import print_all
from trainer.options import Weights
from trainer.weights import hub
from trainer.writing import print_json


def run(options: Weights) -> None:
    if options.name is None:
        print_all(hub.known())
    else:
        print_json({"name": options.name, "path": str(hub.folder_of(options.name))})
