"""`python -m trainer launch --workers N -- finetune ...`: a run by N processes on this machine; imports no framework."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import trainer
from trainer.errors import Failure, Interrupted
from trainer.options import Launch
from trainer.progress import say
from trainer.training.signals import Signals

PROGRAM = (sys.executable, "-m", "trainer")
WAIT = 0.1  # seconds between looks at the workers
GRACE = 20.0  # seconds that the workers have to end, once one of them has failed or a signal came


def run(options: Launch) -> None:
    """Starts the workers, and ends with them: when one fails, or a signal comes, all are ended.

    Each has a cluster of its own in TF_CONFIG, its part of this machine's cores, if there are enough, and, as far as there are
    several, a GPU. What it says is printed with its number; what the chief prints on standard output is passed on as it is.

    Args:
        options: Checked.

    Raises:
        Mistake: The command makes no sense.
        Interrupted: A signal came; the chief has saved a checkpoint.
        Failure: A worker failed.
        SystemExit: With the status of the first that failed, where that has said why.
    """
    from trainer.__main__ import parsed  # which imports this command, when it is asked for

    parsed(options.command)[1].checked()
    addresses = [f"localhost:{port}" for port in _free_ports(options.workers)]
    with Signals() as signals:
        workers = [_start(options.command, addresses, index) for index in range(options.workers)]
        readers = [threading.Thread(target=_pass_on, args=(*pair,), daemon=True) for pair in enumerate(workers)]
        for reader in readers:
            reader.start()
        try:
            failed = _wait(workers, signals)
        finally:
            for worker in workers:  # all have ended, but for a second Ctrl-C
                worker.kill()
                worker.wait()
        for reader in readers:
            reader.join(5)
        if signals.received:
            raise Interrupted(signals.received, "the workers were stopped; the same command goes on")
    if failed is not None:
        status = workers[failed].returncode
        if status < 0:
            raise Failure(
                f"worker {failed} was killed by signal {-status}; the same command goes on from the last checkpoint"
            )
        say(f"worker {failed} ended with status {status}, and the others with it")
        sys.exit(status)


def _free_ports(number):
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for free in sockets:
            free.bind(("localhost", 0))
        return [free.getsockname()[1] for free in sockets]


def _start(command, addresses, index):
    """Starts a worker, in a process group of its own, so that Ctrl-C does not reach it twice."""
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    root = str(Path(trainer.__file__).parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [*PROGRAM, *command],
        env=os.environ | {"PYTHONPATH": path, "TF_CONFIG": json.dumps(config)},
        stdin=subprocess.DEVNULL,
        stdout=None if index == 0 else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cores) >= len(addresses):  # before it has begun to look how many there are
        os.sched_setaffinity(process.pid, cores[index :: len(addresses)])
    return process


def _pass_on(index, worker):
    """Prints what a worker says, each line with its number."""
    for content in worker.stderr:
        say(f"[{index}] {content.decode('utf-8', 'replace').rstrip(chr(10))}")


def _wait(workers, signals):
    """Waits until all have ended; returns the number of the first that failed, None: none did."""
    failed, asked, last = None, None, math.inf
    while running := [worker for worker in workers if worker.poll() is None]:
        if failed is None:
            failed = next((i for i, worker in enumerate(workers) if worker.poll()), None)
        ask = signals.received or (None if failed is None else signal.SIGTERM)
        if ask != asked:
            asked = ask
            for worker in running:
                worker.send_signal(ask)
        if failed is not None:
            last = min(last, time.monotonic() + GRACE)
        if time.monotonic() > last:
            for worker in running:
                worker.kill()
        time.sleep(WAIT)
    return next((i for i, worker in enumerate(workers) if worker.poll()), None) if failed is None else failed
