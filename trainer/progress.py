"""What a person sees while training runs: one line on standard error, with loss, rate and time left."""

import sys
import time


def say(line):
    print(line, file=sys.stderr, flush=True)


class Progress:
    """Rewrites one line on a terminal; elsewhere prints a line every `every` seconds."""

    def __init__(self, steps, batch_size, every=15.0):
        self.steps, self.batch_size = steps, batch_size
        self.terminal = sys.stderr.isatty()
        self.every = 0.5 if self.terminal else every
        self.last_time, self.last_examples, self.examples = time.monotonic(), 0, 0
        self.loss, self.rate = None, None

    def step(self, step, examples, loss):
        self.examples += examples
        self.loss = loss if self.loss is None else 0.95 * self.loss + 0.05 * loss  # smoothed
        now = time.monotonic()
        if now - self.last_time < self.every and step != 1:
            return
        rate = (self.examples - self.last_examples) / (now - self.last_time)
        self.rate = rate if self.rate is None else 0.7 * self.rate + 0.3 * rate
        self.last_time, self.last_examples = now, self.examples
        left = (self.steps - step) * self.batch_size / self.rate
        line = (
            f"step {step}/{self.steps}  loss {self.loss:.3f}  {self.rate:.0f} examples/s  "
            f"{int(left // 60)}:{int(left % 60):02d} left"
        )
        if step == 1:
            self.rate = None  # the first step compiles: no measure of what follows
        elif self.terminal:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        else:
            say(line)

    def note(self, line):
        """Prints a line of its own, and leaves the time it took out of the rate."""
        say(f"\r\033[K{line}" if self.terminal else line)
        self.last_time, self.last_examples = time.monotonic(), self.examples
