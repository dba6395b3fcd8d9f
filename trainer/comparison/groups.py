"""Finished runs of folders, by model and settings: what their seeds gave, and what they cost. Imports no framework."""

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from trainer.errors import Mistake
from trainer.options import Finetune
from trainer.progress import say
from trainer.tasks.table import TASKS

FILES = (
    "train",
    "dev",
    "init",
    "vocabulary",
    "class_weights",
)  # options that name files, which fingerprints tell apart
USUAL = {option.name: option.default for option in fields(Finetune) if option.metadata.get("changes_result", True)}
INSTEAD = ("spans_f1", "best_f1")  # scores by which a task is judged where its data have them, not by its usual metric


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Args:
        folder: Its folder.
        lineage: What `config.json` says of it.
        result: What `metrics.json` holds.
    """

    folder: Path
    lineage: dict[str, Any]
    result: dict[str, Any]

    @property
    def task(self) -> str:
        return self.lineage["task"]

    @property
    def options(self) -> dict[str, Any]:
        """Returns every option of the run, also those that are younger than it."""
        return USUAL | self.lineage["options"]

    @property
    def seed(self) -> int:
        return self.options["seed"]

    @property
    def kept(self) -> dict[str, Any]:
        """Returns the scores of the weights that are kept."""
        kept = "best" if self.options["keep"] == "best" else "final"
        return self.result.get("average") or self.result[kept] or {}

    @property
    def metric(self) -> str:
        return next((name for name in INSTEAD if name in self.kept), TASKS[self.task].metric)

    def data(self) -> tuple[Any, ...]:
        """Returns what tells its dev data apart from others."""
        options = self.options
        return self.lineage["fingerprints"].get("dev"), options["dev_limit"], options["column"], options["label_column"]

    def settings(self) -> dict[str, Any]:
        """Returns what tells it apart from runs of other models and settings: its options and files, without seed and dev data."""
        apart = (*FILES, "seed", "dev_limit")
        options = {name: value for name, value in self.options.items() if name not in apart}
        return options | {name: value for name, value in self.lineage["fingerprints"].items() if name != "dev"}

    def label(self) -> str:
        """Returns its model's name: what stands before -seed-N in the folder's name, else what --model or --init says."""
        named = re.fullmatch(rf"(.+)-seed-{self.seed}", self.folder.resolve().name)
        source = self.options["model"] or self.options["init"] or self.result["model"]
        return named[1] if named else str(source).rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Group:
    """The runs of one model with the same settings."""

    label: str
    runs: list[Trained]

    def summary(self, answers_per_second: float) -> dict[str, Any]:
        """Returns what they gave and cost."""
        first = self.runs[0]
        scores = [run.kept[run.metric] for run in self.runs]
        seconds = [run.result["seconds"] for run in self.runs]
        epochs = [run.result["final"]["epoch"] for run in self.runs]
        return {
            "model": self.label,
            "parameters": first.result["parameters"],
            "score": round(statistics.fmean(scores), 6),
            "spread": round(statistics.stdev(scores), 6) if len(scores) > 1 else None,
            "low": min(scores),
            "high": max(scores),
            "seeds": {str(run.seed): score for run, score in zip(self.runs, scores, strict=True)},
            "seconds": round(statistics.fmean(seconds), 1),
            "seconds_per_epoch": round(sum(seconds) / sum(epochs), 2),
            "answers_per_second": round(answers_per_second, 1),
            "lengths": self._lengths(first.metric),
            "bytes": (first.folder / "model.safetensors").stat().st_size,
            "runs": [str(run.folder) for run in self.runs],
        }

    def _lengths(self, metric):
        """Returns {what is counted: [{from, to, examples, score}]}, the mean over the seeds, as far as the runs have reports with
        this score."""
        reports = [run.result.get("report", {}).get("lengths", {}) for run in self.runs]
        found = {}
        for name, buckets in reports[0].items():
            scores = [[bucket.get(metric) for bucket in report.get(name, ())] for report in reports]
            if all(len(of_run) == len(buckets) and None not in of_run for of_run in scores):
                ranges = [{key: bucket[key] for key in ("from", "to", "examples")} for bucket in buckets]
                means = [round(statistics.fmean(of_seeds), 6) for of_seeds in zip(*scores, strict=True)]
                found[name] = [bucket | {"score": mean} for bucket, mean in zip(ranges, means, strict=True)]
        return found


def read(folders: Sequence[str]) -> list[Trained]:
    """Returns the finished runs of run folders, and of folders of such; those in the latter that are not finished are left out.

    Raises:
        Mistake: A folder is neither, or a run without scores on dev data; runs of different tasks or dev data.
    """
    runs = []
    for name in folders:
        folder = Path(name)
        inside = sorted(path.parent for path in folder.glob("*/config.json")) if folder.is_dir() else []
        if (folder / "config.json").is_file():
            runs.append(_trained(folder))
        elif inside:
            finished = [path for path in inside if (path / "metrics.json").is_file()]
            for path in inside:
                if path not in finished:
                    say(f"left out  {path}: not finished")
            runs += [_trained(path) for path in finished]
        else:
            raise Mistake(f"{name}: expected a run folder, or a folder that holds some, found neither")
    if not runs:
        raise Mistake(f"{', '.join(folders)}: expected a finished run, found none")
    first = runs[0]
    for run in runs:
        if run.task != first.task:
            raise Mistake(
                f"{run.folder}: expected a run of {first.task}, as {first.folder} is, found one of {run.task}"
            )
        if run.data() != first.data():
            found = " and ".join(f"{each.options['dev']} (SHA-256 {each.data()[0]}...)" for each in (first, run))
            limits = "" if first.data()[0] != run.data()[0] else ", of which other parts are scored"
            raise Mistake(f"{run.folder}: expected the dev data of {first.folder}, found {found}{limits}")
    return runs


def _trained(folder):
    try:
        lineage = json.loads((folder / "config.json").read_text(encoding="utf-8"))["lineage"]
        if not (folder / "metrics.json").is_file():
            raise Mistake(f"{folder}: expected a finished run, found an unfinished one")
        run = Trained(folder, lineage, json.loads((folder / "metrics.json").read_text(encoding="utf-8")))
        scored = run.task in TASKS and "seconds" in run.result and run.metric in run.kept and run.data()
    except (OSError, ValueError, KeyError, TypeError):
        raise Mistake(f"{folder}: expected a finished run of this program, found something else") from None
    if not scored:
        raise Mistake(f"{folder}: expected a run with scores on dev data, found none; --dev of finetune gives them")
    return run


def grouped(runs: Sequence[Trained]) -> list[Group]:
    """Returns the runs by model and settings, each with its seeds in order; labels that were the same say what differs."""
    found: dict[str, list[Trained]] = {}
    for run in runs:
        key = json.dumps([run.label(), run.settings()], sort_keys=True, default=str)
        seeds = found.setdefault(key, [])
        if run.seed in [other.seed for other in seeds]:
            say(f"left out  {run.folder}: the same settings and seed as another run")
        else:
            seeds.append(run)
    groups = [sorted(seeds, key=lambda run: run.seed) for seeds in found.values()]
    labels = [seeds[0].label() for seeds in groups]
    names = []
    for label, seeds in zip(labels, groups, strict=True):
        alike = [other[0].settings() for other, name in zip(groups, labels, strict=True) if name == label]
        names.append(label + _difference(seeds[0], alike))
    return [Group(name, seeds) for name, seeds in zip(names, groups, strict=True)]


def _difference(run, alike):
    """Returns the settings of a run that are not the same in all that bear its label, in brackets; nothing if it is alone."""
    own = run.settings()
    names = [name for name in own if any(settings.get(name) != own[name] for settings in alike)]
    shown = [f"{name} {Path(str(run.options[name])).name if name in FILES else own[name]}" for name in names]
    return f" ({', '.join(shown)})" if shown else ""
