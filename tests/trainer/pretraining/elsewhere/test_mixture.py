"""Mixtures of corpora: every passage in each pass, as often as it should be; batches that do not depend on who makes them."""

import os
import signal

import numpy as np
import pytest

from tests.conftest import VOCABULARY
from tests.trainer.pretraining.test_passages import Numbers
from trainer.errors import Failure
from trainer.pretraining.elsewhere.makers import Makers
from trainer.pretraining.elsewhere.mixture import Mixture, Part
from trainer.pretraining.masking import NOTHING, Masking
from trainer.pretraining.passages import Passages


def part(name, documents, times):
    corpus = Numbers(documents, seed=documents)
    masking = Masking(VOCABULARY.index("[MASK]"), 10)
    how = {"max_length": 32, "pairs": True, "whole_words": True, "short": 0.1, "seed": 1}
    return Part(name, Passages(corpus, VOCABULARY, masking, documents=np.arange(documents), **how), times)


PARTS = [part("en", 30, 1), part("zh", 20, 2)]


def mixture(seed=1):
    return Mixture(PARTS, max_length=32, most=5, seed=seed)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_pass_reads_every_passage_as_often_as_it_should():
    read, mixed = [], mixture()
    for i, of in enumerate(PARTS):
        example = of.passages.example
        of.passages.example = lambda row, epoch, i=i, example=example: (
            read.append((i, row, epoch)) or example(row, epoch)
        )
    try:
        size = 16
        for number in range(-(-2 * mixed.number // size)):
            mixed.batch(number, size)
    finally:
        for of in PARTS:
            del of.passages.example
    passes = [read[: mixed.number], read[mixed.number : 2 * mixed.number]]
    numbers = [of.passages.number for of in PARTS]
    for i, of_pass in enumerate(passes):
        expected = [(0, row, i) for row in range(numbers[0])]
        expected += [(1, row, 2 * i + turn) for row in range(numbers[1]) for turn in (0, 1)]
        assert sorted(of_pass) == sorted(expected)
        assert of_pass != sorted(of_pass)


def test_a_batch_says_what_its_examples_say():
    passages = PARTS[0].passages
    examples = [passages.example(row, 0) for row in range(3)]
    batch = mixture().of(examples, 5)
    for i, example in enumerate(examples):
        np.testing.assert_array_equal(batch.ids[i, : batch.lengths[i]], example.ids)
        assert not batch.ids[i, batch.lengths[i] :].any()
        assert (batch.seconds[i], batch.next[i]) == (example.second, example.random)
        there = batch.words[i] != NOTHING
        targets = np.full(len(example.ids), NOTHING)
        targets[batch.places[i][there]] = batch.words[i][there]
        np.testing.assert_array_equal(targets, example.targets)
    assert (
        batch.next[3:].tolist() == [NOTHING] * 2
        and np.all(batch.words[3:] == NOTHING)
        and np.all(batch.lengths[3:] == 1)
    )


@pytest.mark.parametrize("processes", [1, 3])
def test_processes_make_the_batches_of_one(processes):
    make = lambda number: mixture().batch(number, 8)
    with Makers(make, processes) as makers:
        for _ in range(2):  # they may be asked again
            for number, batch in enumerate(makers(range(3, 20)), 3):
                assert same(batch, make(number))
        assert not same(next(iter(makers([3]))), Mixture(PARTS, max_length=32, most=5, seed=2).batch(3, 8))


def test_a_process_that_ends_is_said():
    with (
        Makers(lambda number: os.kill(os.getpid(), signal.SIGKILL), 2) as makers,
        pytest.raises(Failure, match="ended"),
    ):
        list(makers(range(4)))
