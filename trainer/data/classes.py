"""The classes of training rows, checked before training: a file that was misread, sorted or unlabelled shows here.

Imports no framework.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainer.data.schema import Row
from trainer.data.source import AnyPath
from trainer.errors import Mistake, short
from trainer.progress import say
from trainer.tasks.table import Task

FRACTION = re.compile(r"[+-]?\d*\.\d+")
BALANCED = "balanced"
MOST_SHOWN = 20
SURPRISING = 4  # standard deviations


def check(
    rows: Sequence[Row], task: Task, path: AnyPath, *, labels: Sequence[str] | None = None, remedy: str = ""
) -> None:
    """Refuses training rows whose labels cannot be classes, and warns of classes with one row or none.

    Args:
        rows: With the task's target.
        task: One whose target is a label.
        path: For messages.
        labels: Those that were asked for; None: those that the rows have.
        remedy: What the message about a single class ends with.

    Raises:
        Mistake: One class; numbers with fractions; nearly as many classes as rows.
    """
    counts = Counter(row[task.target] for row in rows)
    if len(counts) < 2:
        raise Mistake(
            f"{path}: expected two or more different labels, found {short(next(iter(counts)))} in all {len(rows)} rows{remedy}"
        )
    if labels is None:
        if all(re.fullmatch(r"[+-]?\d*\.?\d+", label) for label in counts) and any(map(FRACTION.fullmatch, counts)):
            fraction = next(label for label in counts if FRACTION.fullmatch(label))
            raise Mistake(
                f"{path}: expected names of classes as labels, found numbers with fractions such as {fraction}"
            )
        if len(counts) > 2 and 2 * len(counts) > len(rows):
            raise Mistake(
                f"{path}: expected labels that several rows share, found {len(counts)} different ones in {len(rows)} rows, "
                f"{short(', '.join(list(counts)[:5]))} among them; --labels names them, if they are right"
            )
    once = [label for label, count in counts.items() if count == 1]
    if once:
        say(f"note      {path}: seen once only, too little to learn from: {_list(once)}")
    never = [label for label in labels or () if label not in counts]
    if never:
        say(f"note      {path}: without any row: {_list(never)}")


def weights_of(source: str, rows: Sequence[Row], task: Task, labels: Sequence[str]) -> list[float]:
    """Returns how much an example of each class counts in the loss, in the order of the labels.

    Args:
        source: `balanced`, as scikit-learn has it: rows / (classes * rows of the class), 1 for a class without any; or the path
            of a JSON object {label: weight}.
        rows: Of the training data.
        task: One whose target is a label.
        labels: All of them.

    Raises:
        Mistake: The file cannot be read, or does not give a weight above 0 for each label.
    """
    if source == BALANCED:
        counts = Counter(row[task.target] for row in rows)
        return [len(rows) / (len(labels) * counts[label]) if counts[label] else 1.0 for label in labels]
    expected = f"--class_weights {source}: expected {BALANCED}, or a file of JSON {{label: weight}}"
    try:
        weights = json.loads(Path(source).read_text(encoding="utf-8"))
    except OSError as error:
        raise Mistake(f"{expected}; it cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise Mistake(f"{expected}, found {error}") from None
    if not isinstance(weights, dict) or {*weights} != {*labels}:
        names = ", ".join(weights) if isinstance(weights, dict) else type(weights).__name__
        raise Mistake(f"{expected} with {', '.join(labels)}, found {short(names)}")
    for label, weight in weights.items():
        if type(weight) not in (int, float) or not 0 < weight < math.inf:
            raise Mistake(f"{expected}, numbers above 0, found {short(json.dumps(weight))} for {label}")
    return [float(weights[label]) for label in labels]


def describe(rows: Sequence[Row], task: Task, labels: Sequence[str]) -> str:
    """Returns in words how many rows each class has, or label of several; of scores, their range and mean."""
    golds = [row[task.target] for row in rows]
    if task.target == "score":
        return f"from {min(golds):g} to {max(golds):g}, {sum(golds) / len(golds):g} on average"
    counts = Counter(label for gold in golds for label in ([gold] if isinstance(gold, str) else gold))
    shown = ", ".join(f"{label} {counts[label]:,} ({counts[label] / len(rows):.1%})" for label in labels[:MOST_SHOWN])
    return shown + (f", and {len(labels) - MOST_SHOWN} more" if len(labels) > MOST_SHOWN else "")


def tell_shares(path: AnyPath, counts: Counter[str], all_counts: Counter[str], remedy: str = "") -> None:
    """Warns if the shares of the classes in the first rows of a file differ from those in the whole file.

    Args:
        path: For the message.
        counts: {label: rows} of the first rows.
        all_counts: {label: rows} of all rows.
        remedy: What the message ends with.
    """
    number, total = sum(counts.values()), sum(all_counts.values())
    for label, of_all in all_counts.most_common():
        share = of_all / total
        # As if the rows had been drawn without replacement: a sorted file stands out, a shuffled one does not.
        deviation = (number * share * (1 - share) * (total - number) / max(total - 1, 1)) ** 0.5
        if abs(counts[label] - number * share) > SURPRISING * deviation:
            say(
                f"note      {path}: the first {number:,} rows hold {label} in {counts[label] / number:.0%}, all {total:,} in "
                f"{share:.0%}{remedy}"
            )
            return


def sample(rows: list[Row], number: int, *, target: str, seed: int) -> list[Row]:
    """Draws rows at random, in their order; each class keeps its share, to the nearest row.

    Args:
        rows: To draw from.
        number: How many to draw; all rows if there are not more.
        target: The field that names the class; if it is not `label`, rows have no classes.
        seed: Of the draw.
    """
    if number >= len(rows):
        return rows
    random = np.random.default_rng([seed, len(rows)])
    if target != "label":
        return [rows[i] for i in np.sort(random.choice(len(rows), number, replace=False))]
    places: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        places.setdefault(row[target], []).append(i)
    exact = {label: number * len(indices) / len(rows) for label, indices in places.items()}
    quota = {label: int(share) for label, share in exact.items()}
    for label in sorted(exact, key=lambda label: quota[label] - exact[label])[: number - sum(quota.values())]:
        quota[label] += 1  # the largest remainders
    chosen = [random.choice(indices, quota[label], replace=False) for label, indices in places.items()]
    return [rows[i] for i in np.sort(np.concatenate(chosen))]


def _list(labels):
    more = f", and {len(labels) - MOST_SHOWN} more" if len(labels) > MOST_SHOWN else ""
    return ", ".join(labels[:MOST_SHOWN]) + more
