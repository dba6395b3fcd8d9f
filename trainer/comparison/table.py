"""A comparison as a table, in Markdown and in the lines of a terminal. Imports no framework."""

from typing import Any


def rows(comparison: dict[str, Any]) -> list[list[str]]:
    """Returns the cells, the names of the columns first, of what `compare` found; models by score, the best first."""
    names = [
        "model",
        "parameters",
        f"{comparison['metric']}, mean ± sd",
        "range",
        "seeds",
        "s an epoch",
        "answers/s",
        "MB",
    ]
    return [names, *map(_cells, comparison["models"])]


def _cells(model):
    spread = "" if model["spread"] is None else f" ± {model['spread']:.4f}"
    return [
        model["model"],
        f"{model['parameters']:,}",
        f"{model['score']:.4f}{spread}",
        f"{model['low']:.4f}–{model['high']:.4f}",
        str(len(model["seeds"])),
        f"{model['seconds_per_epoch']:.3g}"
        if model["seconds_per_epoch"] < 100
        else f"{model['seconds_per_epoch']:.0f}",
        f"{model['answers_per_second']:,.0f}",
        f"{model['bytes'] / 1e6:,.1f}",
    ]


def lines(comparison: dict[str, Any]) -> str:
    """Returns the table for a terminal."""
    table = rows(comparison)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    aligned = [
        [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        for cells in table
    ]
    return "\n".join("  ".join(cells) for cells in aligned)


def markdown(comparison: dict[str, Any], picture: str) -> str:
    """Returns the page: the table, the picture, and how the figures were found.

    Args:
        comparison: As in compare.json.
        picture: Its file's name.
    """
    names, *cells = rows(comparison)
    table = [names, ["---", *["---:"] * (len(names) - 1)], *cells]
    speed, machine = comparison["speed"], comparison["machine"]
    failed = [f"\nFailed: {', '.join(comparison['failed'])}.\n"] if comparison["failed"] else []
    return "\n".join([
        f"# {comparison['task']}: {comparison['metric']} on {comparison['dev']}\n",
        *["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table],
        *failed,
        f"\n![Score against seconds of training, and by length]({picture})\n",
        f"sd: standard deviation over the seeds (n - 1). Seconds an epoch: of the whole run, scoring included, divided by its "
        f"epochs. Answers/s: from strings to decoded answers, {speed['rows']} rows of the dev data in batches of "
        f"{speed['batch_size']}, median of {speed['passes']} passes, all models in turn in one process. MB: model.safetensors. "
        f"{machine['cores']} cores, {machine['machine']}, TensorFlow {machine['tensorflow']}; {comparison['date']}.\n",
    ])  # fmt: skip
