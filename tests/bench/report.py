"""Figures of a benchmark beside each other: ratios, shares of what the machine can do, tables. Imports no framework."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

MACHINE = "machine"  # begins the keys of what it can do
READ = "read"  # of its memory


@dataclass
class Measure:
    """What several contenders took for the same work.

    Args:
        key: Of `tests.bench.titles.MEASURES`.
        figures: {contender: value}; ours begin with "ours".
        unit: "ms", "GB", or what is made a second: "sentences/s".
        flops: Floating-point operations of one run, or of one of what is made; 0: not compared with the machine.
        weights: Bytes that each run reads at least.
        targets: [(of ours, beside which, at least so many times as good)]; `CEILING` stands for the machine's products.
        notes: Lines below the table.
    """

    key: str
    figures: dict[str, float]
    unit: str
    flops: float = 0
    weights: float = 0
    targets: list[tuple[str, str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")

    def ratio(self, name: str, beside: str) -> float:
        """Returns how many times as good a contender is as another."""
        value, other = self.figures[name], self.figures[beside]
        return value / other if self.more_is_better else other / value

    @property
    def ours(self) -> list[str]:
        return [name for name in self.figures if name.startswith("ours")]

    @property
    def peers(self) -> list[str]:
        return [name for name in self.figures if not name.startswith("ours")]


CEILING = "the machine's products"


@dataclass
class Report:
    """All measures of a run of `make bench`; see `Measure`.

    Args:
        about: The machine, versions, load, command.
        measures: In the order of the tables.
    """

    about: dict[str, Any]
    measures: list[Measure]

    @classmethod
    def of(cls, content: dict[str, Any]) -> "Report":
        """Returns the report that `content` was."""
        return cls(content["about"], [Measure(**measure) for measure in content["measures"]])

    def content(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        return asdict(self)

    @property
    def products(self) -> float:
        """Floating-point operations a second of the fastest products of this machine; 0: not measured."""
        return 1e9 * max((value for _, value in self._machine("GFLOP/s")), default=0)

    @property
    def bandwidth(self) -> float:
        """Bytes a second that this machine reads of its memory; 0: not measured."""
        return 1e9 * dict(self._machine("GB/s")).get(READ, 0)

    def _machine(self, unit) -> Iterator[tuple[str, float]]:
        for measure in self.measures:
            if measure.key.startswith(MACHINE) and measure.unit == unit:
                yield from measure.figures.items()

    @property
    def busy(self) -> bool:
        """Whether other programs computed, too: before, or beside as many threads as were to be measured."""
        before, after = self.about["load"]
        return before > 1 or after > self.about["threads"] + 1

    def bound(self, measure: Measure) -> float:
        """Returns the best value that the machine's products and memory allow in float32; 0: unknown."""
        if not measure.flops or not self.products:
            return 0
        seconds = max(measure.flops / self.products, measure.weights / self.bandwidth)
        return 1 / seconds if measure.more_is_better else 1000 * seconds

    def share(self, measure: Measure, name: str) -> float:
        """Returns a contender's value beside the bound, 1 at best; 0: not to be compared."""
        bound, value = self.bound(measure), measure.figures[name]
        if not bound or "int8" in name:  # the bound is that of float32
            return 0
        return value / bound if measure.more_is_better else bound / value

    def against(self, measure: Measure, name: str, beside: str) -> float:
        """Returns how many times as good a contender of ours is as what a target names; 0: unknown."""
        if beside == CEILING:
            return self.share(measure, name)
        return measure.ratio(name, beside) if {name, beside} <= {*measure.figures} else 0


def shown(value: float) -> str:
    """Returns a value with three digits or more: 1.23, 12.3, 123."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def tables(report: Report, titles: dict[str, str]) -> str:
    """Returns the tables, for a terminal."""
    lines = []
    for measure in report.measures:
        lines += ["", titles[measure.key], *_table(report, measure), *_targets(report, measure), *measure.notes]
    return "\n".join(lines)


def _table(report, measure):
    peers, bound = measure.peers if measure.ours else [], report.bound(measure)
    width = max(map(len, [*measure.figures, BOUND]))
    columns = [f"/ {name}" for name in peers] + ["of the bound"] * bool(bound)
    yield f"{'':{width}} {measure.unit:>12}  " + "  ".join(columns)
    for name, value in measure.figures.items():
        cells = [f"{measure.ratio(name, peer):.2f}x" if name in measure.ours else "" for peer in peers]
        share = report.share(measure, name)
        cells += [f"{share:.0%}" if share else ""] * bool(bound)
        row = "  ".join(f"{cell:>{len(column)}}" for cell, column in zip(cells, columns, strict=True))
        yield f"{name:{width}} {shown(value):>12}  {row}".rstrip()
    if bound:
        yield f"{BOUND:{width}} {shown(bound):>12}"


BOUND = "what the machine allows, float32"


def _targets(report, measure):
    for name, beside, least in measure.targets:
        if found := report.against(measure, name, beside):
            yield f"{name}: {found:.2f} of {beside}, at least {least:.2f} wanted: {'met' if found >= least else 'MISSED'}"
