"""How fast short texts are answered: strings through our server, beside bare encoders that are fed with ids.

    python -m tests.bench.runtimes --run RUN [--rounds 5] [--threads 2] [--cpu_time]     (in the environment of requirements-peers.txt)

RUN is a run of sentiment, on a BERT of 12 heads. It is exported for LiteRT in both precisions and served, three times: int8,
fp32, and TensorFlow alone. All contenders take turns, with the same ids; of each the fastest run counts, for a busy machine
delays some. On one that is very busy, CPU seconds of one thread say more: --threads 1 --cpu_time, of which the mean of the best
round counts, client and server together. Prints first what the served graph of TensorFlow spends its time on, and what reading the weights would take; its
tables last.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

import grpc
import numpy as np
import onnx
import tensorflow as tf
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import BertModel

from serving import tensors
from serving.export import export
from serving.messages import PREDICT, PredictRequest, PredictResponse
from serving.server.models.apart import ENCODER, FOLDER, SEQUENCES, TEXT
from serving.server.models.encoder import Encoder
from serving.server.models.servable import Servable
from tests.bench.speed import onnx_encoder, onnx_session, table, torch_inputs
from trainer.data import datasets, files
from trainer.runs.run import Run
from trainer.tasks.table import TASKS

PIECES = (8, 16, 32, 128)
SENTENCES = 32
WORDS = ["a", "good", "film", "that", "you", "should", "see", "this", "year", "or", "the", "next", "one"]
NAME = "serving_default"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="run of sentiment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each contender in a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu_time", action="store_true", help="count CPU seconds")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    rows = files.read(datasets.path_of("sst2", "dev"), TASKS["sentiment"], Run(options.run).labels, limit=SENTENCES)
    texts = {f"1 x {length} pieces": [" ".join((WORDS * 10)[: length - 2])] for length in PIECES}
    texts[f"{SENTENCES} sentences"] = [row["text"] for row in rows]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        results, profiled = measure(options, texts, Path(folder))
    clock = "CPU time" if options.cpu_time else "time"
    print(
        f"\n{clock}; threads: {options.threads}; load of the machine {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    )
    print(
        f"\nthe graph that TensorFlow serves, ms: {'matrix products':>18} {'other operations':>18} {'text, decoding':>16}"
    )
    for title, parts in profiled.items():
        print(f"{title:37} {parts[0]:>18.2f} {parts[1]:>18.2f} {parts[2]:>16.2f}")
    print(f"\n{limit(options.run)}")
    for title, row in results.items():
        table(f"{title}, milliseconds (less is better)", row, lambda value, peer: peer / value)


def measure(options, texts, folder):
    """Returns ({title: {contender: milliseconds}}, {title: parts of TensorFlow's})."""
    threads = options.threads
    paths = {name: export(options.run, folder / name, precision=name)["path"] for name in ("fp32", "int8")}
    reference = BertModel.from_pretrained(options.run).eval().requires_grad_(False)
    peers = {"fp32": onnx_encoder(reference, folder, threads), "int8": quantized(folder, threads)}
    encoders = {name: Encoder((Path(path) / FOLDER / ENCODER).read_bytes(), threads) for name, path in paths.items()}
    parts = Servable(Path(paths["fp32"]) / FOLDER)
    results, whole, servers = {}, Servable(paths["fp32"]), {}
    try:
        for name, runtime in (("int8", "auto"), ("fp32", "auto"), ("TensorFlow", "tensorflow")):
            base = folder / (name if name in paths else "fp32")
            servers[name] = started(base, f"unix:{folder / name}.socket", runtime, threads)
        asked = [*servers.values()] if options.cpu_time else []
        for title, strings in texts.items():
            array = np.array([text.encode() for text in strings], object)
            contenders = {
                f"ours, strings by gRPC, {name}": asker(f"unix:{folder / name}.socket", array) for name in servers
            }
            contenders |= bare(parts.predict(NAME + TEXT, {"text": array}), encoders, peers, reference)
            results[title] = fastest(contenders, options.rounds, options.seconds, asked)
        profiled = {title: profile(whole, strings) for title, strings in texts.items() if len(strings) == 1}
    finally:
        for server in servers.values():
            server.terminate()
    return results, profiled


def bare(read, encoders, peers, reference):
    """Returns the contenders that are fed with ids: {name: function}."""
    inputs, lengths = {name: read[SEQUENCES + name] for name in ("token_ids", "segment_ids")}, read["lengths"]
    padded = inputs | {"mask": np.arange(lengths.max()) < lengths[:, None]}
    ready = torch_inputs(padded)
    return {
        **{f"ours, bare encoder, {name}": partial(encoder, inputs, lengths) for name, encoder in encoders.items()},
        **{f"ONNX Runtime {name}, ids": partial(run, padded) for name, run in peers.items()},
        "transformers, ids": lambda: transformers(reference, ready),
    }


def fastest(contenders, rounds, seconds, servers=()):
    """Returns the milliseconds of the fastest run of each; they take turns, each for so many seconds. With `servers`, which some of
    them ask, the mean CPU time of the best round."""
    best = dict.fromkeys(contenders, float("inf"))
    for number in range(rounds + 1):
        for name, run in contenders.items():
            ends = time.perf_counter() + (seconds if number else 0)  # the first round warms up
            cpu, runs = cpu_seconds(servers), 0
            while not runs or time.perf_counter() < ends:
                began, runs = time.perf_counter(), runs + 1
                run()
                if number and not servers:
                    best[name] = min(best[name], 1000 * (time.perf_counter() - began))
            if number and servers:
                best[name] = min(best[name], 1000 * (cpu_seconds(servers) - cpu) / runs)
    return best


def cpu_seconds(servers):
    """Returns the CPU seconds of this process and of servers."""
    tasks = [path for server in servers for path in Path(f"/proc/{server.pid}/task").glob("*/schedstat")]
    return time.process_time() + sum(int(path.read_text().split()[0]) for path in tasks) / 1e9


def started(base, address, runtime, threads):
    """Starts a server, and returns its process when it has loaded the model."""
    flags = [f"--model_base_path={base}", "--port=0", f"--grpc_socket_path={address.removeprefix('unix:')}"]
    flags += [f"--runtime={runtime}", f"--tensorflow_intra_op_parallelism={threads}"]
    command = [sys.executable, "-m", "serving.server", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        print(line.rstrip())
        if line.startswith("serving "):
            return process
    sys.exit(f"the server ended with {process.wait()}")


def asker(address, array):
    """Returns what asks a server about texts, from their bytes to the numbers of the answers."""
    method = grpc.insecure_channel(address).unary_unary(
        PREDICT, request_serializer=PredictRequest.SerializeToString, response_deserializer=PredictResponse.FromString
    )
    request = PredictRequest()
    request.model_spec.name = "default"
    tensors.fill(request.inputs["text"], array)
    method(request, wait_for_ready=True)
    return lambda: method(request)


def quantized(folder, threads):
    """Returns ONNX Runtime's encoder with weights in int8, and activations quantized as they come."""
    types = {"DefaultTensorType": onnx.TensorProto.FLOAT}  # fused operations do not tell theirs
    fused, path = folder / "fused.onnx", folder / "int8.onnx"
    quantize_dynamic(fused, path, weight_type=QuantType.QInt8, extra_options=types)
    return onnx_session(path, threads)


def transformers(model, inputs):
    with torch.inference_mode():
        return model(**inputs).last_hidden_state


def profile(servable, texts):
    """Returns the milliseconds of matrix products, of other operations of the encoder, and of text and decoding, of the fastest
    of some runs of TensorFlow's graph, as its profile tells them."""
    signature = servable.signatures[NAME]
    outputs = [info.name for info in signature.outputs.values()]
    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE, inter_op_thread_pool=-1)
    best = None
    for _ in range(20):
        metadata = tf.compat.v1.RunMetadata()
        began = time.perf_counter()
        servable._session.run(outputs, {signature.inputs["text"].name: texts}, options=options, run_metadata=metadata)
        total = time.perf_counter() - began
        if best is None or total < best[0]:
            best = total, metadata
    spent = Counter()
    for device in best[1].step_stats.dev_stats:
        for node in device.node_stats:
            kind = 2
            if "/while/" in node.node_name or "while_body" in node.node_name or "classify" in node.node_name:
                kind = 0 if "MatMul" in node.timeline_label else 1
            spent[kind] += node.op_end_rel_nanos - node.op_start_rel_nanos
    return [spent[kind] / 1e6 for kind in range(3)]


def limit(run):
    """Says what reading the weights once takes, at the bandwidth that two threads measure here."""
    weights = sum(x.size for x in Run(run).model.get_weights() if x.ndim == 2 and x.shape[0] < 10_000)
    block = torch.ones(2**26)  # 256 MiB
    seconds = fastest({"": lambda: block.sum()}, 3, 0.5)[""] / 1000
    bandwidth = block.nbytes / seconds
    return (
        f"memory is read at {bandwidth / 1e9:.0f} GB/s: the weights of all matrix products, {weights / 1e6:.1f} million, take "
        f"{4000 * weights / bandwidth:.2f} ms in fp32, {1000 * weights / bandwidth:.2f} ms in int8"
    )


if __name__ == "__main__":
    main()
