"""Training: data -> text -> features -> model -> run folder.  `python -m trainer --help`"""


class Mistake(Exception):
    """Of the user: answered by its text in one line and exit status 2, never by a traceback."""
