"""`make bench`: training and encoder speed, ours beside transformers on PyTorch, KerasHub and ONNX Runtime.

    python -m tests.bench.speed [--rounds 3] [--batches 16] [--json FILE]        (in the environment of requirements-peers.txt)

All in one process, in turn, several rounds, the best round of each counted; every contender has the same MiniLM weights'
shape (6 layers, width 384) and the same real SST-2 sentences in batches of 32, two threads. Prints its tables last.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

import keras
import keras_hub
import numpy as np
import onnxruntime
import tensorflow as tf
import torch
from onnxruntime.transformers.optimizer import optimize_model
from transformers import BertForSequenceClassification, BertModel

from serving.server.models.servable import Servable
from trainer.data import datasets, files
from trainer.runs.blueprint import Blueprint
from trainer.tasks.kinds import KINDS
from trainer.tasks.setup import Setup
from trainer.tasks.table import TASKS
from trainer.text.reader import Reader
from trainer.training import optim
from trainer.training.batches import dataset, plan_training
from trainer.training.step import training_step
from trainer.weights import hub, pretrained

THREADS, BATCH, MAX_LENGTH, CLASSES = 2, 32, 128, ["negative", "positive"]
NAMES = ("token_ids", "segment_ids", "mask")  # inputs of our models


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=16, help="batches of a round of training")
    parser.add_argument("--json", type=Path, help="file to write the figures to, too")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    folder = hub.folder_of("minilm")
    blueprint, config = Blueprint.of_weights(folder), pretrained.read_config(folder)[0]
    rows = files.read(datasets.path_of("sst2", "train"), TASKS["sentiment"], CLASSES)
    setup = Setup(TASKS["sentiment"], blueprint.reader(MAX_LENGTH), ("text",), CLASSES)
    _, examples = KINDS["classify"].examples(rows, setup)

    chosen = np.random.default_rng(0).permutation(len(rows))[: BATCH * options.batches]
    planned = [chosen[batch] for batch in plan_training(examples.lengths[chosen], BATCH, seed=0, epoch=1)]
    plans = {"planned": planned, "random": list(chosen.reshape(-1, BATCH))}  # the same sentences
    batches = {name: list(dataset(examples, plan)) for name, plan in plans.items()}
    training = measure_training(blueprint, folder, config, batches, options.rounds)
    encoding = measure_encoders(blueprint, folder, config, batches["random"][0][0], options.rounds)

    padding = {
        name: 1 - np.mean([inputs["mask"].numpy().mean() for inputs, _ in plan]) for name, plan in batches.items()
    }
    if options.json:
        options.json.write_text(json.dumps({"training": training} | encoding))
    print(f"\nrun by `make bench`; {THREADS} threads, MiniLM 6x384, SST-2, batches of {BATCH}")
    print(f"padding: random batches {padding['random']:.0%}, our planned batches {padding['planned']:.0%}")
    table("training, sentences per second (more is better)", training, lambda value, peer: value / peer)
    for shape, row in encoding.items():
        table(f"encoder {shape}, milliseconds (less is better)", row, lambda value, peer: peer / value)


def table(title, row, ratio):
    """Prints {contender: value}, with the ratio of each of ours to each peer."""
    print(f"\n{title}")
    peers = {name: value for name, value in row.items() if not name.startswith("ours")}
    print(f"{'':34}{'':>8}   " + "  ".join(f"{'ours / ' + name:>26}" for name in peers))
    for name, value in row.items():
        ratios = (
            "  ".join(f"{ratio(value, peer):>25.2f}x" for peer in peers.values()) if name.startswith("ours") else ""
        )
        print(f"{name:34}{value:>8.1f}   {ratios}")


def best(rounds, contenders):
    """Returns {name: seconds of its best round}; the contenders take turns, after a warm-up round."""
    times = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, run in contenders.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return {name: min(values[1:]) for name, values in times.items()}


def measure_training(blueprint, folder, config, batches, rounds):
    """Returns {contender: sentences per second}."""
    contenders = {
        "ours, planned batches": ours_training(blueprint, folder, batches["planned"], packed=True),
        "ours, random batches": ours_training(blueprint, folder, batches["random"], packed=True),
        "ours, random batches, padded": ours_training(blueprint, folder, batches["random"], packed=False),
        "transformers": transformers_training(folder, batches["random"]),
        "KerasHub": kerashub_training(config, batches["random"]),
    }
    sentences = BATCH * len(batches["random"])
    return {name: sentences / seconds for name, seconds in best(rounds, contenders).items()}


def ours_training(blueprint, folder, batches, *, packed):
    head = KINDS["classify"]
    architecture = blueprint.architecture
    encoder = architecture.build(blueprint.config, head.wants, seed=0, packed=packed)
    model = head.build(encoder, len(CLASSES), dropout=0.1, seed=0)
    blueprint.load(model, folder, ignore=head.layers)
    optimizer = optim.optimizer(model.trainable_variables, optim.Schedule(1e-4, 10, 1000), weight_decay=0.01)
    step = training_step(model, head.loss, optimizer, [Reader.inputs, head.targets])
    return lambda: [step([(inputs, targets)]) for inputs, targets in batches]


def transformers_training(folder, batches):
    model = BertForSequenceClassification.from_pretrained(folder, num_labels=len(CLASSES)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    batches = [(torch_inputs(inputs), torch.tensor(targets.numpy(), dtype=torch.long)) for inputs, targets in batches]

    def run():
        for inputs, targets in batches:
            loss = model(**inputs, labels=targets).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()

    return run


def kerashub_training(config, batches):
    backbone = kerashub(config)
    x = keras.layers.Dropout(0.1)(backbone.output["pooled_output"])
    model = keras.Model(backbone.input, keras.layers.Dense(len(CLASSES))(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-4, weight_decay=0.01, global_clipnorm=1.0), loss=loss)
    batches = [(kerashub_inputs(inputs), targets) for inputs, targets in batches]
    return lambda: [model.train_on_batch(inputs, targets) for inputs, targets in batches]


def measure_encoders(blueprint, folder, config, real, rounds):
    """Returns {shape: {contender: milliseconds per run}}; `real` are the inputs of a batch of sentences."""
    ids = lambda length: {
        "token_ids": np.random.default_rng(0).integers(1000, 20000, [1, length], np.int32),
        "segment_ids": np.zeros([1, length], np.int32),
        "mask": np.ones([1, length], bool),
    }
    real = {name: value.numpy() for name, value in real.items()}
    shapes = {"1x16": (ids(16), 30), "1x128": (ids(128), 10), f"{BATCH} real sentences": (real, 3)}
    reference = BertModel.from_pretrained(folder).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as temporary:
        all_states = ours_encoder(blueprint, folder, Path(temporary) / "whole", pooled_only=False)
        pooled = ours_encoder(blueprint, folder, Path(temporary) / "pooled", pooled_only=True)
        onnx = onnx_encoder(reference, Path(temporary))
    hub = kerashub(config)
    hub_function = tf.function(lambda inputs: hub(inputs, training=False)["sequence_output"], reduce_retracing=True)
    for inputs, _ in shapes.values():  # contenders with the same weights give the same outputs
        with torch.inference_mode():
            expected = reference(**torch_inputs(inputs)).last_hidden_state.numpy()[inputs["mask"]]
        for name, output in (("ours", all_states(inputs)["output"]), ("ONNX Runtime", onnx(inputs))):
            largest = np.abs(output[inputs["mask"]] - expected).max()
            assert largest < 1e-3, f"{name} differs from transformers by {largest}"

    def transformers(inputs):
        with torch.inference_mode():
            return reference(**inputs).last_hidden_state

    results = {}
    for shape, (inputs, times) in shapes.items():
        inputs_torch, inputs_hub = torch_inputs(inputs), kerashub_inputs(inputs)
        contenders = {
            "ours, all states": lambda inputs=inputs: all_states(inputs),
            "ours, pooled output (served)": lambda inputs=inputs: pooled(inputs),
            "transformers": lambda inputs=inputs_torch: transformers(inputs),
            "KerasHub": lambda inputs=inputs_hub: hub_function(inputs),
            "ONNX Runtime": lambda inputs=inputs: onnx(inputs),
        }
        repeated = {
            name: lambda run=run, times=times: [run() for _ in range(times)] for name, run in contenders.items()
        }
        results[shape] = {name: 1000 * seconds / times for name, seconds in best(2 * rounds, repeated).items()}
    return results


def ours_encoder(blueprint, folder, path, *, pooled_only):
    """Returns the encoder as it is served: a SavedModel in a session."""
    model = blueprint.architecture.build(blueprint.config, {"pooled_only": pooled_only}, seed=0)
    blueprint.load(model, folder)
    types = {"token_ids": tf.int32, "segment_ids": tf.int32, "mask": tf.bool}

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], types[name], name=name) for name in NAMES], autograph=False
    )
    def encode(*tensors):
        outputs = model(dict(zip(NAMES, tensors, strict=True)), training=False)
        return {"output": outputs["pooled"] if pooled_only else outputs["hidden_states"][-1]}

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    tf.saved_model.save(module, str(path), signatures={"serving_default": encode.get_concrete_function()})
    servable = Servable(path)
    return lambda inputs: servable.predict("serving_default", inputs)


class LastState(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, token_type_ids, attention_mask):
        return self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state


def onnx_encoder(model, folder, threads=THREADS):
    """Returns the model exported by PyTorch and fused by ONNX Runtime's optimizer for BERT; leaves it in `fused.onnx`."""
    padded = {name: np.tri(2, 8, 5, dtype=np.int32) for name in NAMES}  # without padding, the mask is traced away
    inputs = torch_inputs(padded)
    names = list(inputs)
    axes = {name: {0: "batch", 1: "length"} for name in [*names, "output"]}
    plain, fused = str(folder / "plain.onnx"), str(folder / "fused.onnx")
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the one that the optimizer can fuse
    with torch.inference_mode():
        torch.onnx.export(
            LastState(model).eval(), tuple(inputs.values()), plain, input_names=names, output_names=["output"], dynamic_axes=axes, dynamo=False
        )  # fmt: skip
    model.set_attn_implementation(implementation)
    optimized = optimize_model(plain, model_type="bert", num_heads=12, hidden_size=384)
    print("ONNX Runtime fused:", optimized.get_fused_operator_statistics())
    optimized.save_model_to_file(fused)
    return onnx_session(fused, threads)


def onnx_session(path, threads):
    """Returns what runs a model of ONNX Runtime on the inputs of ours."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    used = {argument.name for argument in session.get_inputs()}

    def run(inputs):
        feed = {name: value.numpy() for name, value in torch_inputs(inputs).items() if name in used}
        return session.run(None, feed)[0]

    return run


def kerashub(config):
    return keras_hub.models.BertBackbone(
        vocabulary_size=config["vocab_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        hidden_dim=config["hidden_size"],
        intermediate_dim=config["intermediate_size"],
    )


def torch_inputs(inputs):
    values = [torch.tensor(np.asarray(inputs[name]), dtype=torch.long) for name in NAMES]
    return dict(zip(("input_ids", "token_type_ids", "attention_mask"), values, strict=True))


def kerashub_inputs(inputs):
    values = [tf.cast(inputs[name], tf.int32) for name in NAMES]
    return dict(zip(("token_ids", "segment_ids", "padding_mask"), values, strict=True))


if __name__ == "__main__":
    main()
