"""What the server costs above gRPC, and what workers and batches gain, in one run.

    python -m tests.bench.serving [--export DIR] [--requests 2000] [--rounds 3] [--clients 1 8 64] [--checkout DIR]

Starts servers with half_plus_two (y = x / 2 + 2, three numbers a request) and, with --export, with the sentiment model of
that base path (a text a request): one process, `--workers 2`, `--enable_batching`, both; beside them `grpc.server` with eight
threads, which sends back what it gets. Asks all in turn, from so many threads over at most eight connections. CPU is that of
the server's processes alone, and the least over the rounds: other work on the machine only adds to it. --checkout serves
with the code of another checkout. Prints its table last.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

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
SERVERS = {
    "one": [],
    "2 workers": ["--workers=2"],
    "batched": ["--enable_batching"],
    "2 w., batched": ["--workers=2", "--enable_batching"],
}
TEXTS = ROOT / "trainer" / "samples" / "sentiment.dev.txt"
SHARE = 10  # a request of the exported model takes so many times that of the trivial one: fewer of them are sent


class Asked(NamedTuple):
    """A server under measurement."""

    process: subprocess.Popen
    address: str


def cpu(process):
    """Returns the milliseconds of CPU that a process and its children have taken."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    total = 0
    for pid in (process.pid, *children):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += 10 * (int(fields[11]) + int(fields[12]))
    return total


def ask(address, messages, clients, requests):
    """Returns (requests a second, sorted seconds of each request) of so many requests by so many clients."""
    separate = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(address, options=separate) for _ in range(min(clients, CONNECTIONS))]
    methods = [channel.unary_unary(PREDICT) for channel in channels]
    for method in methods:
        method(messages[0], wait_for_ready=True)
    taken = []

    def run(client):
        for i in range(client, requests, clients):
            began = time.perf_counter()
            methods[client % len(methods)](messages[i % len(messages)])
            taken.append(time.perf_counter() - began)

    threads = [threading.Thread(target=run, args=[client]) for client in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    for channel in channels:
        channel.close()
    return len(taken) / seconds, sorted(taken)


def message(name, value):
    """Returns the bytes of a request."""
    request = PredictRequest()
    request.model_spec.name = "default"
    tensors.fill(request.inputs[name], value)
    return request.SerializeToString()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--export", type=Path, help="base path of a model that reads `text` [B]")
    parser.add_argument(
        "--requests", type=int, default=2000, help="a round, of the trivial model; of the other a tenth"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--checkout", type=Path, default=ROOT)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        save_half_plus_two(Path(folder) / "1")
        rows += of_model("trivial", folder, [message("x", np.array([[1.0], [2.0], [5.0]], np.float32))], options, 1)
        if options.export:
            lines = TEXTS.read_text(encoding="utf-8").splitlines()
            texts = [message("text", [line.partition(" ")[2]]) for line in lines]
            rows += of_model(options.export.name, options.export, texts, options, SHARE)
    print(
        f"{'model':10}{'clients':>7}  {'server':14}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms a request':>18}"
        f"{'above echo':>12}{'of one':>8}"
    )
    for row in rows:
        print("{:10}{:>7}  {:14}{:>11.0f}{:>9.2f}{:>9.2f}{:>18.3f}{:>12}{:>8}".format(*row))


def of_model(name, path, messages, options, share):
    """Returns the rows of a model: for each number of clients a row for each server, the best of its rounds, which alternate."""
    echo = subprocess.Popen([sys.executable, "-c", ECHO, PREDICT], stdout=subprocess.PIPE, text=True)
    started = {"echo": Asked(echo, f"127.0.0.1:{int(echo.stdout.readline())}")}
    rows = []
    try:
        for server in options.servers:
            ours = Server(f"--model_base_path={path}", *SERVERS[server], cwd=options.checkout)
            started[server] = Asked(ours.process, ours.address)
            with grpc.insecure_channel(ours.address) as channel:
                answer = PredictResponse.FromString(channel.unary_unary(PREDICT)(messages[0]))
            assert name != "trivial" or list(answer.outputs["y"].float_val) == [2.5, 3.0, 4.5], answer
        for clients in options.clients:
            rows += measure(name, started, messages, clients, options.requests // share, options.rounds)
    finally:
        for server in started.values():
            server.process.terminate()
        for server in started.values():
            server.process.wait()
    return rows


def measure(model, servers, messages, clients, requests, rounds):
    """Yields a row for each server."""
    of_servers = {name: [] for name in servers}
    for _ in range(rounds):
        for name, (process, address) in servers.items():
            before = cpu(process)
            rate, taken = ask(address, messages, clients, requests)
            percentiles = [1000 * taken[min(int(len(taken) * part), len(taken) - 1)] for part in (0.5, 0.99)]
            of_servers[name].append((rate, *percentiles, (cpu(process) - before) / len(taken)))
    best = {
        name: [max(row[0] for row in rows), *(min(row[i] for row in rows) for i in (1, 2, 3))]
        for name, rows in of_servers.items()
    }
    for name, values in best.items():
        above = f"{values[3] - best['echo'][3]:+.3f}" if name != "echo" else ""
        ratio = f"{values[0] / best['one'][0]:.2f}" if "one" in best and name != "echo" else ""
        yield model, clients, name, *values, above, ratio


if __name__ == "__main__":
    main()
