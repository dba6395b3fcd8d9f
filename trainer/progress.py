"""What a person sees of long work: one line on standard error, with rate and time left."""

import contextlib
import sys
import time


def say(line, end="\n"):
    """Prints a line on standard error; where nobody reads it (a closed terminal, a broken pipe), the work goes on without."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, end=end, flush=True)


class Progress:
    """Rewrites one line on a terminal; elsewhere prints a line every `every` seconds."""

    def __init__(self, steps, every=15.0):
        self.steps = steps
        self.terminal = sys.stderr.isatty()
        self.every = 0.5 if self.terminal else every
        self.last_time, self.last_step, self.examples = time.monotonic(), None, 0
        self.loss, self.rate, self.speed = None, None, None

    def step(self, step, examples, loss):
        self.examples += examples
        self.loss = loss if self.loss is None else 0.95 * self.loss + 0.05 * loss  # smoothed
        if self.last_step is None:  # the first step compiles: no measure of what follows
            self._restart(step)
            return
        now = time.monotonic()
        if now - self.last_time < self.every:
            return
        seconds = now - self.last_time
        self.speed = _smooth(self.speed, (step - self.last_step) / seconds)
        self.rate = _smooth(self.rate, self.examples / seconds)
        self._restart(step)
        left = (self.steps - step) / self.speed
        _show(f"step {step}/{self.steps}  loss {self.loss:.3f}  {self.rate:.0f} examples/s  {_clock(left)} left")

    def note(self, line):
        """Prints a line of its own, and leaves the time it took out of the rate."""
        say(f"\r\033[K{line}" if self.terminal else line)
        self.pause()

    def pause(self):
        """Leaves what was done since the last line out of the rate."""
        self.last_step = None

    def _restart(self, step):
        self.last_time, self.last_step, self.examples = time.monotonic(), step, 0


class Bytes:
    """One line of a download: how much of how much, rate and time left; rewritten on a terminal, else every `every` seconds."""

    def __init__(self, every=15.0):
        self.terminal = sys.stderr.isatty()
        self.every = 0.5 if self.terminal else every
        self.since, self.before, self.rate, self.shown = time.monotonic(), None, None, False

    def step(self, have, total):
        """Tells that `have` bytes are there, of `total` or, None, of nobody knows how many."""
        now = time.monotonic()
        if self.before is None or have < self.before:  # what a process before has fetched is no measure
            self.since, self.before = now, have
        elif now - self.since >= self.every:
            self.rate = _smooth(self.rate, (have - self.before) / (now - self.since))
            self.since, self.before, self.shown = now, have, True
            line = f"{have / 1e6:.1f} MB  {self.rate / 1e6:.2f} MB/s"
            if total:
                left = (total - have) / self.rate if self.rate else 0
                line = f"{have / 1e6:.1f} of {total / 1e6:.1f} MB  {self.rate / 1e6:.2f} MB/s  {_clock(left)} left"
            _show(line)

    def end(self):
        """Leaves the line, so that what is said next has one of its own."""
        if self.terminal and self.shown:
            _show("")
        self.before, self.shown = None, False


def _show(line):
    """Rewrites the line on a terminal, elsewhere prints one."""
    if sys.stderr.isatty():
        say(f"\r\033[K{line}", end="")
    else:
        say(line)


def _clock(seconds):
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def _smooth(before, now):
    return now if before is None else 0.7 * before + 0.3 * now
