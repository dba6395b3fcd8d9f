"""Counters, histograms and gauges, and the page on which Prometheus reads them.

A metric has at most `MAX_CELLS` combinations of labels; requests can name any model, so what comes beyond is counted under
`OTHER`.
"""

import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping

from serving.server.refusal import cut

MAX_CELLS = 1000
OTHER = "other"
Labels = tuple[str, ...]


class Metric:
    """A metric with labels; safe to share between threads.

    Args:
        name: As Prometheus shows it.
        help: What it counts.
        labels: Names of its labels.
    """

    kind = "untyped"

    def __init__(self, name: str, help: str, labels: Labels = ()) -> None:
        self.name, self.help, self.labels = name, help, labels
        self._lock = threading.Lock()
        REGISTRY[name] = self

    def lines(self) -> list[str]:
        """Returns its values, a line each."""
        raise NotImplementedError

    def _line(self, suffix, values, number, **more):
        pairs = [*zip(self.labels, values, strict=True), *more.items()]
        text = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
        return f"{self.name}{suffix}{{{text}}} {number}"

    def _cell(self, cells, values, empty):
        """Returns the key of a cell, which exists; requests can name models at any length."""
        if values not in cells:
            values = tuple(map(cut, values))
        if values not in cells:
            if len(cells) >= MAX_CELLS:
                values = (OTHER,) * len(self.labels)
            cells.setdefault(values, empty())
        return values


REGISTRY: dict[str, Metric] = {}


class Counter(Metric):
    """A number that grows."""

    kind = "counter"

    def __init__(self, name: str, help: str, labels: Labels = ()) -> None:
        super().__init__(name, help, labels)
        self._cells: dict[Labels, float] = {}

    def add(self, amount: float, *labels: str) -> None:
        """Counts."""
        with self._lock:
            self._cells[self._cell(self._cells, labels, int)] += amount

    def lines(self) -> list[str]:
        """See `Metric`."""
        with self._lock:
            return [self._line("", values, number) for values, number in self._cells.items()]

    def first(self) -> int:
        """Returns the number of the first labels in alphabetical order; 0 if there are none."""
        with self._lock:
            return int(self._cells[min(self._cells)]) if self._cells else 0


class Histogram(Metric):
    """How often values fell between limits.

    Args:
        limits: Ascending; values of the last and above go into a bucket of their own.
    """

    kind = "histogram"

    def __init__(self, name: str, help: str, labels: Labels, limits: list[float]) -> None:
        super().__init__(name, help, labels)
        self._limits = limits
        self._cells: dict[Labels, list[float]] = {}  # numbers of each bucket, sum of the values

    def add(self, value: float, *labels: str) -> None:
        """Counts a value."""
        with self._lock:
            cell = self._cells[self._cell(self._cells, labels, lambda: [0] * (len(self._limits) + 2))]
            cell[bisect_right(self._limits, value)] += 1
            cell[-1] += value

    def lines(self) -> list[str]:
        """See `Metric`."""
        lines = []
        with self._lock:
            cells = {values: list(cell) for values, cell in self._cells.items()}
        for values, (*buckets, total) in cells.items():
            count: float = 0
            for limit, number in zip([f"{limit:g}" for limit in self._limits] + ["+Inf"], buckets, strict=True):
                count += number
                lines.append(self._line("_bucket", values, count, le=limit))
            lines += [self._line("_sum", values, total), self._line("_count", values, count)]
        return lines


class Gauge(Metric):
    """What is the case when it is asked for; `read` returns {labels: number}."""

    kind = "gauge"
    read: Callable[[], Mapping[Labels, float]] = staticmethod(dict)

    def lines(self) -> list[str]:
        """See `Metric`."""
        return [self._line("", values, number) for values, number in self.read().items()]


def page() -> bytes:
    """Returns all metrics that have values."""
    lines = []
    for _, metric in sorted(REGISTRY.items()):
        if values := metric.lines():
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *values]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def joined(pages: Mapping[int, bytes]) -> bytes:
    """Returns one page of those of several workers {number: page}: each value has its worker as a further label."""
    comments: dict[str, list[str]] = {}  # {metric: its lines of help and type}
    values: dict[str, list[str]] = {}
    for worker, content in sorted(pages.items()):
        name = ""
        for line in content.decode().split("\n"):  # a name may contain other ends of lines
            if not line:
                continue
            if line.startswith("# HELP "):
                name = line.split(" ", 3)[2]
                comments[name] = []
            if line.startswith("# "):
                comments[name].append(line)
            else:
                series, _, labels = line.partition("{")
                more = "" if labels.startswith("}") else ","
                values.setdefault(name, []).append(f'{series}{{worker="{worker}"{more}{labels}')
    lines = [line for name in sorted(comments) for line in (*comments[name], *values.get(name, ()))]
    return ("\n".join(lines) + "\n").encode()


def first(name: str) -> int:
    """Returns the first number of a counter, named as TensorFlow Serving does, `/tensorflow/...`; 0 if there is none."""
    metric = REGISTRY.get(re.sub("[^a-zA-Z0-9_]", ":", name))
    return metric.first() if isinstance(metric, Counter) else 0


def _escaped(text):
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
