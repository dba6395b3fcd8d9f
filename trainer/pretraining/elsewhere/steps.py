"""Steps and scores on the JAX backend of Keras, compiled once for batches of one shape.

Glossary of shapes: B batch, P parts of a loss.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import keras
import numpy as np
from keras import ops

from trainer.training.decay import EPSILON, is_decayed
from trainer.weights.tensors import Stored

Measures = dict[str, float]  # what is known of a step, by name; `loss` first


class Rows(Protocol):
    """A batch."""

    @property
    def rows(self) -> int:
        """B."""


B = TypeVar("B", bound=Rows)
Read = TypeVar("Read", bound=Rows, contravariant=True)


class Objective(Protocol[Read]):
    """What a model learns of batches."""

    unit: str
    """Of what `read` counts."""

    def model(self, dropout: float, policy: str = "float32") -> keras.Model:
        """Returns the model with its heads, untrained, of a dtype policy of Keras."""

    def table(self, model: keras.Model) -> dict[str, Stored]:
        """Returns where each variable is stored in a file of weights."""

    def states(self, model: keras.Model, rows: int) -> dict[str, Any]:
        """Returns the states that a batch of so many rows leaves to the next one, zero, float32 [B, ...], by the names of inputs."""

    def inputs(self, model: keras.Model, batch: Read) -> dict[str, Any]:
        """Returns the model's inputs, all but those states."""

    def begins(self, batch: Read) -> Any:
        """Says whether the states are zero before a batch, bool []."""

    def sums(self, outputs: dict[str, Any], batch: Read) -> Any:
        """Returns float32 [P, 3]: of each part the sum of the losses, how many are right, and how many there are. The loss is the sum
        of the means of the parts."""

    def measures(self, sums: np.ndarray) -> Measures:
        """Returns what such sums say."""

    def scores(self, found: dict[str, np.ndarray]) -> dict[str, Any]:
        """Returns the scores of held-out text of several names, of the sums of each."""

    def read(self, batch: Read) -> int:
        """Returns how many units are read in a batch."""

    def plan(self) -> list[str]:
        """Returns lines that say what is read, and what is scored."""

    def said(self, scores: dict[str, Any]) -> str:
        """Returns scores in words."""


class State(NamedTuple):
    """What a step changes: values of the variables of model and optimiser, in their order, and of the states."""

    trainable: list
    fixed: list  # such as the states of the dropout's seeds
    slots: list
    carried: dict[str, Any]  # each [B, D]


def made(make: Callable[[], keras.Model], seed: int, policy: str) -> keras.Model:
    """Returns what `make` makes, with weights of a seed, of layers that compute by a policy of Keras."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    try:
        model = make()
    finally:
        keras.config.set_dtype_policy("float32")
    if policy != "float32":
        _keep_embeddings(model, policy)
    return model


def _keep_embeddings(model, policy):
    """Keeps the embeddings of a model of a policy in float32: gradients of frequent rows are sums over thousands of places, and in
    bfloat16 what is added last would be lost."""
    for layer in model.layers:
        for one in (layer, getattr(layer, "embedding", None)):
            if isinstance(one, keras.layers.Embedding):
                one.dtype_policy = "float32"
                if isinstance(one, keras.layers.ReversibleEmbedding):
                    one.reverse_dtype = keras.dtype_policies.get(policy).compute_dtype


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


def sums_of(logits: Any, gold: Any, nothing: int) -> Any:
    """Returns a row of `Objective.sums`: of logits [..., V] and ids [...], `nothing` where none is asked for."""
    logits = ops.cast(logits, "float32")
    there = ops.cast(gold != nothing, "float32")
    index = ops.maximum(gold, 0)
    losses = ops.logsumexp(logits, -1) - ops.take_along_axis(logits, index[..., None], -1)[..., 0]
    right = ops.cast(ops.cast(ops.argmax(logits, -1), "int32") == gold, "float32")
    return ops.stack([ops.sum(losses * there), ops.sum(right * there), ops.sum(there)])


def run(
    model: keras.Model,
    objective: Objective[B],
    trainable: list,
    fixed: list,
    carried: dict,
    batch: B,
    *,
    training: bool,
) -> tuple[Any, list, dict[str, Any]]:
    """Returns (the sums of a batch, the fixed variables and the states after it)."""
    begins = objective.begins(batch)
    before = {name: ops.where(begins, ops.zeros_like(value), value) for name, value in carried.items()}
    inputs = objective.inputs(model, batch) | before
    outputs, fixed = model.stateless_call(trainable, fixed, inputs, training=training)
    behind = {name: jax.lax.stop_gradient(ops.cast(outputs["states"][name], "float32")) for name in carried}
    return objective.sums(outputs, batch), fixed, behind


def training_step(
    model: keras.Model, objective: Objective[B], optimizer: keras.optimizers.Optimizer
) -> Callable[[State, B, float], tuple[State, Any]]:
    """Returns a function (state, batch, learning rate) -> (state after a step, sums); it uses up the state."""
    place = next(i for i, variable in enumerate(optimizer.variables) if variable is optimizer._learning_rate)

    def loss(trainable, fixed, carried, batch):
        found, fixed, carried = run(model, objective, trainable, fixed, carried, batch, training=True)
        return ops.sum(found[:, 0] / ops.maximum(found[:, 2], 1.0)), (fixed, carried, found)

    @partial(jax.jit, donate_argnums=0)
    def step(state, batch, rate):
        slots = [*state.slots[:place], rate, *state.slots[place + 1 :]]
        gradient = jax.value_and_grad(loss, has_aux=True)
        (_, (fixed, carried, found)), gradients = gradient(state.trainable, state.fixed, state.carried, batch)
        trainable, slots = optimizer.stateless_apply(slots, gradients, state.trainable)
        return State(trainable, fixed, slots, carried), found

    return lambda state, batch, rate: step(state, batch, np.float32(rate))


def scoring(
    model: keras.Model, objective: Objective[B]
) -> Callable[[list, list, dict[str, Any], Iterable[B]], np.ndarray]:
    """Returns a function (values of the trainable variables, of the others, states, batches) -> the sums of all, float64."""

    @jax.jit
    def score(trainable, fixed, carried, batch):
        found, _, carried = run(model, objective, trainable, fixed, carried, batch, training=False)
        return found, carried

    def scored(trainable: list, fixed: list, carried: dict[str, Any], batches: Iterable[B]) -> np.ndarray:
        found = []
        with jax.default_matmul_precision("highest"):  # a GPU's own default has 10 bits, not 23
            for batch in batches:
                sums, carried = score(trainable, fixed, carried, batch)
                found.append(sums)
        return np.sum([np.asarray(one, np.float64) for one in found], axis=0)

    return scored


def values(variables: Iterable[keras.Variable]) -> list:
    """Returns copies of the values of variables, which a step may use up."""
    return [jax.numpy.array(variable.value) for variable in variables]


def state_of(model: keras.Model, optimizer: keras.optimizers.Optimizer, carried: dict[str, keras.Variable]) -> State:
    """Returns the state that variables are in."""
    states = dict(zip(carried, values(carried.values()), strict=True))
    return State(
        values(model.trainable_variables), values(model.non_trainable_variables), values(optimizer.variables), states
    )


def put_back(
    state: State, model: keras.Model, optimizer: keras.optimizers.Optimizer, carried: dict[str, keras.Variable]
) -> None:
    """Sets the variables from a state."""
    groups = (
        (model.trainable_variables, state.trainable),
        (model.non_trainable_variables, state.fixed),
        (optimizer.variables, state.slots),
        (carried.values(), [state.carried[name] for name in carried]),
    )
    for variables, now in groups:
        for variable, value in zip(variables, now, strict=True):
            variable.assign(value)
