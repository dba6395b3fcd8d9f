"""Lines for the operator, on standard error."""

import sys

source = ""  # what begins each line: which of several workers prints it


def log(line: str) -> None:
    """Prints to standard error, in one line, and at once: other workers print there, too."""
    sys.stderr.write(f"{source}{' '.join(line.split())}\n")
    sys.stderr.flush()
