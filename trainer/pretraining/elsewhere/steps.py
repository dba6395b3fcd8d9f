"""Steps and scores of BERT's pretraining on the JAX backend of Keras, compiled once for batches of one shape.

The loss is that of `trainer.pretraining.masked`: the mean over the masked places, plus the mean over the sequences.

Glossary of shapes: B batch, S sequence length, P places of a row, V vocabulary.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import keras
import numpy as np
from keras import ops

from models import heads
from models.bert import bert
from trainer.pretraining.elsewhere.mixture import Batch
from trainer.pretraining.masking import NOTHING
from trainer.training.decay import EPSILON, is_decayed

PARTS = ("masked", "next")
EMBEDDINGS = ("token_embedding", "segment_embedding", "position_embedding")


class State(NamedTuple):
    """What a step changes: values of the variables of model and optimiser, in their order."""

    trainable: list
    fixed: list  # such as the states of the dropout's seeds
    slots: list


def model_of(arguments: dict[str, Any], *, pairs: bool, seed: int, policy: str = "float32") -> keras.Model:
    """Returns the encoder with its heads, untrained; see `models.heads.masked_words`.

    Args:
        arguments: Of `models.bert.bert`.
        pairs: Two texts a sequence.
        seed: Of the weights and the dropout.
        policy: Of Keras, for numbers of fewer bits.
    """
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    try:
        encoder = bert(**arguments, seed=seed)
        names = ("activation", "epsilon")
        model = heads.masked_words(
            encoder, next_sentence=pairs, places=True, **{name: arguments[name] for name in names}
        )
    finally:
        keras.config.set_dtype_policy("float32")
    if policy != "float32":
        # Gradients of frequent pieces are sums over thousands of places: in bfloat16 what is added last would be lost
        for name in EMBEDDINGS:
            model.get_layer(name).dtype_policy = "float32"
        model.get_layer(EMBEDDINGS[0]).reverse_dtype = keras.dtype_policies.get(policy).compute_dtype
    return model


def optimizer_of(model: keras.Model, *, weight_decay: float, clip_norm: float) -> keras.optimizers.Optimizer:
    """Returns the optimiser of `trainer.training.optim.optimizer` as Keras has it; its learning rate is set before each step."""
    optimizer = keras.optimizers.AdamW(
        0.0, weight_decay=weight_decay, epsilon=EPSILON, global_clipnorm=clip_norm or None
    )
    optimizer.exclude_from_weight_decay(
        [variable for variable in model.trainable_variables if not is_decayed(variable)]
    )
    optimizer.build(model.trainable_variables)
    return optimizer


def unfolded(batch: Batch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns (inputs of the model, targets) of a batch."""
    ids = ops.cast(batch.ids, "int32")
    places = ops.arange(ids.shape[1], dtype="int32")[None]  # [1, S]
    mask = places < batch.lengths[:, None]  # [B, S]
    segments = ops.cast(ops.logical_and(mask, places >= batch.seconds[:, None]), "int32")
    inputs = {"token_ids": ids, "segment_ids": segments, "mask": mask, "places": batch.places}
    return inputs, {"masked": batch.words, "next": batch.next}


def sums(outputs: dict[str, Any], targets: dict[str, Any]) -> Any:
    """Returns float32 [2, 3]: of masked words and of pairs the sum of the losses, how many are right, and how many there are."""
    rows = []
    for name, logits in zip(PARTS, (outputs["words"], outputs.get("next")), strict=True):
        if logits is None:
            rows.append(ops.zeros([3], "float32"))
            continue
        logits, gold = ops.cast(logits, "float32"), targets[name]
        there = ops.cast(gold != NOTHING, "float32")
        index = ops.maximum(gold, 0)
        losses = ops.logsumexp(logits, -1) - ops.take_along_axis(logits, index[..., None], -1)[..., 0]
        right = ops.cast(ops.cast(ops.argmax(logits, -1), "int32") == gold, "float32")
        rows.append(ops.stack([ops.sum(losses * there), ops.sum(right * there), ops.sum(there)]))
    return ops.stack(rows)


def training_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Callable[[State, Batch, float], tuple[State, Any]]:
    """Returns a function (state, batch, learning rate) -> (state after a step, what `sums` gives); it uses up the state."""
    place = next(i for i, variable in enumerate(optimizer.variables) if variable is optimizer._learning_rate)

    def loss(trainable, fixed, batch):
        inputs, targets = unfolded(batch)
        outputs, fixed = model.stateless_call(trainable, fixed, inputs, training=True)
        found = sums(outputs, targets)
        return ops.sum(found[:, 0] / ops.maximum(found[:, 2], 1.0)), (fixed, found)

    @partial(jax.jit, donate_argnums=0)
    def step(state, batch, rate):
        slots = [*state.slots[:place], rate, *state.slots[place + 1 :]]
        (_, (fixed, found)), gradients = jax.value_and_grad(loss, has_aux=True)(state.trainable, state.fixed, batch)
        trainable, slots = optimizer.stateless_apply(slots, gradients, state.trainable)
        return State(trainable, fixed, slots), found

    return lambda state, batch, rate: step(state, batch, np.float32(rate))


def scoring(model: keras.Model) -> Callable[[list, list, Iterable[Batch]], np.ndarray]:
    """Returns a function (values of the trainable variables, of the others, batches) -> what `sums` gives of all, float64."""

    @jax.jit
    def score(trainable, fixed, batch):
        inputs, targets = unfolded(batch)
        outputs, _ = model.stateless_call(trainable, fixed, inputs, training=False)
        return sums(outputs, targets)

    def scored(trainable: list, fixed: list, batches: Iterable[Batch]) -> np.ndarray:
        with jax.default_matmul_precision("highest"):  # a GPU's own default has 10 bits, not 23
            found = [score(trainable, fixed, batch) for batch in batches]
        return np.sum([np.asarray(one, np.float64) for one in found], axis=0)

    return scored


def values(variables: Iterable[keras.Variable]) -> list:
    """Returns copies of the values of variables, which a step may use up."""
    return [jax.numpy.array(variable.value) for variable in variables]


def state_of(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> State:
    """Returns the state that model and optimiser are in."""
    return State(values(model.trainable_variables), values(model.non_trainable_variables), values(optimizer.variables))


def put_back(state: State, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Sets the variables of model and optimiser from a state."""
    variables = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    for of, now in zip(variables, state, strict=True):
        for variable, value in zip(of, now, strict=True):
            variable.assign(value)
