"""A comparison as a picture: score against seconds of training, and score by length."""

from typing import Any

from trainer import pictures
from trainer.pictures import COLOURS, MARKS

TICKS = {  # seconds -> words
    0.1: "0.1 s", 0.2: "0.2 s", 0.5: "0.5 s", 1: "1 s", 2: "2 s", 5: "5 s", 10: "10 s", 20: "20 s", 60: "1 min", 120: "2 min",
    300: "5 min", 600: "10 min", 1200: "20 min", 2400: "40 min", 3600: "1 h", 7200: "2 h", 18000: "5 h", 36000: "10 h", 86400: "1 day",
    172800: "2 days", 432000: "5 days",
}  # fmt: skip
PLACES = [
    (1, 0),
    (-1, 0),
    (0, 1),
    (0, -1),
    (1, 1),
    (1, -1),
    (-1, 1),
    (-1, -1),
]  # of a label beside its point, by preference


def png(comparison: dict[str, Any]) -> bytes:
    """Returns the picture: a labelled point a model, with the standard deviation over its seeds as an error bar; and beside it
    a line a model, where the runs have scores by length.

    Args:
        comparison: As in compare.json.
    """
    lengths = next((list(model["lengths"]) for model in comparison["models"] if model.get("lengths")), [])
    figure = pictures.figure(7.5 + 6 * bool(lengths), 5)
    axes = figure.add_subplot(1, 1 + bool(lengths), 1)
    against_seconds(figure, axes, comparison)
    if lengths:
        by_length(figure.add_subplot(1, 2, 2), comparison, lengths[0])
    return pictures.png(figure)


def by_length(axes: Any, comparison: dict[str, Any], counted: str) -> None:
    """Draws the score of each model by the length of what it read.

    Args:
        axes: Where.
        comparison: As in compare.json.
        counted: What lengths are counted in, of `lengths` of each model that has them.
    """
    for i, model in enumerate(comparison["models"]):
        if buckets := model.get("lengths", {}).get(counted):
            scores = [bucket["score"] for bucket in buckets]
            axes.plot(scores, marker=MARKS[i % len(MARKS)], color=COLOURS[i % len(COLOURS)], label=model["model"])
            ranges = [f"{bucket['from']}–{bucket['to']}\n({bucket['examples']:,})" for bucket in buckets]
            axes.set_xticks(range(len(buckets)), ranges)
    axes.set_title(f"by length: {counted}", fontsize=11)
    axes.set_xlabel(f"{counted} (examples)")
    _finish(axes, comparison)
    axes.legend(frameon=False)


def against_seconds(figure: Any, axes: Any, comparison: dict[str, Any]) -> None:
    """Draws a labelled point a model: its score against the seconds of its training."""
    models = comparison["models"]
    for i, model in enumerate(models):
        axes.errorbar(
            model["seconds"],
            model["score"],
            yerr=model["spread"] or None,
            fmt=MARKS[i % len(MARKS)],
            markersize=7,
            capsize=4,
            color=COLOURS[i % len(COLOURS)],
        )
    axes.set_xscale("log")
    scale(axes, models)
    seeds = {len(model["seeds"]) for model in models}
    over = (
        "one seed" if seeds == {1} else f"mean of {'/'.join(map(str, sorted(seeds)))} seeds, bars: standard deviation"
    )
    axes.set_title(f"{comparison['task']} on {comparison['dev']} ({over})", fontsize=11)
    axes.set_xlabel(f"time of training, a run ({comparison['machine']['cores']} cores)")
    _finish(axes, comparison)
    label(figure, axes, models)


def _finish(axes, comparison):
    axes.set_ylabel(comparison["metric"])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def scale(axes: Any, models: list[dict[str, Any]]) -> None:
    """Sets the limits, with room for labels, and ticks that people read."""
    from matplotlib.ticker import NullLocator

    seconds = [max(model["seconds"], 0.1) for model in models]
    low, high = min(seconds) / 1.6, max(seconds) * 1.6
    axes.set_xlim(low, high)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(ticks, [TICKS[tick] for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    bottoms = [model["score"] - (model["spread"] or 0) for model in models]
    tops = [model["score"] + (model["spread"] or 0) for model in models]
    margin = 0.12 * (max(tops) - min(bottoms)) or 0.01
    axes.set_ylim(min(bottoms) - margin, max(tops) + margin)


def label(figure: Any, axes: Any, models: list[dict[str, Any]]) -> None:
    """Writes each model's name beside its point, where it meets no other name and no point."""
    figure.canvas.draw()  # only then is it known where things are
    renderer = figure.canvas.get_renderer()
    inside = axes.get_window_extent(renderer)
    taken = [box for model in models for box in _boxes(axes, model)]
    for i, model in enumerate(models):
        point = (max(model["seconds"], 0.1), model["score"])
        best = None
        for distance in (9, 18, 30):
            for x, y in PLACES:
                text = axes.annotate(
                    model["model"],
                    point,
                    xytext=(x * distance, y * distance),
                    textcoords="offset points",
                    ha={1: "left", 0: "center", -1: "right"}[x],
                    va={1: "bottom", 0: "center", -1: "top"}[y],
                    fontsize=10,
                    color=COLOURS[i % len(COLOURS)],
                )
                box = text.get_window_extent(renderer)
                outside = not (
                    inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
                )
                meets = sum(box.overlaps(other) for other in taken) + 2 * outside
                if best is None or meets < best[0]:
                    if best:
                        best[1].remove()
                    best = (meets, text, box)
                else:
                    text.remove()
            if best and not best[0]:
                break
        if best:
            taken.append(best[2])


def _boxes(axes, model):
    """Returns the boxes of a point and of its bar, in pixels."""
    from matplotlib.transforms import Bbox

    spread = model["spread"] or 0
    x = max(model["seconds"], 0.1)
    (left, low), (_, high) = axes.transData.transform([(x, model["score"] - spread), (x, model["score"] + spread)])
    middle = (low + high) / 2
    return [
        Bbox.from_extents(left - 3, low, left + 3, high),
        Bbox.from_extents(left - 9, middle - 9, left + 9, middle + 9),
    ]
