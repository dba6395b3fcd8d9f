"""The tables of `make bench` as they stand in docs/results.md and docs/results.zh.md, between two marks."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.bench.report import MACHINE, Measure, Report, shown
from tests.bench.titles import MEASURES, UNITS, contender

BEGIN, END = "<!-- make bench writes from here -->", "<!-- to here -->"
LANGUAGES = ("en", "zh")  # in the order of `tests.bench.titles`
WORDS = {
    "en": {
        "in": "Measured {date} on {machine}; {threads} threads, load {before:.1f} before and {after:.1f} after; {versions}.",
        "machine": "Products of float32: {products:.0f} GFLOP/s; memory is read at {bandwidth:.0f} GB/s.",
        "bound": "what the machine allows",
        "busy": "**The machine was busy with other programs**: threads that wait for each other, as PyTorch's, lose most by that.",
        "times": "The same as a picture",
        "share": "of the machine",
        "stop": " ",
    },
    "zh": {
        "in": "{date} 测于 {machine}；{threads} 个线程，负载前 {before:.1f}、后 {after:.1f}；{versions}。",
        "machine": "float32 乘积：每秒 {products:.0f} GFLOP；内存读取：每秒 {bandwidth:.0f} GB。",
        "bound": "机器的上限",
        "busy": "**机器同时在运行其他程序**：互相等待的线程（如 PyTorch 的）因此损失最大。",
        "times": "同样内容的图",
        "share": "占机器上限",
        "stop": "",
    },
}


def write(report: Report, docs: Path, picture: str) -> None:
    """Puts the tables between the marks of both pages.

    Raises:
        ValueError: A page lacks the marks.
    """
    for language, name in zip(LANGUAGES, ("results.md", "results.zh.md"), strict=True):
        path = docs / name
        text = path.read_text(encoding="utf-8")
        if not re.search(f"{BEGIN}.*{END}", text, re.DOTALL):
            raise ValueError(f"{path}: expected {BEGIN} and {END}, found none")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        path.write_text(f"{before}{BEGIN}\n{section(report, language, picture)}\n{END}{after}", encoding="utf-8")


def section(report: Report, language: str, picture: str) -> str:
    """Returns what stands between the marks; `picture`: the path of the picture from the page."""
    words, about = WORDS[language], report.about
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        words["in"].format(
            date=about["date"], machine=about["machine"], threads=about["threads"], before=about["load"][0],
            after=about["load"][1], versions=versions,
        )
        + words["stop"]
        + words["machine"].format(products=report.products / 1e9, bandwidth=report.bandwidth / 1e9)
    ]  # fmt: skip
    lines += ["", words["busy"]] * report.busy
    for measure in report.measures:
        if not measure.key.startswith(MACHINE):
            lines += ["", *_table(report, measure, language)]
    return "\n".join([*lines, "", f"![{words['times']}]({picture})"])


def _table(report: Report, measure: Measure, language: str) -> Iterator[str]:
    """Yields the lines of a table: a row a contender, and of each peer how many times as good each of ours is."""
    words, bound = WORDS[language], report.bound(measure)
    unit = UNITS.get(measure.unit, measure.unit) if language == "zh" else measure.unit
    titles = [MEASURES[measure.key][LANGUAGES.index(language)], unit]
    titles += [f"/ {contender(name, language)}" for name in measure.peers] + [words["share"]] * bool(bound)
    yield f"| {' | '.join(titles)} |"
    yield "|---" * len(titles) + "|"
    for name, value in measure.figures.items():
        cells = [contender(name, language), shown(value)]
        cells += [f"{measure.ratio(name, peer):.2f}x" if name in measure.ours else "" for peer in measure.peers]
        share = report.share(measure, name)
        cells += [f"{share:.0%}" if share else ""] * bool(bound)
        yield f"| {' | '.join(cells)} |"
    if bound:
        yield f"| {words['bound']} | {shown(bound)} |" + " |" * (len(titles) - 2)
