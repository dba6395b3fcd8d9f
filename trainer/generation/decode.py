"""Writing text unit by unit, inside the graph: greedy, by beams, by chance. No step computes again what was computed before.

Every op loads in TF 2.12.1 and later. What a row becomes depends on that row alone, not on its neighbours in the batch.

Glossary of shapes: B batch, K hypotheses a row, N = B*K, L most units that are written, P units of a prompt, S places of the
source, V vocabulary.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

Tensors = dict[str, tf.Tensor]
LOWEST = -1e9


class Step(NamedTuple):
    """What a model gives for the next units."""

    logits: tf.Tensor  # [N, T, V], of the unit behind each
    states: Tensors  # of each row, axis 0, whatever they are
    alignments: tf.Tensor | None  # [N, T, S]


# (token ids [N, T], memory [B, ...], states [N, ...]) -> what follows; called with T = 1, at first with T = P
Next = Callable[[tf.Tensor, Tensors, Tensors], Step]


class Written(NamedTuple):
    """What was written; best first where there are several."""

    ids: tf.Tensor  # int32 [B, K, L'], without the mark of the end; the padding behind a hypothesis is 0
    lengths: tf.Tensor  # int32 [B, K], units without the mark of the end; -1: there is no such hypothesis
    scores: (
        tf.Tensor
    )  # [B, K], sum of the logarithms of the probabilities of units, the end's too, divided by `penalty`
    places: tf.Tensor  # int32 [B, K, L'], of the source, to which each unit is aligned most; 0 without alignments


def penalty(length: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Returns what the sum of a hypothesis's logarithms is divided by: its units, the end too, to the power of alpha."""
    return tf.pow(tf.cast(length, tf.float32), alpha)


def beams(
    following: Next,
    memory: Tensors,
    states: Tensors,
    *,
    start: int,
    end: int,
    allowed: tf.Tensor,
    width: tf.Tensor | int,
    longest: tf.Tensor,
    alpha: tf.Tensor | float = 1.0,
) -> Written:
    """Searches for the hypotheses of the highest score, of which the best K are kept at each step; K = 1 is greedy search.

    As in fairseq: of the best 2 K continuations those that end, and are among the best K, are finished; the best K of the others go
    on; a row is done with K finished ones. The last unit that may be written is the end.

    Args:
        following: The model.
        memory, states: Of B rows.
        start, end: Ids of the marks.
        allowed: bool [V], units that may be written; the end is one of them.
        width: K.
        longest: int32 [B], units of each row at most, the end included; 1 or more.
        alpha: Of `penalty`.
    """
    width = tf.convert_to_tensor(width, tf.int32)
    batch, limit = tf.shape(longest)[0], tf.reduce_max(longest)
    refused = tf.where(allowed, 0.0, LOWEST)  # [V]
    only_end = tf.where(tf.range(tf.size(allowed)) == end, 0.0, LOWEST)
    row = tf.range(batch)[:, None]  # [B, 1]
    written = tf.zeros([batch, width, 0], tf.int32)
    begin = {
        "t": tf.constant(0),
        "last": tf.fill([batch, width], start),  # [B, K]
        "scores": tf.where(tf.range(width) == 0, 0.0, LOWEST) + tf.zeros([batch, 1]),
        "ids": written,
        "places": written,
        "finished_ids": written,
        "finished_places": written,
        "finished_scores": tf.fill([batch, width], LOWEST),
        "finished_lengths": tf.fill([batch, width], -1),
        "states": {name: tf.repeat(x, width, axis=0) for name, x in states.items()},
    }

    def count(loop):
        return tf.reduce_sum(tf.cast(loop["finished_lengths"] >= 0, tf.int32), axis=1)  # [B]

    def go_on(loop):
        undone = (count(loop) < width) & (loop["t"] < longest)
        return tf.reduce_any(undone)

    def step(loop):
        t, done = loop["t"], (count(loop) >= width) | (loop["t"] >= longest)  # [B]
        found = following(tf.reshape(loop["last"], [-1, 1]), memory, loop["states"])
        logits = tf.cast(found.logits[:, -1], tf.float32) + refused  # [N, V]
        last = tf.repeat(t == longest - 1, width)[:, None]  # [N, 1]
        # No more than 2 K of the best can be from one hypothesis
        most = tf.minimum(2 * width, tf.shape(logits)[-1])
        values, units = tf.math.top_k(logits + tf.where(last, only_end, 0.0), most)  # [N, 2*K]
        values -= tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        totals = tf.reshape(tf.reshape(loop["scores"], [-1, 1]) + values, [batch, -1])  # [B, K*2*K]
        best, chosen = tf.math.top_k(totals, tf.minimum(2 * width, width * most))  # [B, 2*K]
        parent = chosen // most
        unit = tf.gather(tf.reshape(units, [batch, -1]), chosen, batch_dims=1)
        place = tf.zeros_like(loop["last"])
        if found.alignments is not None:
            place = tf.reshape(tf.argmax(found.alignments[:, -1], axis=-1, output_type=tf.int32), [batch, width])

        def followed(name, of, new):  # what was written by `of` and then `new`
            before = tf.gather(loop[name], of, batch_dims=1)
            return tf.concat([before, new[:, :, None]], axis=2)

        ends = unit == end
        ids = followed("ids", parent, unit)
        places = followed("places", parent, tf.gather(place, parent, batch_dims=1))
        # Finished
        possible = best > LOWEST / 2
        accepted = ends & possible & (tf.range(tf.shape(best)[1]) < width) & ~done[:, None]
        scores = tf.where(accepted, best / penalty(t + 1, alpha), LOWEST)
        pad = lambda x: tf.pad(x, [[0, 0], [0, 0], [0, 1]])
        all_scores = tf.concat([loop["finished_scores"], scores], axis=1)
        kept_scores, kept = tf.math.top_k(all_scores, width)
        keep = lambda old, new: tf.gather(tf.concat([old, new], axis=1), kept, batch_dims=1)
        lengths = tf.where(accepted, t, -1)
        # Alive
        alive_scores, alive = tf.math.top_k(tf.where(ends, 2 * LOWEST, best), width)
        take = lambda x: tf.gather(x, alive, batch_dims=1)
        source = tf.reshape(row * width + take(parent), [-1])  # [N]
        return {
            "t": t + 1,
            "last": take(unit),
            "scores": tf.maximum(alive_scores, 2 * LOWEST),
            "ids": take(ids),
            "places": take(places),
            "finished_ids": keep(pad(loop["finished_ids"]), ids),
            "finished_places": keep(pad(loop["finished_places"]), places),
            "finished_scores": kept_scores,
            "finished_lengths": keep(loop["finished_lengths"], lengths),
            "states": {name: tf.gather(x, source) for name, x in found.states.items()},
        }

    loop = _run(go_on, step, begin, limit)
    behind = tf.sequence_mask(loop["finished_lengths"], tf.shape(loop["finished_ids"])[2])
    return Written(
        tf.where(behind, loop["finished_ids"], 0),
        loop["finished_lengths"],
        loop["finished_scores"],
        tf.where(behind, loop["finished_places"], 0),
    )


class Chance(NamedTuple):
    """How units are drawn, for each row."""

    temperature: tf.Tensor  # float [B], what logits are divided by; 0: the most probable unit
    top_k: tf.Tensor  # int32 [B], of so many most probable units; 0: of all
    top_p: tf.Tensor  # float [B], of the fewest that have this probability together; 1: of all
    seed: tf.Tensor  # int64 [B]


def sample(
    following: Next,
    memory: Tensors,
    states: Tensors,
    prompts: tf.Tensor,
    lengths: tf.Tensor,
    chance: Chance,
    *,
    end: int,
    allowed: tf.Tensor,
    longest: tf.Tensor,
) -> Written:
    """Draws units one after the other; K is 1.

    Args:
        following: The model.
        memory, states: Of B rows.
        prompts: int32 [B, P], what each row begins with, 1 unit or more.
        lengths: int32 [B], of the prompts.
        chance: How.
        end: Id of the mark of the end; -1: there is none.
        allowed: bool [V], units that may be written.
        longest: int32 [B], units written in each row at most, the end included.
    """
    refused = tf.where(allowed, 0.0, LOWEST)
    batch = tf.shape(prompts)[0]
    first = tf.maximum(tf.reduce_min(lengths), 1)  # what all have is read at once
    empty = tf.zeros([batch, 0], tf.int32)
    begin = {
        "t": tf.constant(0),  # units read, less `first`
        "units": prompts[:, :first],
        "ids": empty,
        "places": empty,
        "kept": tf.zeros([batch, 0], tf.bool),
        "count": tf.zeros([batch], tf.int32),
        "scores": tf.zeros([batch]),
        "done": longest <= 0,
        "states": states,
    }

    def step(loop):
        found = following(loop["units"], memory, loop["states"])
        logits = tf.cast(found.logits[:, -1], tf.float32) + refused  # [B, V]
        place = first + loop["t"]  # of the unit that follows
        given = place < lengths  # [B], it stands in the prompt
        drawn = draw(logits, chance, loop["count"])
        of_prompt = tf.gather(tf.pad(prompts, [[0, 0], [0, 1]]), tf.minimum(place, tf.shape(prompts)[1]), axis=1)
        unit = tf.where(given, of_prompt, drawn)
        written = ~given & ~loop["done"]
        score = tf.gather(tf.nn.log_softmax(logits), unit, batch_dims=1)
        count = loop["count"] + tf.cast(written, tf.int32)
        ended = written & (unit == end)
        source = tf.zeros([batch], tf.int32)
        if found.alignments is not None:
            source = tf.argmax(found.alignments[:, -1], axis=-1, output_type=tf.int32)
        return {
            "t": loop["t"] + 1,
            "units": unit[:, None],
            "ids": tf.concat([loop["ids"], unit[:, None]], axis=1),
            "places": tf.concat([loop["places"], source[:, None]], axis=1),
            "kept": tf.concat([loop["kept"], (written & ~ended)[:, None]], axis=1),
            "count": count,
            "scores": loop["scores"] + tf.where(written, score, 0.0),
            "done": loop["done"] | ended | (count >= longest),
            "states": found.states,
        }

    limit = tf.reduce_max(lengths) + tf.reduce_max(longest)
    loop = _run(lambda loop: ~tf.reduce_all(loop["done"]), step, begin, limit)
    ids = tf.ragged.boolean_mask(loop["ids"], loop["kept"]).to_tensor()
    places = tf.ragged.boolean_mask(loop["places"], loop["kept"]).to_tensor()
    length = tf.reduce_sum(tf.cast(loop["kept"], tf.int32), axis=1)
    return Written(ids[:, None], length[:, None], loop["scores"][:, None], places[:, None])


def draw(logits: tf.Tensor, chance: Chance, place: tf.Tensor) -> tf.Tensor:
    """Returns a unit of each row, int32 [B], drawn with the probabilities of logits [B, V]; `place` int32 [B] counts the draws."""
    sharp = logits / tf.maximum(chance.temperature, 1e-6)[:, None]
    all_units = tf.ones_like(sharp, tf.bool)
    limited = (chance.top_k > 0) | (chance.top_p < 1)  # [B]
    # Units are sorted only where a row asks for it; what the others become is the same
    kept = tf.cond(tf.reduce_any(limited), lambda: _most_probable(sharp, chance) | ~limited[:, None], lambda: all_units)
    probabilities = tf.nn.softmax(tf.cast(tf.where(kept, sharp, LOWEST), tf.float64))
    sums = tf.cumsum(tf.where(kept, probabilities, 0.0), axis=1)
    point = uniform(chance.seed, place)[:, None] * sums[:, -1:]
    behind = sums > point
    chosen = tf.argmax(behind, axis=1, output_type=tf.int32)  # the first
    best = tf.argmax(logits, axis=1, output_type=tf.int32)
    return tf.where((chance.temperature > 0) & tf.reduce_any(behind, axis=1), chosen, best)


def _most_probable(logits, chance):
    """Returns which units may be drawn, bool [B, V], by `top_k` and then `top_p`."""
    batch, vocabulary = tf.unstack(tf.shape(logits))
    values, units = tf.math.top_k(logits, vocabulary)  # [B, V], the most probable first
    rank = tf.range(vocabulary)[None]
    most = tf.where(chance.top_k > 0, chance.top_k, vocabulary)[:, None]
    probabilities = tf.nn.softmax(tf.cast(tf.where(rank < most, values, LOWEST), tf.float64))
    before = tf.cumsum(probabilities, axis=1, exclusive=True)
    top_p = tf.cast(chance.top_p, tf.float64)[:, None]
    kept = (rank < most) & ((before < top_p) | (top_p >= 1)) | (rank == 0)
    row = tf.broadcast_to(tf.range(batch)[:, None], [batch, vocabulary])
    return tf.scatter_nd(tf.stack([row, units], axis=-1), kept, [batch, vocabulary])


def uniform(seed: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Returns a number of [0, 1) for each row's seed and place, float64 [B]: by a counter, so that a row's numbers do not depend
    on what stands beside it.

    SplitMix64 (Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators"), twice: of the seed, then of the place.
    """
    number = _mixed(_mixed(seed) + tf.cast(place, tf.int64) * GOLDEN)
    return tf.cast(_shifted(number, 11), tf.float64) * 2.0**-53


def _signed(number):
    return number - 2**64 if number >= 2**63 else number


GOLDEN = _signed(0x9E3779B97F4A7C15)


def _shifted(x, bits):
    """Shifts int64 to the right, zeros from the left."""
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(x, tf.constant(bits, tf.int64)), 2 ** (64 - bits) - 1)


def _mixed(x):
    x += GOLDEN
    x = tf.bitwise.bitwise_xor(x, _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = tf.bitwise.bitwise_xor(x, _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    return tf.bitwise.bitwise_xor(x, _shifted(x, 31))


def _run(go_on, step, begin, limit):
    """Runs a loop over a structure of tensors whose shapes may grow but for their rank."""
    shapes = tf.nest.map_structure(lambda x: tf.TensorShape([None] * len(x.shape)), begin)
    for name, x in begin["states"].items():  # widths stay known to the model
        shapes["states"][name] = tf.TensorShape([None, *_kept(x.shape[1:])])
    (loop,) = tf.while_loop(
        go_on, lambda loop: (step(loop),), (begin,), shape_invariants=(shapes,), maximum_iterations=limit
    )
    return loop


def _kept(shape):
    """Returns the sizes behind the batch; one that is 0 at first grows."""
    return [size or None for size in shape]
