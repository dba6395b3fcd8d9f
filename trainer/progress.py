"""The line on standard error that shows how far long work is: rate and time left."""

import contextlib
import sys
import time
from collections.abc import Mapping


def say(line: str, end: str = "\n") -> None:
    """Prints a line on standard error; work goes on if nobody can read it (a closed terminal, a broken pipe)."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, end=end, flush=True)


class Progress:
    """The line of a training: rewritten on a terminal; elsewhere a new one every `every` seconds; none unless it is `shown`."""

    def __init__(self, steps: int, every: float = 15.0, unit: str = "examples", *, shown: bool = True) -> None:
        self.steps, self.unit, self.shown = steps, unit, shown
        self.terminal = sys.stderr.isatty()
        self.every = 0.5 if self.terminal else every
        self.last_time = time.monotonic()
        self.last_step: int | None = None
        self.examples = 0  # since the last line
        self.measures: dict[str, float] = {}
        self.rate: float | None = None  # examples a second
        self.speed: float | None = None  # steps a second

    def step(self, step: int, examples: int, measures: Mapping[str, float]) -> None:
        """Counts a step, and shows a line if it is time for one.

        Args:
            step: Its number, from 1.
            examples: In this step.
            measures: Of this step, by name; what is shown is smoothed.
        """
        self.examples += examples
        for name, value in measures.items():
            self.measures[name] = 0.95 * self.measures.get(name, value) + 0.05 * value
        if self.last_step is None:  # the first step compiles: it says nothing about the rate
            self._restart(step)
            return
        now = time.monotonic()
        if now - self.last_time < self.every or not self.shown:
            return
        seconds = now - self.last_time
        self.speed = _smooth(self.speed, (step - self.last_step) / seconds)
        self.rate = _smooth(self.rate, self.examples / seconds)
        self._restart(step)
        left = (self.steps - step) / self.speed
        shown = "  ".join(f"{name} {value:.3f}" for name, value in self.measures.items())
        _show(f"step {step}/{self.steps}  {shown}  {self.rate:.0f} {self.unit}/s  {_clock(left)} left")

    def note(self, line: str) -> None:
        """Prints a separate line; the time that its work took is left out of the rate."""
        if self.shown:
            say(f"\r\033[K{line}" if self.terminal else line)
        self.pause()

    def pause(self) -> None:
        """Measures the rate anew from the next step on."""
        self.last_step = None

    def _restart(self, step):
        self.last_time, self.last_step, self.examples = time.monotonic(), step, 0


class Bytes:
    """The line of a download: rewritten on a terminal; elsewhere a new one every `every` seconds."""

    def __init__(self, every: float = 15.0) -> None:
        self.terminal = sys.stderr.isatty()
        self.every = 0.5 if self.terminal else every
        self.since = time.monotonic()
        self.before: int | None = None  # bytes at that time
        self.rate: float | None = None  # bytes a second
        self.shown = False

    def step(self, received: int, total: int | None) -> None:
        """Shows a line if it is time for one.

        Args:
            received: Bytes so far.
            total: Bytes of the whole; None if unknown.
        """
        now = time.monotonic()
        if self.before is None or received < self.before:  # bytes of an earlier process say nothing about the rate
            self.since, self.before = now, received
        elif now - self.since >= self.every:
            self.rate = _smooth(self.rate, (received - self.before) / (now - self.since))
            self.since, self.before, self.shown = now, received, True
            line = f"{received / 1e6:.1f} MB  {self.rate / 1e6:.2f} MB/s"
            if total:
                left = (total - received) / self.rate if self.rate else 0
                line = f"{received / 1e6:.1f} of {total / 1e6:.1f} MB  {self.rate / 1e6:.2f} MB/s  {_clock(left)} left"
            _show(line)

    def end(self) -> None:
        """Ends the line, so that the next message starts a new one."""
        if self.terminal and self.shown:
            _show("")
        self.before, self.shown = None, False


def _show(line):
    """Rewrites the line on a terminal, elsewhere prints a new one."""
    if sys.stderr.isatty():
        say(f"\r\033[K{line}", end="")
    else:
        say(line)


def _clock(seconds):
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def _smooth(before, now):
    return now if before is None else 0.7 * before + 0.3 * now
