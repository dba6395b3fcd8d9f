"""Windows of a stream: each unit is predicted once a pass, from what stands before it; rows go on where they ended."""

from types import SimpleNamespace

import numpy as np
import pytest

from trainer.corpora.shards import Shard, Size
from trainer.pretraining.source import StreamSource
from trainer.pretraining.windows import NOTHING, Stream, divided
from trainer.training import batches

END, PADDING = 3, 0
SIZES = [7, 30, 1, 25]  # units of shards


def corpus():
    """Returns a corpus whose units are 10, 11, 12, ...; paragraphs of five units and fewer."""
    shards, first = [], 10
    for size in SIZES:
        ends = np.array([*range(5, size, 5), size])
        lengths = np.stack([np.diff(ends, prepend=0) * 2, np.diff(ends, prepend=0)], 1)
        ids = np.arange(first, first + size)
        shards.append(Shard(ids.astype(np.uint16), ids > 0, ends, np.array([len(ends)]), lengths.astype(np.int32)))
        first += size
    sizes = [Size(1, len(shard.sentences), len(shard.ids)) for shard in shards]
    total = {"pieces": sum(SIZES), "sentences": sum(size.sentences for size in sizes)}
    return SimpleNamespace(shards=shards, shard=shards.__getitem__, sizes=sizes, **total)


STREAM = Stream(corpus())


def windows(stream=STREAM, rows=3, **options):
    return StreamSource(stream, 8, rows, **({"carried": True, "end": END, "padding": PADDING} | options))


def read(source, epoch=0, seed=1):
    plan = source.plan(source.rows, seed=seed, epoch=epoch)
    return [(inputs, targets.numpy()) for inputs, targets in batches.dataset(source, plan, epoch)]


def test_a_stream_is_what_its_shards_hold():
    assert len(STREAM) == 63 and STREAM[0:63].tolist() == [*range(10, 73)]
    assert STREAM[6:9].tolist() == [16, 17, 18] and STREAM[60:99].tolist() == [70, 71, 72]
    first, last = divided(STREAM.corpus, 0.5)
    assert [*first[0:99], *last[0:99]] == [*range(10, 73)] and 30 <= len(last) <= 36
    assert first.characters + last.characters == 2 * 63 and first.words + last.words == 63
    assert len(divided(STREAM.corpus, 0.0)[1]) == 0


@pytest.mark.parametrize("carried", [True, False])
@pytest.mark.parametrize("shifted", [True, False])
def test_each_unit_is_predicted_once_from_those_before_it(carried, shifted):
    source = windows(carried=carried, shifted=shifted, seed=5)
    for epoch in (0, 1):
        found = []
        for inputs, targets in read(source, epoch):
            ids = inputs["token_ids"].numpy()
            assert targets.shape == (1, *ids.shape)
            before = np.where(targets[0] == 10, END, targets[0] - 1)
            asked = targets[0] != NOTHING
            assert np.array_equal(ids[asked], before[asked])
            found += targets[0][asked].tolist()
        assert len({*found}) == len(found)
        assert len(found) == 63 if not shifted else len(found) > 63 - 8
    assert len({str(read(source, epoch)[1][1]) for epoch in range(4)}) == (1 if carried and not shifted else 4)


def test_rows_go_on_where_they_ended():
    found = read(windows())
    assert [bool(inputs["begins"]) for inputs, _ in found] == [True, False, False]
    rows = np.concatenate([targets[0] for _, targets in found], axis=1)
    for row in rows:
        row = row[row != NOTHING]
        assert np.array_equal(row, np.arange(row[0], row[0] + len(row)))


def test_both_ways_read_the_same_text():
    source = windows(directions=2)
    found = read(source)
    assert found[0][1].shape == (2, 3, 8)
    for direction in (0, 1):
        rows = np.concatenate([targets[direction] for _, targets in found], axis=1).ravel()
        assert sorted(rows[rows != NOTHING]) == [*range(10, 73)]
    ids, targets = found[0][0]["backward_token_ids"].numpy(), found[0][1][1]
    assert ids[0].tolist() == [END, *range(72, 65, -1)] and targets[0].tolist() == [*range(72, 64, -1)]
