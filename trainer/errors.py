"""What may go wrong, and by whose fault: this decides the exit status and the one line that is printed."""

import os
import signal


class Mistake(Exception):
    """The user's: its text is printed in one line, without a traceback; exit status 2."""


def described(error: Exception) -> str:
    """Returns an error of reading in words: the file's name and the system's reason, or the error's own text."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: cannot be read ({error.strerror})"
    return str(error)


def short(text: str, most: int = 60) -> str:
    """Returns at most so many characters of a text, in quotes, for a message of one line."""
    return repr(text if len(text) <= most else text[:most] + "...")


def defect(error: Exception) -> str:
    """Describes an error that no user caused in one line.

    Raises:
        Exception: The error itself, where LINEAGE_TRACEBACK is set.
    """
    if os.environ.get("LINEAGE_TRACEBACK"):
        raise error
    if type(error).__name__ in ("MemoryError", "ResourceExhaustedError"):  # the latter is TensorFlow's
        return "out of memory; a smaller --batch_size needs less, in training with --accumulate to keep the examples a step"
    summary = f"{type(error).__name__}: {str(error).strip() or 'no detail'}".splitlines()[0]
    return f"a defect of this program, {summary} (LINEAGE_TRACEBACK=1 shows where)"


class Failure(Exception):
    """The machine's (disk full, damaged file): its text is printed in one line; exit status 1."""


class Interrupted(BaseException):  # as KeyboardInterrupt: no `except Exception` may swallow it
    """By a signal: its text is printed in one line; exit status 128 + the signal's number, as in a shell."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{signal.Signals(number).name}: {text}")
        self.status = 128 + number
