"""`python -m trainer compare`: models beside one another, trained on the way, or runs that exist."""

import datetime
import json
import os
from pathlib import Path
from typing import Any

from trainer import writing
from trainer.comparison import groups, picture, plan, table, training
from trainer.errors import Failure, Mistake
from trainer.options import Compare
from trainer.progress import say

FILES = ("compare.json", "compare.md", "compare.png")


def run(options: Compare) -> None:
    if options.models is None:
        folders = options.task_or_runs
        _print(compared(folders, _folder_of(options, folders), dev=options.dev))
        return
    members = plan.members(options)
    if options.dry_run:
        _print_plan(members)
        return
    out, results = Path(str(options.out)), {member.out: result for member in members if (result := member.result())}
    _check(out, [member for member in members if member.out not in results])
    failed = training.train(members, results)
    if not results:
        raise Failure(_failure(failed, members))
    done = None if failed else _written(out, results)
    if done:
        say(f"{out} holds this comparison, finished; here it is (`compare {out}` measures and draws anew)")
    dev = str(options.dev)
    _print(done or compared([str(folder) for folder in results], out, dev=dev, failed=failed))
    if failed:
        raise Failure(_failure(failed, members))


def compared(
    folders: list[str], out: Path, *, dev: str | None = None, failed: dict[Path, str] | None = None
) -> dict[str, Any]:
    """Compares finished runs, and writes compare.json, compare.md and compare.png.

    Args:
        folders: Run folders, or folders that hold some.
        out: Where the files go.
        dev: Data to answer; None: where the runs say that their dev data are.
        failed: {run folder: why} of runs that are not there.

    Returns:
        What compare.json holds.

    Raises:
        Mistake: They cannot be compared; it says which, and why.
    """
    found = groups.read(folders)
    by_label = {group.label: group for group in groups.grouped(found)}
    dev = dev or found[0].options["dev"]
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer.comparison import speed
    from trainer.data import datasets
    from trainer.runs.folder import environment, fingerprint

    path = datasets.path_of(dev, "dev", found[0].task)
    expected, received = found[0].data()[0], fingerprint(path)
    if expected != received:
        raise Mistake(
            f"--dev {dev}: expected the dev data of {found[0].folder} (SHA-256 {expected}...), found others ({received}...)"
        )
    rates, rows = speed.answers_per_second({label: group.runs[0].folder for label, group in by_label.items()}, dev)
    models = [group.summary(rates[label]) for label, group in by_label.items()]
    comparison = {
        "task": found[0].task,
        "metric": found[0].metric,
        "dev": datasets.title(dev, "dev"),
        "models": sorted(models, key=lambda model: -model["score"]),
        "failed": {str(folder): why for folder, why in (failed or {}).items()},
        "digests": {str(run.folder): run.result["digest"] for run in found},
        "speed": {"rows": rows, "batch_size": speed.BATCH, "passes": speed.PASSES},
        "machine": environment(),
        "date": datetime.date.today().isoformat(),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        writing.write(out / "compare.png", picture.png(comparison))
        writing.write(out / "compare.md", table.markdown(comparison, "compare.png"))
        writing.write_json(out / "compare.json", comparison)
    except OSError as error:
        raise Failure(f"--out {out}: cannot be written ({error.strerror or error})") from None
    return comparison


def _print(comparison):
    say(f"\n{table.lines(comparison)}\n")
    writing.print_json(comparison)


def _print_plan(members):
    for number, member in enumerate(members, 1):
        options = " ".join(f"{name}={value}" for name, value in member.settings().items() if name != "task")
        say(f"run       {number} of {len(members)}: {member.model}, seed {member.seed}: {options}")
    say("dry run   nothing was trained, nothing was written")
    runs = [{"run": str(member.out), "options": member.settings()} for member in members]
    writing.print_json({"dry_run": True, "task": members[0].options.task, "runs": runs})


def _folder_of(options, folders):
    """Returns where the files of a comparison of runs that exist go."""
    if options.out:
        return Path(options.out)
    if len(folders) == 1 and not os.path.isfile(os.path.join(folders[0], "config.json")):
        return Path(folders[0])
    raise Mistake(f"--out: expected a folder for {', '.join(FILES)}, received none")


def _check(out, members):
    """Refuses what would end a comparison after hours: a model that there is not, a folder that cannot be made."""
    names = {member.options.model for member in members if member.options.model}
    if names:
        from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
        from trainer.architectures import table as architectures

        for name in names:
            architectures.named(name)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Mistake(f"--out {out}: cannot be made ({error.strerror})") from None


def _written(out, results):
    """Returns the comparison of just these runs that a folder holds whole; None if there is none."""
    try:
        comparison = json.loads((out / "compare.json").read_text(encoding="utf-8"))
        digests = {str(folder): result["digest"] for folder, result in results.items()}
        is_whole = all((out / name).is_file() for name in FILES)
        return comparison if is_whole and comparison["digests"] == digests and not comparison["failed"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _failure(failed, members):
    reasons = "; ".join(f"{folder}: {why}" for folder, why in failed.items())
    return f"{len(failed)} of {len(members)} runs failed ({reasons}); the same command tries them again"
