"""Ours: fine-tuning steps, and encoders as they are served."""

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

from collections import Counter
from functools import partial

import keras
import tensorflow as tf

from serving import litert
from serving.server.models.encoder import Encoder
from serving.server.models.servable import Servable
from trainer.runs.blueprint import Blueprint
from trainer.tasks.kinds import kind_of
from trainer.tasks.table import TASKS
from trainer.training import optim
from trainer.training.recompute import Recomputing
from trainer.training.step import training_step

NAMES = ("token_ids", "segment_ids", "mask")
SIGNATURE = "serving_default"


def finetuning(folder, task, classes, *, texts=1, recompute=False):
    """Returns batches -> what makes a step of each; `recompute`: layers are computed anew for the gradient."""
    blueprint, kind = Blueprint.of_weights(folder), kind_of(TASKS[task])
    encoder = blueprint.architecture.build(blueprint.config, kind.wants, seed=0)
    model = kind.build(encoder, classes, dropout=blueprint.architecture.head_dropout(blueprint.config), seed=0)
    blueprint.load(model, folder, ignore=kind.layers)
    optimizer = optim.optimizer(model.trainable_variables, optim.Schedule(1e-4, 10, 1000), weight_decay=0.01)
    signature = [blueprint.reader(blueprint.config.positions).inputs(texts), kind.targets]
    step = training_step(Recomputing(model) if recompute else model, kind.loss, optimizer, signature)

    def ready(batches):
        given = [tf.nest.map_structure(tf.convert_to_tensor, batch) for batch in batches]
        return lambda: [step([batch]) for batch in given]

    return ready


def encoder(blueprint, load=lambda model: None, *, pooled_only=False, joined=False):
    """Returns the encoder from the inputs to all last states [B, S, D], or to the pooled output [B, D]; `joined`: of one row."""
    wants = {"pooled_only": pooled_only} | (blueprint.architecture.joined if joined else {})
    built = blueprint.architecture.build(blueprint.config, wants, seed=0)
    load(built)
    outputs = built.output
    return keras.Model(built.input, outputs["pooled"] if pooled_only else outputs["hidden_states"][-1])


def by_tensorflow(model, path):
    """Returns an encoder as TensorFlow serves it: a SavedModel in a session."""
    types = {"token_ids": tf.int32, "segment_ids": tf.int32, "mask": tf.bool}
    signature = [tf.TensorSpec([None, None], types[name], name=name) for name in NAMES]

    @tf.function(input_signature=signature, autograph=False)
    def encode(*tensors):
        return {"output": model(dict(zip(NAMES, tensors, strict=True)), training=False)}

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: encode.get_concrete_function()})
    return Servable(path)


def output_of(servable, inputs):
    return servable.predict(SIGNATURE, inputs)["output"]


def by_litert(model, threads):
    """Returns inputs -> the last states of all real places [T, D]: a joined encoder, as LiteRT serves it."""
    run = Encoder(litert.converted(model, "fp32"), threads)
    return lambda inputs: run({name: inputs[name] for name in NAMES[:2]}, inputs["mask"].sum(axis=1))


def spent(servable, feeds, kind_of_node, runs=20):
    """Returns the milliseconds that the operations of a graph take, by `kind_of_node` of each, in the fastest of some runs.

    Args:
        servable: Whose `SIGNATURE` is run.
        feeds: {input: value}.
        kind_of_node: Node of TensorFlow's profile -> its kind.
        runs: How many.
    """
    signature = servable.signatures[SIGNATURE]
    outputs = [info.name for info in signature.outputs.values()]
    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE, inter_op_thread_pool=-1)
    run = partial(servable._session.run, outputs, {signature.inputs[name].name: x for name, x in feeds.items()})
    profiles = []
    for _ in range(runs):
        metadata = tf.compat.v1.RunMetadata()
        run(options=options, run_metadata=metadata)
        kinds = Counter()
        for device in metadata.step_stats.dev_stats:
            for node in device.node_stats:
                kinds[kind_of_node(node)] += (node.op_end_rel_nanos - node.op_start_rel_nanos) / 1e6
        profiles.append(kinds)
    return min(profiles, key=Counter.total)


def weights_of_products(model):
    """Returns how many numbers the matrices of a model have; embeddings, which are looked up, left out."""
    return sum(
        x.shape[0] * x.shape[1] for x in model.trainable_variables if len(x.shape) == 2 and "embedding" not in x.path
    )
