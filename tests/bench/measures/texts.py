"""How fast short texts are answered: strings through our server, beside bare encoders that are fed with the same ids.

The run of sentiment is `--run`, or else one that learns from some sentences of SST-2 first: what its weights are does not change
how fast it answers. It is exported for LiteRT in both precisions and served three times: int8, fp32, and TensorFlow alone.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import grpc
import numpy as np
from transformers import BertModel

from serving import tensors
from serving.export import export
from serving.messages import PREDICT, PredictRequest, PredictResponse
from serving.server.models.apart import ENCODER, FOLDER, SEQUENCES, TEXT
from serving.server.models.encoder import Encoder
from serving.server.models.servable import Servable
from tests.bench.contenders import kerashub, onnx, ours, pytorch
from tests.bench.measures import examples
from tests.bench.report import Measure
from tests.bench.turns import fastest
from trainer.data import datasets, files
from trainer.runs.blueprint import Blueprint
from trainer.runs.run import Run
from trainer.tasks.table import TASKS

PIECES, SENTENCES = (8, 16, 32, 128), 32
WORDS = ["a", "good", "film", "that", "you", "should", "see", "this", "year", "or", "the", "next", "one"]
SERVERS = {  # name: precision of the export, runtime
    "LiteRT int8": ("int8", "litert"),
    "LiteRT fp32": ("fp32", "litert"),
    "TensorFlow": ("fp32", "tensorflow"),
}
SHORT = "1 x 16"  # of which the graph is looked at
NEAR = 1e-3  # hidden states, of contenders with the same weights


def measure(options):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        return measured(options.run or trained(folder / "run"), folder, options)


def trained(out):
    """Returns a run of MiniLM that has learned a little."""
    command = ["finetune", "sentiment", "--init", "minilm", "--train", "sst2", "--limit", "320", "--epochs", "1"]
    process = [sys.executable, "-m", "trainer", *command, "--out", str(out)]
    subprocess.run(process, check=True, stdout=subprocess.DEVNULL)
    return out


def measured(run, folder, options):
    """Returns a measure of each length."""
    rows = files.read(datasets.path_of("sst2", "dev"), TASKS["sentiment"], Run(run).labels, limit=SENTENCES)
    texts = {f"1 x {length}": [" ".join((WORDS * 10)[: length - 2])] for length in PIECES}
    texts[f"{SENTENCES} sentences"] = [row["text"] for row in rows]
    config, threads, measures = Blueprint.of_weights(run).config, options.threads, []
    paths = {name: export(run, folder / name, precision=name)["path"] for name in ("fp32", "int8")}
    encoders, parts = Encoders(run, paths, folder, threads), Servable(Path(paths["fp32"]) / FOLDER)
    whole, servers = Servable(paths["fp32"]), {}
    try:
        for name, (precision, runtime) in SERVERS.items():
            servers[name] = started(folder / precision, socket_of(folder, name), runtime, threads)
        for key, strings in texts.items():
            array = np.array([text.encode() for text in strings], object)
            asked = {f"ours, strings by gRPC, {name}": asker(socket_of(folder, name), array) for name in servers}
            read = parts.predict(ours.SIGNATURE + TEXT, {"text": array})
            contenders = asked | encoders.fed_with(read)
            flops = examples.flops(config, read["lengths"], pooled=True)
            weights = 4 * examples.weights(config)
            figures = fastest(contenders, options.rounds, options.seconds)
            measures.append(Measure(f"texts, {key}", figures, "ms", flops=flops, weights=weights))
            if key == SHORT:
                spent = ours.spent(whole, {"text": array}, kind_of_node)
                said = ", ".join(f"{kind} {milliseconds:.1f}" for kind, milliseconds in spent.most_common())
                measures[-1].notes.append(f"the graph that TensorFlow serves, ms: {said}")
    finally:
        for server in servers.values():
            server.terminate()
            server.wait()
    return measures


class Encoders:
    """The encoders of a run, ours and the peers', without text and answers.

    Args:
        run: Folder of the run.
        paths: {precision: version of the export}.
        folder: For files.
        threads: Of each.
    """

    def __init__(self, run, paths, folder, threads):
        self._lite = {
            name: Encoder((Path(path) / FOLDER / ENCODER).read_bytes(), threads) for name, path in paths.items()
        }
        self._reference = BertModel.from_pretrained(run).eval().requires_grad_(False)
        fp32 = onnx.encoder(self._reference, folder, threads)
        self._onnx = {"fp32": fp32, "int8": onnx.quantized(folder, threads)}
        blueprint = Blueprint.of_weights(run)
        load = lambda model: blueprint.load(model, run)
        self._tensorflow = ours.by_tensorflow(ours.encoder(blueprint, load), folder / "states")
        self._kerashub = kerashub.encoder(run)

    def fed_with(self, read):
        """Returns the contenders for the sequences that `read` holds, {name: function}, whose states equal those of transformers."""
        inputs, lengths = {name: read[SEQUENCES + name] for name in ("token_ids", "segment_ids")}, read["lengths"]
        padded = inputs | {"mask": np.arange(lengths.max()) < lengths[:, None]}
        for_kerashub = kerashub.tensors(padded)
        contenders = {
            **{f"ours, ids, LiteRT {name}": partial(run, inputs, lengths) for name, run in self._lite.items()},
            "ours, ids, TensorFlow, all states": lambda: ours.output_of(self._tensorflow, padded),
            **{f"ONNX Runtime {name}, ids": partial(run, padded) for name, run in self._onnx.items()},
            "transformers, ids": pytorch.encoder(self._reference, padded),
            "KerasHub, ids": lambda: self._kerashub(for_kerashub),
        }
        expected = contenders["transformers, ids"]().numpy()[padded["mask"]]
        for name in ("ours, ids, TensorFlow, all states", "ONNX Runtime fp32, ids"):
            largest = np.abs(contenders[name]()[padded["mask"]] - expected).max()
            assert largest < NEAR, f"{name} differs from transformers by {largest}"
        return contenders


def kind_of_node(node):
    if "/while/" in node.node_name or "while_body" in node.node_name or "classify" in node.node_name:
        return "matrix products" if "MatMul" in node.timeline_label else "other operations"
    return "text and decoding"


def socket_of(folder, name):
    return folder / f"{name.replace(' ', '-')}.socket"


def started(base, socket, runtime, threads):
    """Starts a server, and returns its process when it has loaded the model."""
    flags = [f"--model_base_path={base}", "--port=0", f"--grpc_socket_path={socket}"]
    flags += [f"--runtime={runtime}", f"--tensorflow_intra_op_parallelism={threads}"]
    process = subprocess.Popen([sys.executable, "-m", "serving.server", *flags], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        print(line.rstrip(), file=sys.stderr)
        if line.startswith("serving "):
            return process
    sys.exit(f"the server ended with {process.wait()}")


def asker(socket, array):
    """Returns what asks a server about texts, from their bytes to the numbers of the answers."""
    method = grpc.insecure_channel(f"unix:{socket}").unary_unary(
        PREDICT, request_serializer=PredictRequest.SerializeToString, response_deserializer=PredictResponse.FromString
    )
    request = PredictRequest()
    request.model_spec.name = "default"
    tensors.fill(request.inputs["text"], array)
    method(request, wait_for_ready=True)
    return lambda: method(request)
