"""The picture of `make bench`: a bar a contender, a panel a measure; a broken line where the machine ends."""

from tests.bench.report import MACHINE, Measure, Report, shown
from tests.bench.titles import MEASURES
from trainer import pictures

OURS, PEERS = pictures.COLOURS[0], "#b8b8b8"
COLUMNS, WIDTH, BAR = 3, 15.0, 0.27  # inches: of the whole; of a bar with the space below it


def png(report: Report) -> bytes:
    """Returns the picture."""
    measures = [measure for measure in report.measures if not measure.key.startswith(MACHINE)]
    rows = [measures[i : i + COLUMNS] for i in range(0, len(measures), COLUMNS)]
    heights = [1.1 + BAR * max(len(measure.figures) for measure in row) for row in rows]
    figure = pictures.figure(WIDTH, 0.8 + sum(heights), dpi=110)
    grid = figure.add_gridspec(len(rows), COLUMNS, height_ratios=heights)
    for i, row in enumerate(rows):
        for j, measure in enumerate(row):
            _panel(figure.add_subplot(grid[i, j]), report, measure)
    about = report.about
    figure.suptitle(
        f"{about['machine']}, {about['threads']} threads: blue ours, grey peers; "
        "the broken line is what its products and memory allow in float32",
        fontsize=10,
    )
    return pictures.png(figure)


def _panel(axes, report: Report, measure: Measure) -> None:
    names, values = [*measure.figures], [*measure.figures.values()]
    bars = axes.barh(range(len(names)), values, color=[OURS if name in measure.ours else PEERS for name in names])
    axes.bar_label(bars, [shown(value) for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    better = "more" if measure.more_is_better else "less"
    axes.set_title(f"{MEASURES[measure.key][0]}\n{measure.unit}, {better} is better", fontsize=9)
    if bound := report.bound(measure):
        axes.axvline(bound, linestyle="--", linewidth=1, color=pictures.COLOURS[1])
    axes.set_xlim(0, 1.15 * max([*values, report.bound(measure)]))
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
