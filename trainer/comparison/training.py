"""Trains the runs of a comparison: one after the other, each in a process of its own, which leaves nothing behind."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trainer
from trainer.comparison.plan import Member
from trainer.errors import Interrupted
from trainer.progress import say
from trainer.training.signals import Signals

WAIT = 0.1  # seconds between looks at a process


def train(members: Sequence[Member], results: dict[Path, dict[str, Any]]) -> dict[Path, str]:
    """Trains the runs that are not finished.

    Args:
        members: All runs.
        results: {run folder: its result} of those that are finished; the others are added.

    Returns:
        {run folder: in a line, why} of those that failed.

    Raises:
        Interrupted: A signal came; the run that was being trained has saved a checkpoint.
    """
    failed = {}
    for number, member in enumerate(members, 1):
        where = f"run       {number} of {len(members)}: {member.model}, seed {member.seed}"
        if member.out in results:
            say(f"{where}: finished before")
            continue
        left = _left(members[number - 1 :], members, results)
        say(f"{where}{f'; about {duration(left)} left, judged from finished runs' if left else ''}")
        status, line = _run(member, where.removeprefix("run").strip())
        result = member.result() if status == 0 else None
        if result:
            results[member.out] = result
        else:
            failed[member.out] = line or f"ended with status {status}"
            say(f"failed    {member.out}; the others go on")
    return failed


def _left(waiting, members, results):
    """Returns the seconds that the runs that wait will take: as those of the same model took, else as all did; None if none has ended."""
    seconds: dict[str, list[float]] = {}
    for member in members:
        if member.out in results:
            seconds.setdefault(member.model, []).append(results[member.out]["seconds"])
    if not seconds:
        return None
    means = {model: sum(values) / len(values) for model, values in seconds.items()}
    usual = sum(means.values()) / len(means)
    return sum(means.get(member.model, usual) for member in waiting if member.out not in results)


def duration(seconds: float) -> str:
    """Returns seconds in words for people: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def _run(member, where):
    """Trains a run; returns (exit status, the last line that it said).

    Signals are passed on, and the process is waited for: it saves a checkpoint. It has a process group of its own, so that
    Ctrl-C does not reach it twice.
    """
    root = str(Path(trainer.__file__).parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    with Signals() as signals:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer", *member.arguments],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        last: list[str] = [""]
        thread = threading.Thread(target=_pass_on, args=(process.stderr, last), daemon=True)
        thread.start()
        passed = None
        try:
            while True:
                try:
                    status = process.wait(WAIT)
                    break
                except subprocess.TimeoutExpired:
                    if signals.received and not passed:
                        passed = signals.received
                        process.send_signal(passed)
        except BaseException:  # a second Ctrl-C
            process.kill()
            process.wait()
            raise
        thread.join(5)
        if signals.received:
            raise Interrupted(signals.received, f"stopped at run {where}; the same command goes on from there")
    return status, last[0]


def _pass_on(stream, last):
    """Prints the lines of a process, and notes the last one."""
    for content in stream:
        line = content.decode("utf-8", "replace").rstrip("\n")
        last[0] = line or last[0]
        say(line)
