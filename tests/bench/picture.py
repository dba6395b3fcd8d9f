"""The picture of `make bench`: a bar a contender, a panel a measure; a broken line where the machine ends."""

from statistics import median
from typing import Any

from tests.bench.report import MACHINE, Measure, Report, shown
from tests.bench.titles import MEASURES
from trainer import pictures

OURS, PEERS, BOUND = pictures.COLOURS[0], "#b8b8b8", pictures.COLOURS[1]
COLUMNS, WIDTH, BAR = 3, 15.0, 0.27  # inches: of the whole; of a bar with the space below it
LONGEST = 4  # times the median: a longer bar is cut, so that the others can be told apart


def png(report: Report) -> bytes:
    """Returns the picture."""
    measures = [measure for measure in report.measures if not measure.key.startswith(MACHINE)]
    rows = [measures[i : i + COLUMNS] for i in range(0, len(measures), COLUMNS)]
    most = [max(len(measure.figures) for measure in row) for row in rows]
    heights = [1.0 + BAR * bars for bars in most]
    figure = pictures.figure(WIDTH, 0.6 + sum(heights), dpi=110)
    grid = figure.add_gridspec(len(rows), COLUMNS, height_ratios=heights) if rows else None
    for i, row in enumerate(rows):
        for j, measure in enumerate(row):
            _panel(figure.add_subplot(grid[i, j]), report, measure, most[i])
    figure.suptitle(
        f"{report.about['machine']}, {report.about['threads']} threads. Blue: ours, grey: peers, "
        "broken line: what products and memory of the machine allow in float32",
        fontsize=10,
    )
    return pictures.png(figure)


def _panel(axes: Any, report: Report, measure: Measure, bars: int) -> None:
    """Draws a measure, with room for so many bars."""
    names, values, bound = [*measure.figures], [*measure.figures.values()], report.bound(measure)
    end = min(max([*values, bound]), LONGEST * median(values))
    axes.barh(range(len(names)), values, color=[OURS if name in measure.ours else PEERS for name in names])
    for place, value in enumerate(values):
        text = shown(value) if value <= end else f"→ {shown(value)}"
        axes.annotate(text, (min(value, end), place), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(bars - 0.4, -0.6)
    better = "more" if measure.more_is_better else "less"
    axes.set_title(f"{MEASURES[measure.key][0]}\n{measure.unit}, {better} is better", fontsize=9)
    if bound:
        axes.axvline(bound, linestyle="--", linewidth=1, color=BOUND)
    axes.set_xlim(0, 1.2 * end)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
