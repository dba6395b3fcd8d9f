"""The conditional random field against enumeration of all rows of labels."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from models import crf
from models.heads import LOWEST

CLASSES = 3


def drawn(rows, longest, seed=0):
    draw = np.random.default_rng(seed)
    weights = [draw.normal(size=size, scale=2) for size in ((CLASSES, CLASSES), CLASSES, CLASSES)]
    emissions = draw.normal(size=(rows, longest, CLASSES), scale=2)
    return [array.astype(np.float32) for array in (emissions, *weights)]


def enumerated(emissions, transitions, starts, ends):
    """Returns {labels: score} of all rows of labels of emissions [U, C]."""
    scores = {}
    for labels in itertools.product(range(CLASSES), repeat=len(emissions)):
        score = starts[labels[0]] + ends[labels[-1]]
        score += sum(emissions[unit, label] for unit, label in enumerate(labels))
        scores[labels] = score + sum(transitions[pair] for pair in itertools.pairwise(labels))
    return scores


@pytest.mark.parametrize("longest", [1, 2, 5])
def test_equals_enumeration_of_all_rows_of_labels(longest):
    """With padding: every row of a batch is shorter than the batch is long, or as long; what pads it is huge."""
    lengths = np.array([1 + i % longest for i in range(8)], np.int32)
    emissions, *weights = drawn(8, longest)
    for i, length in enumerate(lengths):
        emissions[i, length:] = 1e6
    labels = np.random.default_rng(1).integers(0, CLASSES, [8, longest], np.int32)
    found = crf.best_path(emissions, lengths, *weights).numpy()
    likelihood = crf.log_likelihood(emissions, labels, lengths, *weights).numpy()
    marginals = crf.marginals(emissions, lengths, *weights).numpy()
    for i, length in enumerate(lengths):
        scores = enumerated(emissions[i, :length], *weights)
        total = np.logaddexp.reduce(list(scores.values()))
        assert likelihood[i] == pytest.approx(scores[tuple(labels[i, :length])] - total, rel=1e-5, abs=1e-4)
        assert tuple(found[i, :length]) == max(scores, key=scores.get)
        expected = np.zeros([length, CLASSES])
        for path, score in scores.items():
            expected[np.arange(length), path] += np.exp(score - total)
        np.testing.assert_allclose(marginals[i, :length], expected, atol=1e-5)


def test_padding_has_no_gradient_and_a_row_without_units_no_loss():
    emissions, *weights = map(tf.constant, drawn(3, 4))
    lengths, labels = tf.constant([2, 4, 0]), tf.ones([3, 4], tf.int32)
    with tf.GradientTape() as tape:
        tape.watch([emissions, *weights])
        likelihood = crf.log_likelihood(emissions, labels, lengths, *weights)
    gradient, *others = tape.gradient(likelihood, [emissions, *weights])
    assert likelihood[2] == 0 and np.all(gradient.numpy()[2] == 0) and np.all(gradient.numpy()[0, 2:] == 0)
    assert np.all(np.abs(gradient.numpy()[1]) > 0) and all(np.any(other.numpy() != 0) for other in others)
    # The gradient of the scores is what was expected of the labels, less what the model expects
    expected = tf.one_hot(labels[:2, :2], CLASSES) - crf.marginals(emissions, lengths, *weights)[:2, :2]
    np.testing.assert_allclose(gradient[:2, :2], expected, atol=1e-5)


def test_what_must_not_be_is_never_chosen():
    """Forbidden labels, beginnings and neighbourhoods, in long rows too, whatever the scores say."""
    emissions, transitions, starts, ends = drawn(64, 200)
    transitions[0, 1] = starts[2] = LOWEST
    emissions[:, ::3, 0] = LOWEST
    path = crf.best_path(emissions, np.full([64], 200, np.int32), transitions, starts, ends).numpy()
    pairs = {*zip(path[:, :-1].ravel().tolist(), path[:, 1:].ravel().tolist(), strict=True)}
    assert pairs == {(a, b) for a in range(3) for b in range(3)} - {(0, 1)}
    assert 2 not in path[:, 0] and 0 not in path[:, ::3] and 0 in path


def test_layer_owns_the_scores():
    layer = crf.CRF(name="crf")
    outputs = layer(tf.ones([2, 5, CLASSES]))
    assert [variable.path for variable in layer.weights] == ["crf/transitions", "crf/starts", "crf/ends"]
    assert [*outputs] == ["transitions", "starts", "ends"] and outputs["transitions"].shape == (CLASSES, CLASSES)
    layer.transitions.assign(tf.eye(CLASSES))
    assert np.all(layer(tf.ones([1, 1, CLASSES]))["transitions"].numpy() == np.eye(CLASSES))
