"""What batching gains: requests a second of an exported model, with and without it, in turn.

    python -m tests.bench.batching EXPORT [--model sentiment] [--texts FILE] [--clients 1 64] [--requests 640] [--rounds 2]

EXPORT is a base path of a model that reads `text` [B]. Each client sends one text of FILE (a line each, `label text`) and
waits for its answer; over at most eight connections. CPU is the server's process alone. Prints its table last.
"""

import argparse
import threading
import time
from pathlib import Path

import grpc

from serving import tensors
from serving.messages import PREDICT, PredictRequest
from tests.bench.serving import CONNECTIONS, cpu
from tests.conftest import Server

SERVERS = {"single": [], "batched": ["--enable_batching"]}


def ask(address, messages, clients, requests):
    """Returns (requests a second, sorted seconds of each request)."""
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path)
    parser.add_argument("--model", default="sentiment")
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--requests", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    messages = []
    for line in options.texts.read_text(encoding="utf-8").splitlines():
        request = PredictRequest()
        request.model_spec.name = options.model
        tensors.fill(request.inputs["text"], [line.partition(" ")[2]])
        messages.append(request.SerializeToString())
    rows: dict[tuple[int, str], list] = {}
    flags = [f"--model_name={options.model}", f"--model_base_path={options.export}"]
    servers = {name: Server(*flags, *more) for name, more in SERVERS.items()}
    for clients in options.clients:
        for _ in range(options.rounds):
            for name, server in servers.items():
                before = cpu(server.process)
                rate, taken = ask(server.address, messages, clients, options.requests)
                spent = (cpu(server.process) - before) / len(taken)
                times = [1000 * taken[int(len(taken) * part)] for part in (0.5, 0.99)]
                rows.setdefault((clients, name), []).append((rate, *times, spent))
    for server in servers.values():
        server.stop()
    print(f"{'clients':>7}  {'server':8}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms a request':>18}")
    for (clients, name), rounds in rows.items():
        best = max(row[0] for row in rounds), *(min(row[i] for row in rounds) for i in (1, 2, 3))
        print("{:>7}  {:8}{:>12.1f}{:>9.1f}{:>9.1f}{:>18.2f}".format(clients, name, *best))


if __name__ == "__main__":
    main()
