"""What the server costs above gRPC: a trivial model beside a bare grpcio server that sends back what it gets, in one run.

    python -m tests.bench.serving [--requests 2000] [--rounds 3] [--clients 1 8 64] [--checkout DIR]

Starts `python -m serving.server` with half_plus_two (y = x / 2 + 2, three numbers a request), and `grpc.server` with
eight threads; asks both in turn, from so many threads over at most eight connections. CPU is the server's process alone,
of all its threads, and the least over the rounds: other work on the machine only adds to it. --checkout serves with the
code of another checkout, for figures from before a change. Prints its table last.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc
import numpy as np

from serving import tensors
from serving.messages import PREDICT, PredictRequest, PredictResponse
from tests.conftest import ROOT, Server
from tests.serving.saved import save_half_plus_two

ECHO = """
import sys, threading, grpc
from concurrent.futures import ThreadPoolExecutor
service, name = sys.argv[1].strip("/").split("/")
server = grpc.server(ThreadPoolExecutor(8))
handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {name: handler})])
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
threading.Event().wait()
"""
CONNECTIONS = 8


def cpu(process):
    """Returns the milliseconds of CPU that a process has taken."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return 10 * (int(fields[11]) + int(fields[12]))


def ask(address, data, clients, requests):
    """Returns (seconds, sorted seconds of each request) of so many requests by so many clients."""
    separate = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(address, options=separate) for _ in range(min(clients, CONNECTIONS))]
    methods = [channel.unary_unary(PREDICT) for channel in channels]
    for method in methods:
        method(data, wait_for_ready=True)
    taken = []

    def run(i):
        for _ in range(requests // clients):
            began = time.perf_counter()
            methods[i % len(methods)](data)
            taken.append(time.perf_counter() - began)

    threads = [threading.Thread(target=run, args=[i]) for i in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    for channel in channels:
        channel.close()
    return seconds, sorted(taken)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000, help="a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--checkout", type=Path, default=ROOT)
    options = parser.parse_args()
    request = PredictRequest()
    request.model_spec.name = "default"
    tensors.fill(request.inputs["x"], np.array([[1.0], [2.0], [5.0]], np.float32))
    data = request.SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        save_half_plus_two(Path(folder) / "1")
        ours = Server(f"--model_base_path={folder}", cwd=options.checkout)
        echo = subprocess.Popen([sys.executable, "-c", ECHO, PREDICT], stdout=subprocess.PIPE, text=True)
        try:
            with grpc.insecure_channel(ours.address) as channel:
                answer = PredictResponse.FromString(channel.unary_unary(PREDICT)(data))
            assert list(answer.outputs["y"].float_val) == [2.5, 3.0, 4.5], answer
            both = {"echo": (echo, f"127.0.0.1:{int(echo.stdout.readline())}"), "ours": (ours.process, ours.address)}
            rows = [row for clients in options.clients for row in measure(both, data, clients, options)]
        finally:
            echo.kill()
            ours.process.kill()
    print(
        f"{'clients':>7}  {'server':6}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms a request':>18}{'above echo':>12}"
    )
    for row in rows:
        print("{:>7}  {:6}{:>12.0f}{:>9.2f}{:>9.2f}{:>18.3f}{:>12}".format(*row))


def measure(servers, data, clients, options):
    """Yields a row for each server: the best of its rounds, which alternate."""
    rounds = {name: [] for name in servers}
    for _ in range(options.rounds):
        for name, (process, address) in servers.items():
            before = cpu(process)
            seconds, taken = ask(address, data, clients, options.requests)
            sent = len(taken)
            percentiles = [1000 * taken[min(int(sent * part), sent - 1)] for part in (0.5, 0.99)]
            rounds[name].append((sent / seconds, *percentiles, (cpu(process) - before) / sent))
    least = {name: min(row[3] for row in rows) for name, rows in rounds.items()}
    for name, rows in rounds.items():
        best = [max(row[0] for row in rows), *(min(row[i] for row in rows) for i in (1, 2, 3))]
        yield clients, name, *best, f"{least[name] - least['echo']:+.3f}" if name != "echo" else ""


if __name__ == "__main__":
    main()
