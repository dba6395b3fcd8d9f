"""A report, as `report.report` returns it, in lines for a terminal."""

import textwrap
from collections.abc import Sequence
from typing import Any

from trainer.reports import columns
from trainer.reports.bootstrap import DRAWS, LEVEL

MOST_IN_MATRIX = 12  # classes
MOST_CLASSES = 40
MOST_PAIRS = 10
LONGEST_NAME = 24  # columns of a terminal

Values = dict[str, dict[str, float]]


def report(content: dict[str, Any], width: int = 80) -> str:
    """Returns the report of a scored file: scores with intervals, by class, what was taken for what, by length and group.

    Args:
        content: See `trainer.reports.report.report`.
        width: Columns of the terminal; a matrix that is wider is a list of the most frequent confusions instead.
    """
    unit, decimals = content["unit"], decimals_of(content)
    blocks = [_intervals(content["intervals"], unit, decimals)]
    for name, entry in [("class", content), *((key, value) for key, value in content.items() if _has_classes(value))]:
        if "classes" in entry:
            blocks.append(_classes(name, entry["classes"], entry["averages"]))
        if entry.get("confusion"):
            blocks.append(_confusion(entry["classes"], entry["confusion"], width))
    for name, buckets in content["lengths"].items():
        ranges = [_range(bucket["from"], bucket["to"]) for bucket in buckets]
        blocks.append(_groups(name, unit, ranges, buckets, decimals))
    for name, groups in content.get("groups", {}).items():
        blocks.append(_groups(name, unit, [group["group"] or "-" for group in groups], groups, decimals))
    return "\n\n".join("\n".join(block) for block in blocks)


def decimals_of(content: dict[str, Any]) -> int:
    """Returns how many decimals the scores of a report have in lines: percents two."""
    return 2 if content.get("percent") else 4


def differences(runs: Sequence[str], scores: Sequence[Values], values: Values, content: dict[str, Any]) -> str:
    """Returns the scores of two runs on the same file, and their difference, in lines.

    Args:
        runs: Their names.
        scores: {score: {value, low, high}} of each.
        values: {score: {value, low, high, other_sign}}, the first run's less the second's.
        content: The report of one of them.
    """
    unit, decimals = content["unit"], decimals_of(content)
    rows = [["score", "first", "second", "difference", *_heads(), "other sign"]]
    for name, value in values.items():
        of_runs = [of_run[name]["value"] for of_run in scores]
        numbers = _numbers([*of_runs, value["value"], value["low"], value["high"]], decimals)
        rows.append([name, *numbers[:3], f"[{numbers[3]},", f"{numbers[4]}]", f"{100 * value['other_sign']:.1f}%"])
    names = [f"first     {runs[0]}", f"second    {runs[1]}"]
    note = (
        f"(difference: first less second; {_level()} interval: percentiles of {DRAWS:,} draws of {unit}, the same for both; "
        "other sign: share of the draws in which the difference has the other sign, or is 0)"
    )
    return "\n".join([*names, "", *columns.lines(rows), *textwrap.wrap(note, 80)])


def _intervals(values, unit, decimals):
    rows = [["score", "value", *_heads()]]
    for name, interval in values.items():
        value, low, high = _numbers([interval[key] for key in ("value", "low", "high")], decimals)
        rows.append([name, value, f"[{low},", f"{high}]"])
    return [*columns.lines(rows), f"({_level()} interval: percentiles of {DRAWS:,} draws of {unit})"]


def _classes(title, by_class, averages):
    names = list(by_class)
    note = []
    if len(names) > MOST_CLASSES:  # where it fails
        names = sorted(names, key=lambda name: by_class[name]["f1"])[:MOST_CLASSES]
        note = [f"({MOST_CLASSES} of {len(by_class)}, those with the lowest f1)"]
    measures = ("precision", "recall", "f1")
    rows = [[title, *measures, "support", "predicted"]]
    for name in names:
        values = by_class[name]
        cells = [f"{values[measure]:.4f}" for measure in measures]
        rows.append([_name(name), *cells, f"{values['support']:,}", f"{values['predicted']:,}"])
    for name, values in averages.items():
        rows.append([f"({name})", *[f"{values[measure]:.4f}" for measure in measures], "", ""])
    return [*columns.lines(rows), *note]


def _confusion(by_class, confusion, width):
    names = list(by_class)
    if len(names) <= MOST_IN_MATRIX:
        count = {(gold, predicted): number for gold, predicted, number in confusion}
        count |= {(name, name): values["right"] for name, values in by_class.items()}
        rows = [["gold \\ predicted", *map(_name, names)]]
        rows += [[_name(gold), *[f"{count.get((gold, name), 0):,}" for name in names]] for gold in names]
        matrix = columns.lines(rows)
        if max(map(columns.width, matrix)) <= width:
            return matrix
    most = confusion[:MOST_PAIRS]
    rows = [["gold", "predicted", "count", "of gold"]]
    for gold, predicted, count in most:
        rows.append([_name(gold), _name(predicted), f"{count:,}", f"{100 * count / by_class[gold]['support']:.1f}%"])
    rest = sum(count for *_, count in confusion[MOST_PAIRS:])
    return [
        *columns.lines(rows, names=2),
        *([f"(and {rest:,} more, of {len(confusion)} pairs in all)"] if rest else []),
    ]


def _groups(title, unit, names, groups, decimals):
    scores = [name for name in groups[0] if name not in ("from", "to", "group", "examples")]
    cells = [_numbers([group[name] for group in groups], decimals) for name in scores]
    rows = [[title, unit, *scores]]
    for name, group, *of_group in zip(names, groups, *cells, strict=True):
        rows.append([_name(name), f"{group['examples']:,}", *of_group])
    return columns.lines(rows)


def _range(first, last):
    return f"{first:,}-{last:,}" if first < last else f"{first:,}"


def _has_classes(value):
    return isinstance(value, dict) and "averages" in value


def _name(name):
    return columns.shortened(name, LONGEST_NAME)


def _numbers(values, decimals):
    return [f"{value:.{decimals}f}" for value in values]


def _heads():
    return ["low", "high"]


def _level():
    return f"{100 * LEVEL:.0f}%"
