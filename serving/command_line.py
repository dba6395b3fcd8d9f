"""What the programs of this folder say of a wrong call: one line, that begins with the program's name."""

import argparse
import sys
from typing import NoReturn


def fail(program: str, message: object, status: int = 2) -> NoReturn:
    """Prints the message to standard error in one line, and ends the process.

    Args:
        program: As `serving.server`.
        message: What was received, and what was expected.
        status: Of the process.
    """
    print(f"python -m {program}: {message}".replace("\n", " "), file=sys.stderr)
    sys.exit(status)


class Parser(argparse.ArgumentParser):
    """Reads flags; `prog` is `python -m PROGRAM`, which a subcommand may follow."""

    def error(self, message: str) -> NoReturn:
        fail(self.prog.split()[2], f"{message} (see --help)")
