"""Signals that ask a run to end."""

import signal
import threading
from types import FrameType


class Signals:
    """Notes signals that ask for an end instead of dying of them; a second SIGINT (Ctrl-C) ends at once, without a
    checkpoint. SIGHUP says that the terminal is gone; `nohup` ignores it, and so do we then."""

    def __enter__(self) -> "Signals":
        self.received: int | None = None
        self.before: dict = {}
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            asking = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
            numbers = [number for number in asking if signal.getsignal(number) != signal.SIG_IGN]
            self.before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
