"""What is hidden of a sequence: shares, groups, and the same draws by hand."""

import numpy as np

from trainer.pretraining.masking import NOTHING, Masking, spans

MASK, SIZE = 4, 1000


def sequence(draw, length):
    """Returns (ids, groups) of [CLS] groups of 1 to 4 pieces [SEP]."""
    groups, number = [0], 0
    while len(groups) < length - 1:
        number += 1
        groups += [number] * int(draw.integers(1, 5))
    groups = [*groups[: length - 1], 0]
    ids = np.array([2, *draw.integers(5, SIZE, length - 2), 3], np.int32)
    return ids, np.array(groups)


def test_shares_over_a_million_places():
    draw, masking = np.random.default_rng(0), Masking(MASK, SIZE, most=10**6)
    places = predicted = hidden = kept = 0
    for row in range(8000):
        ids, groups = sequence(draw, 128)
        read, targets = masking(ids, groups, np.random.default_rng([1, row]))
        chosen = targets != NOTHING
        places, predicted = places + len(ids), predicted + chosen.sum()
        hidden, kept = hidden + (read[chosen] == MASK).sum(), kept + (read[chosen] == ids[chosen]).sum()
        np.testing.assert_array_equal(targets[chosen], ids[chosen])
        np.testing.assert_array_equal(read[~chosen], ids[~chosen])
        assert not chosen[groups == 0].any()
        assert all(
            chosen[start:end].all() or not chosen[start:end].any() for start, end in zip(*spans(groups), strict=True)
        )
    assert places > 10**6
    assert abs(predicted / places - 0.15) < 0.002  # 19 of 128, less what no group fits in
    assert abs(hidden / predicted - 0.8) < 0.003  # a random piece is [MASK] once in a thousand times
    assert abs(kept / predicted - 0.1) < 0.003  # likewise the piece itself


def test_a_batch_by_hand_from_the_same_draws():
    """As `create_masked_lm_predictions` has it, piece by piece."""
    masking, draw = Masking(MASK, SIZE, most=20), np.random.default_rng(2)
    for row in range(32):
        ids, groups = sequence(draw, int(draw.integers(8, 200)))
        read, targets = masking(ids, groups, np.random.default_rng([7, row]))

        again = np.random.default_rng([7, row])
        candidates = {}
        for place, group in enumerate(groups.tolist()):
            if group:
                candidates.setdefault(group, []).append(place)
        candidates = [*candidates.values()]
        wanted, chosen = min(20, max(1, round(len(ids) * 0.15))), []
        for i in again.permutation(len(candidates)):
            if len(chosen) == wanted:
                break
            if len(chosen) + len(candidates[i]) <= wanted:
                chosen += candidates[i]
        kinds = [again.random() for _ in chosen]
        others = [place for place, kind in zip(chosen, kinds, strict=True) if 0.8 <= kind < 0.9]
        expected = ids.tolist()
        for place, kind in zip(chosen, kinds, strict=True):
            if kind < 0.8:
                expected[place] = MASK
        for place, piece in zip(others, again.integers(SIZE, size=len(others)).tolist(), strict=True):
            expected[place] = piece
        assert read.tolist() == expected
        assert targets.tolist() == [ids[place] if place in chosen else NOTHING for place in range(len(ids))]


def test_at_most_so_many_and_one_at_least():
    ids, groups = sequence(np.random.default_rng(0), 400)
    count = lambda masking, length: np.sum(masking(ids[:length], groups[:length], np.random.default_rng(0))[1] >= 0)
    assert 17 <= count(Masking(MASK, SIZE), 400) <= 20
    ones = np.array([0, 1, 2, 0])
    assert np.sum(Masking(MASK, SIZE)(ids[:4], ones, np.random.default_rng(0))[1] >= 0) == 1
    nothing = Masking(MASK, SIZE)(ids[:2], np.zeros(2, int), np.random.default_rng(0))  # [CLS] [SEP]
    assert nothing[0].tolist() == ids[:2].tolist() and nothing[1].tolist() == [NOTHING] * 2
