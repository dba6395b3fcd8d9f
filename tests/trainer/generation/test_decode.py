"""Decoding against recomputing, enumerating and counting, with the models of the lineage and random weights."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.gpt import gpt
from models.heads import next_units
from models.rnn import rnn
from models.seq2seq import joined, seq2seq
from models.transformer import transformer_seq2seq
from trainer.generation import decode

START, END, V = 1, 2, 6
BUILDERS = {
    "fixed context": lambda: seq2seq(V, attention=None, width=16, embedding_width=8),
    "additive": lambda: seq2seq(V, attention="additive", layers=2, width=16, embedding_width=8),
    "multiplicative": lambda: seq2seq(V, cell="lstm", attention="multiplicative", width=16, embedding_width=8),
    "transformer": lambda: transformer_seq2seq(V, layers=2, width=16, heads=2),
    "transformer, norm first": lambda: transformer_seq2seq(V, layers=2, width=16, heads=2, norm_first=True),
}
ALLOWED = tf.constant([False, False, *[True] * (V - 2)])
SOURCE = {
    "token_ids": tf.constant([[3, 4, 5, 3], [5, 5, 0, 0], [4, 4, 4, 0]]),
    "mask": tf.constant([[True] * 4, [True, True, False, False], [True] * 3 + [False]]),
}


class Translator:
    """An encoder-decoder with random weights, large enough that what it says depends on what it reads."""

    def __init__(self, name):
        keras.utils.set_random_seed(4)
        self.encoder, self.decoder = BUILDERS[name]()
        self.both = joined(self.encoder, self.decoder)
        for variable in self.both.trainable_variables:
            variable.assign(variable + keras.random.normal(variable.shape, stddev=0.4))
        specs = {name: tf.TensorSpec([1, *x.shape[1:]], x.dtype) for name, x in SOURCE.items()}
        target = {"target_token_ids": tf.TensorSpec([1, None], tf.int32)}
        self.at_once = tf.function(self.both, input_signature=[specs | target], autograph=False)
        numbers = [tf.TensorSpec([], tf.int32), tf.TensorSpec([3], tf.int32), tf.TensorSpec([])]
        self.search = tf.function(self._search, input_signature=numbers, autograph=False)

    def following(self, ids, memory, states):
        found = self.decoder({"token_ids": ids, **memory, **states})
        return decode.Step(found["logits"], found["states"], found.get("alignments"))

    def log_probabilities(self, row, ids):
        """Returns those of the units behind START and ids, computed at once for one row of the source, [1 + len(ids), V]."""
        source = {name: x[row : row + 1] for name, x in SOURCE.items()}
        logits = self.at_once(source | {"target_token_ids": tf.constant([[START, *ids]])})[0]
        return tf.nn.log_softmax(logits + tf.where(ALLOWED, 0.0, decode.LOWEST)).numpy()

    def score(self, row, ids, alpha):
        """Returns that of a hypothesis with the end behind it, all computed at once."""
        found = self.log_probabilities(row, ids)
        total = sum(float(found[i, unit]) for i, unit in enumerate([*ids, END]))
        return total / (len(ids) + 1) ** alpha

    def beams(self, width, longest, alpha=1.0):
        return self.search(tf.constant(width), tf.constant(longest), tf.constant(alpha))

    def _search(self, width, longest, alpha):
        read = self.encoder(SOURCE)
        return decode.beams(
            self.following, read["memory"], read["states"], start=START, end=END, allowed=ALLOWED,
            width=width, longest=longest, alpha=alpha,
        )  # fmt: skip


@pytest.fixture(scope="module", params=BUILDERS)
def translator(request):
    return Translator(request.param)


def hypotheses(found, row):
    """Returns [(ids, score)] of a row."""
    return [
        (ids[:length].tolist(), float(score))
        for ids, length, score in zip(
            found.ids[row].numpy(), found.lengths[row].numpy(), found.scores[row], strict=True
        )
        if length >= 0
    ]


def greedy(translator, row, longest):
    """Returns what greedy search writes when all is computed anew at each step."""
    ids = []
    while len(ids) < longest - 1:
        unit = int(np.argmax(translator.log_probabilities(row, ids)[-1]))
        if unit == END:
            break
        ids.append(unit)
    return ids


def test_a_beam_of_one_is_greedy_and_equals_recomputing(translator):
    longest = [8, 6, 4]
    found = translator.beams(1, longest)
    for row in range(3):
        ((ids, score),) = hypotheses(found, row)
        assert ids == greedy(translator, row, longest[row])
        assert score == pytest.approx(translator.score(row, ids, 1.0), abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_large_beam_is_exhaustive_search(translator, alpha):
    units = [unit for unit in range(3, V)]
    every = [list(ids) for length in range(3) for ids in itertools.product(units, repeat=length)]
    found = translator.beams(len(every), [3, 3, 3], alpha)
    for row in range(3):
        expected = sorted(((translator.score(row, ids, alpha), ids) for ids in every), reverse=True)[:5]
        assert [ids for ids, _ in hypotheses(found, row)[:5]] == [ids for _, ids in expected]
        scores = [score for _, score in hypotheses(found, row)[:5]]
        np.testing.assert_allclose(scores, [score for score, _ in expected], atol=1e-4)


def test_hypotheses_are_the_best_that_they_say(translator):
    found = translator.beams(3, [6, 5, 6])
    for row in range(3):
        several = hypotheses(found, row)
        assert 1 <= len(several) <= 3 and len({tuple(ids) for ids, _ in several}) == len(several)
        assert sorted((score for _, score in several), reverse=True) == [score for _, score in several]
        for ids, score in several:
            assert score == pytest.approx(translator.score(row, ids, 1.0), abs=1e-4)


def chance(rows, temperature=1.0, top_k=0, top_p=1.0, first=0):
    return decode.Chance(
        tf.fill([rows], temperature), tf.fill([rows], top_k), tf.fill([rows], top_p), tf.range(first, first + rows, dtype=tf.int64)
    )  # fmt: skip


LANGUAGE_MODELS = {
    "gpt": lambda: gpt(V, layers=2, width=16, heads=2, positions=32, states=True),
    "lstm": lambda: rnn(V, cell="lstm", layers=2, width=16, embedding_width=8, states=True),
}


@pytest.fixture(scope="module", params=LANGUAGE_MODELS)
def language_model(request):
    keras.utils.set_random_seed(5)
    model = next_units(LANGUAGE_MODELS[request.param](), V, bias=True, dropout=0.0, seed=0)
    for variable in model.trainable_variables:
        variable.assign(variable + keras.random.normal(variable.shape, stddev=0.3))
    return model


def no_states(model, rows):
    return {
        name: tf.zeros([rows, *[size or 0 for size in x.shape[1:]]])
        for name, x in model.input.items()
        if name != "token_ids"
    }


def write(model, prompts, how, longest, end=END):
    """Returns what a language model writes behind prompts."""
    rows = len(prompts)
    lengths = tf.constant([len(prompt) for prompt in prompts])
    padded = tf.ragged.constant(prompts).to_tensor()
    states = no_states(model, rows)

    def following(ids, memory, states):
        found = model({"token_ids": ids, **states})
        return decode.Step(found["logits"][0], found["states"], None)

    run = tf.function(
        lambda: decode.sample(
            following, {}, states, padded, lengths, how, end=end, allowed=ALLOWED, longest=tf.fill([rows], longest)
        ),
        autograph=False,
    )
    return run()


def probabilities(model, ids):
    """Returns those of the unit behind ids, all computed at once, [V]."""
    logits = model({"token_ids": tf.constant([ids]), **no_states(model, 1)})["logits"][0][0, -1]
    return tf.nn.softmax(logits + tf.where(ALLOWED, 0.0, decode.LOWEST)).numpy()


def test_without_chance_the_most_probable_unit_is_written(language_model):
    prompts = [[START], [START, 3, 4, 5, 5], [START, 5, 5]]
    found = write(language_model, prompts, chance(3, temperature=0.0), 6)
    for row, prompt in enumerate(prompts):
        ids = list(prompt)
        while len(ids) < len(prompt) + 6 and (unit := int(np.argmax(probabilities(language_model, ids)))) != END:
            ids.append(unit)
        assert hypotheses(found, row)[0][0] == ids[len(prompt) :]
    alone = [write(language_model, [prompt], chance(1, temperature=0.0), 6) for prompt in prompts]
    for row, one in enumerate(alone):
        (ids, score), (expected, expected_score) = hypotheses(one, 0)[0], hypotheses(found, row)[0]
        assert ids == expected and score == pytest.approx(expected_score, abs=1e-4)


@pytest.mark.parametrize("how", [{}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.6}], ids=str)
def test_samples_are_as_frequent_as_they_are_probable(language_model, how):
    prompt, rows = [START, 3, 5], 4000
    expected = probabilities(language_model, prompt).astype(float) ** (1 / how.get("temperature", 1.0))
    order = np.argsort(-expected)
    expected /= expected.sum()
    if "top_k" in how:
        expected[order[how["top_k"] :]] = 0
    if "top_p" in how:
        expected[order[1:][np.cumsum(expected[order])[:-1] >= how["top_p"]]] = 0
    expected *= rows / expected.sum()
    found = write(language_model, [prompt] * rows, chance(rows, **how), 1)
    drawn = np.where(found.lengths[:, 0] == 1, found.ids[:, 0, :1].numpy().ravel() if found.ids.shape[2] else 0, END)
    counts = np.bincount(drawn, minlength=V)
    possible = expected > 1e-9
    assert not counts[~possible].any()
    chi_square = np.sum((counts - expected)[possible] ** 2 / expected[possible])
    assert chi_square < {1: 1e-9, 2: 10.9, 3: 13.9, 4: 16.3}[possible.sum()]  # one of a thousand is above


def test_a_row_depends_on_its_seed_alone(language_model):
    prompts = [[START, 3], [START, 4, 4, 4], [START, 3]]
    seeds = tf.constant([7, 8, 7], tf.int64)
    how = chance(3)._replace(seed=seeds)
    together = write(language_model, prompts, how, 12, end=-1)
    assert hypotheses(together, 0)[0] == hypotheses(together, 2)[0]
    alone = write(language_model, prompts[:1], chance(1, first=7), 12, end=-1)
    assert hypotheses(alone, 0)[0][0] == hypotheses(together, 0)[0][0] and len(hypotheses(alone, 0)[0][0]) == 12
    other = write(language_model, prompts[:1], chance(1, first=9), 12, end=-1)
    assert hypotheses(other, 0)[0][0] != hypotheses(alone, 0)[0][0]


def test_uniform_numbers():
    numbers = decode.uniform(tf.range(100_000, dtype=tf.int64), tf.zeros([100_000], tf.int32)).numpy()
    along = decode.uniform(tf.zeros([100_000], tf.int64), tf.range(100_000)).numpy()
    for sample in (numbers, along):
        assert sample.min() >= 0 and sample.max() < 1
        counts = np.bincount((sample * 50).astype(int), minlength=50)
        assert np.sum((counts - 2000) ** 2 / 2000) < 85  # 49 degrees of freedom: one of a thousand is above
        assert abs(np.corrcoef(sample[1:], sample[:-1])[0, 1]) < 0.012
    # SplitMix64 of seed 0 begins with this number (Vigna's splitmix64.c)
    assert int(decode._mixed(tf.constant(0, tf.int64))) % 2**64 == 0xE220A8397B1DCDAF
