"""`python -m trainer recipes [NAME]`"""

from trainer import recipes
from trainer.commands.listing import print_all
from trainer.options import Recipes
from trainer.writing import print_json


def run(options: Recipes) -> None:
    if options.name is None:
        print_all(recipes.known())
    else:
        recipe = recipes.named(options.name)
        print_json({"name": recipe.name, "task": recipe.task, "options": recipe.options, "found": recipe.found})
