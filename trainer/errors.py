"""What may go wrong, by whose fault: it decides the exit status, and the one line that is said."""

import os
import signal


class Mistake(Exception):
    """Of the user: answered by its text in one line and exit status 2, never by a traceback."""


def described(error):
    """Returns an error of reading in words: the file's name and the system's reason, or its own text."""
    return f"{error.filename}: cannot be read ({error.strerror})" if getattr(error, "filename", None) else str(error)


def short(text, most=60):
    """Returns what was found, in quotes, for a message of one line."""
    return repr(text if len(text) <= most else text[:most] + "...")


def defect(error):
    """Returns an error that is no user's in one line; raises it where LINEAGE_TRACEBACK is set."""
    if os.environ.get("LINEAGE_TRACEBACK"):
        raise error
    if type(error).__name__ in ("MemoryError", "ResourceExhaustedError"):  # the latter is TensorFlow's
        return "out of memory; a smaller --batch_size needs less, in training with --accumulate to keep the examples a step"
    what = f"{type(error).__name__}: {str(error).strip() or 'no detail'}".splitlines()[0]
    return f"a defect of this program, {what} (LINEAGE_TRACEBACK=1 shows where)"


class Failure(Exception):
    """Of the machine (disk full, damaged file): answered by its text in one line and exit status 1."""


class Interrupted(BaseException):  # as KeyboardInterrupt: no `except Exception` may swallow it
    """By a signal: answered by its text in one line and exit status 128 + its number, as shells count."""

    def __init__(self, number, text):
        super().__init__(f"{signal.Signals(number).name}: {text}")
        self.status = 128 + number
