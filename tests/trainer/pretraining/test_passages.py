"""Passages: pairs, lengths, draws that are a function of seed, pass and row."""

import numpy as np
import pytest

from tests.conftest import VOCABULARY
from trainer.corpora.shards import Shard
from trainer.pretraining.masking import NOTHING, Masking
from trainer.pretraining.source import Source
from trainer.training import batches

FIRST = 100  # the ids of the corpus: all different


class Numbers:
    """A corpus in memory whose pieces are all different: from any of them its document and sentence are known."""

    def __init__(self, documents, seed=0):
        draw, self.places, sentences, ends, size = np.random.default_rng(seed), {}, [], [], 0
        for document in range(documents):
            for sentence in range(draw.integers(1, 30)):
                length = int(draw.integers(1, 25))
                self.places |= {FIRST + size + i: (document, sentence) for i in range(length)}
                size += length
                sentences.append(size)
            ends.append(len(sentences))
        begins = draw.random(size) < 0.7
        begins[[0, *sentences[:-1]]] = True
        self.shard = Shard(np.arange(FIRST, FIRST + size), begins, np.array(sentences), np.array(ends))
        self.documents = documents

    def document(self, number):
        first = self.shard.documents[number - 1] if number else 0
        start = self.shard.sentences[first - 1] if first else 0
        return self.shard, np.array([start, *self.shard.sentences[first : self.shard.documents[number]]])


CORPUS = Numbers(300)


def passages(**options):
    options = {"max_length": 64, "pairs": True, "whole_words": True, "short": 0.1, "seed": 1} | options
    documents = options.pop("documents", np.arange(CORPUS.documents))
    return Source(CORPUS, VOCABULARY, Masking(VOCABULARY.index("[MASK]"), 10), documents=documents, **options)


def whole(example):
    return np.where(example.targets == NOTHING, example.ids, example.targets)


def texts(example):
    ids = whole(example).tolist()
    assert ids[0] == VOCABULARY.index("[CLS]") and ids[-1] == VOCABULARY.index("[SEP]")
    return ids[1 : example.second - 1], ids[example.second : -1]


def test_pairs_follow_each_other_or_come_from_elsewhere():
    source, random, alone = passages(), 0, 0
    for row in range(source.number):
        example = source.example(row, epoch=3)
        first, second = texts(example)
        assert len(example.ids) <= 64 and first and second
        documents = [{CORPUS.places[piece][0] for piece in text} for text in (first, second)]
        assert len(documents[0]) == len(documents[1]) == 1
        assert (documents[0] != documents[1]) == example.random
        sentences = [{CORPUS.places[piece][1] for piece in text} for text in (first, second)]
        if not example.random:
            assert max(sentences[0]) < min(sentences[1])
        for text in (first, second):
            assert text == [*range(text[0], text[0] + len(text))]  # as it was written
        random += example.random
        alone += source.passages[row, 2] - source.passages[row, 1] == 1
    assert alone > 5  # their second text always comes from elsewhere, and is made up for
    assert abs(random / source.number - 0.5) < 3 * (0.25 / source.number) ** 0.5


def test_passages_are_full_and_read_every_sentence():
    source = passages(short=0.0, pairs=False)
    spans = source.passages
    assert np.all(spans[1:, 1] == np.where(spans[1:, 0] == spans[:-1, 0], spans[:-1, 2], 0))
    read = np.concatenate([whole(source.example(row, 0))[1:-1] for row in range(source.number)])
    assert {*read.tolist()} == {*CORPUS.places}  # every piece, in each pass
    assert spans[:, 0].tolist() == sorted(spans[:, 0].tolist()) and {*spans[:, 0]} == {*range(CORPUS.documents)}
    lengths = [len(source.example(row, 0).ids) for row in range(source.number)]
    last = np.append(spans[1:, 0] != spans[:-1, 0], True)
    assert {length for length, is_last in zip(lengths, last, strict=True) if not is_last} == {64}
    short = passages(pairs=False)
    assert 0.05 < np.mean(short.passages[:, 3] < short.room) < 0.15


@pytest.mark.parametrize("pairs", [True, False])
def test_batches_are_a_function_of_seed_pass_and_rows(pairs):
    source, again = passages(pairs=pairs), passages(pairs=pairs)
    plan = source.plan(16, seed=1, epoch=2)
    assert sorted(np.concatenate(plan)) == [*range(source.number)]
    made = [[*batches.dataset(x, plan[:3], epoch)] for x, epoch in ((source, 2), (again, 2), (source, 3))]
    for (inputs, targets), (same, same_targets) in zip(made[0], made[1], strict=True):
        for name in inputs:
            np.testing.assert_array_equal(inputs[name], same[name])
        np.testing.assert_array_equal(targets["words"], same_targets["words"])
        np.testing.assert_array_equal(targets["next"], same_targets["next"])
        mask, segments = inputs["mask"].numpy(), inputs["segment_ids"].numpy()
        assert np.all(np.diff(segments, axis=1)[:, :-1][mask[:, 1:-1]] >= 0) and not segments[~mask].any()
        assert segments.any() == pairs
        np.testing.assert_array_equal(inputs["masked"], targets["words"].numpy() != NOTHING)
        assert not np.any(inputs["masked"].numpy() & ~mask)
    assert any(
        not np.array_equal(one["token_ids"], other["token_ids"])
        for (one, _), (other, _) in zip(made[0], made[2], strict=True)
    )


def test_whole_words_or_pieces():
    for whole_words in (True, False):
        source, broken = passages(whole_words=whole_words, pairs=False), 0
        for row in range(200):
            example = source.example(row, 0)
            ids = whole(example)
            begins = np.array([piece < FIRST or CORPUS.shard.begins[piece - FIRST] for piece in ids])
            begins[1] = True
            predicted = example.targets != NOTHING
            broken += np.sum(~begins[1:] & (predicted[1:] != predicted[:-1]))
        assert (broken > 0) == (not whole_words)


def test_one_document_has_no_elsewhere():
    several = 0
    for document in range(20):
        source = passages(documents=np.array([document]))
        for row in range(source.number):
            example = source.example(row, 0)
            assert not example.random and all(texts(example))
            several += 1
    assert several > 20


def test_long_sentences_are_cut_and_read():
    source = passages(max_length=24, short=0.0)
    assert source.room // 2 == 10  # sentences have up to 24 pieces
    read = set()
    for epoch in range(8):
        for row in range(source.number):
            first, second = texts(source.example(row, epoch))
            read |= {*first, *second}
    assert len(read) > 0.995 * len(CORPUS.places)
