"""word2vec: windows, and the gradient of a step, which is that of the model over all its pairs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.word2vec import word2vec as build
from trainer.corpora.shards import Shard, Size
from trainer.errors import Mistake
from trainer.pretraining import word2vec
from trainer.pretraining.similarity import Vectors
from trainer.text import vectors

V, D = 40, 6


class Corpus:
    """A corpus of one shard in memory."""

    def __init__(self, words=3000, seed=0):
        draw = np.random.default_rng(seed)
        ids = np.minimum(draw.geometric(0.08, words) + 4, V - 1).astype(np.uint16)
        ends = np.unique(np.append(draw.integers(1, words, words // 10), words))
        self.whole = Shard(ids, np.ones(words, bool), ends, np.array([len(ends)]))
        self.sizes = [Size(1, len(ends), words)]

    def shard(self, number):
        return self.whole

    def frequencies(self, size):
        return np.bincount(self.whole.ids, minlength=size)


def neighbourhoods(**options):
    source = word2vec.Neighbourhoods(Corpus(), V, 5, word2vec.Windows(window=3, **options))
    assert source.slice == word2vec.LEAST_SLICE
    return source


def test_windows_stay_in_their_sentence_and_have_their_width():
    source = neighbourhoods(sample=0.0)
    seen = np.zeros(4, int)
    source.slice = 2048
    frames, near, drawn, words = source._batch(0, 0)
    shard = source.corpus.whole
    assert words == 2048 and drawn.min() >= 5 and frames.shape[1] == word2vec.BLOCK + 6
    middle = frames[:, 3:-3].ravel()
    np.testing.assert_array_equal(middle, shard.ids[:2048])
    sentence = np.searchsorted(shard.sentences, np.arange(2048), side="right")
    for place in range(2048):
        block, row = divmod(place, word2vec.BLOCK)
        places = np.flatnonzero(near[block, row]) - 3 + block * word2vec.BLOCK
        assert np.all(sentence[places] == sentence[place]) and place not in places
        reach = np.abs(places - place).max(initial=0)
        expected = [i for i in range(place - reach, place + reach + 1) if 0 <= i < 2048 and i != place]
        assert places.tolist() == [i for i in expected if sentence[i] == sentence[place]]
        seen[reach] += 1
    assert np.all(seen[1:] > 100)  # each width is drawn; sentences cut some


def test_frequent_words_are_left_out():
    source = neighbourhoods(sample=0.01)
    kept = np.concatenate([source._slice(row, np.random.default_rng(row))[0] for row in range(source.number)] * 1)
    counts = np.bincount(source.corpus.whole.ids, minlength=V)
    share = counts[5] / counts.sum()
    assert abs(np.sum(kept == 5) / counts[5] - (np.sqrt(0.01 / share) + 0.01 / share)) < 0.15
    rare = np.flatnonzero((counts > 0) & (counts / counts.sum() < 0.01))
    assert all(np.sum(kept == word) == counts[word] for word in rare)


@pytest.mark.parametrize("cbow", [False, True])
def test_a_step_has_the_gradient_of_the_model_over_its_pairs(cbow):
    source = neighbourhoods(sample=0.0, negatives=4)
    model = build(V, width=D, seed=1)
    first, second = (model.get_layer(f"{name}_embedding").embeddings.value for name in ("words", "neighbours"))
    second.assign(tf.random.stateless_normal([V, D], [0, 1]))
    first.assign(tf.random.stateless_normal([V, D], [0, 2]))
    frames, near, drawn, _ = source._batch(1, 0)
    inputs = {"frames": tf.constant(frames), "near": tf.constant(near), "drawn": tf.constant(drawn)}
    loss, pairs, updates = word2vec.gradients(first, second, inputs, source.windows, cbow=cbow)
    found = {id(first): np.zeros([V, D]), id(second): np.zeros([V, D])}
    for table, ids, gradient in updates:
        np.add.at(found[id(table)], ids.numpy(), gradient.numpy())

    rows = []  # (words that predict, the word that stands there)
    for block, row in zip(*np.nonzero(near.any(-1)), strict=True):
        word, around = frames[block, row + 3], frames[block][near[block, row]].tolist()
        rows += [(around, word)] if cbow else [([word], other) for other in around]
    longest = max(len(words) for words, _ in rows)
    given = {
        "words": tf.constant([words + [0] * (longest - len(words)) for words, _ in rows]),
        "mask": tf.constant([[True] * len(words) + [False] * (longest - len(words)) for words, _ in rows]),
        "candidates": tf.constant([[word, *drawn] for _, word in rows]),
    }
    with tf.GradientTape() as tape:
        logits = model(given)
        gold = tf.one_hot(tf.zeros(len(rows), tf.int32), logits.shape[1])
        weights = tf.where(gold > 0, 1.0, source.windows.negatives / len(drawn))
        expected = tf.reduce_sum(weights * tf.nn.sigmoid_cross_entropy_with_logits(gold, logits))
    gradients = tape.gradient(expected, [variable.value for variable in model.trainable_variables])
    assert float(pairs) == len(rows) > 20
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for table, gradient in zip((first, second), gradients, strict=True):
        np.testing.assert_allclose(found[id(table)], tf.convert_to_tensor(gradient), rtol=1e-3, atol=1e-3)


def test_the_model_in_numpy():
    model = build(V, width=D, seed=3)
    model.set_weights([np.random.default_rng(i).normal(size=[V, D]) for i in range(2)])
    first, second = (layer.embeddings.numpy() for layer in model.layers if isinstance(layer, keras.layers.Embedding))
    given = {"words": [[5, 6], [7, 0]], "mask": [[True, True], [True, False]], "candidates": [[8, 9, 5], [1, 2, 3]]}
    expected = [second[[8, 9, 5]] @ first[[5, 6]].mean(0), second[[1, 2, 3]] @ first[7]]
    np.testing.assert_allclose(model({name: tf.constant(value) for name, value in given.items()}), expected, rtol=1e-5)


def test_neighbours_pairs_and_analogies(tmp_path):
    table = {"[UNK]": [1, 1], "king": [1, 2], "queen": [1, -2], "man": [3, 2], "woman": [3, -2.2], "far": [-1, 0.1]}
    known = Vectors([*table], np.array([*table.values()]), special=1)
    assert known.neighbours("king", 1)[0][0] == "man"
    (tmp_path / "pairs.txt").write_text("King\tman\t9\nking queen 1\nking\tfar\t3\nking absent 5\n")
    assert known.score(tmp_path / "pairs.txt") == {"spearman": 1.0, "pairs": 4, "covered": 3}
    (tmp_path / "questions.txt").write_text(
        ": family\nman woman king queen\nman woman king absent\n: none\nking man far queen\n"
    )
    found = known.score(tmp_path / "questions.txt")
    assert (found["questions"], found["covered"], found["sections"]["family"]) == (3, 2, 1.0)


@pytest.mark.parametrize(
    "content, words",
    [
        ("king queen 9\n\nking man\n", ":3: expected two words and a number, found 2 fields"),
        ("king queen 9\r\nking man high\r\n", ":2: expected two words and a number, found 'high' for the number"),
        ("king queen 9\nking man nan\n", ":2: expected two words and a number, found 'nan' for the number"),
        ("king queen 9\n: section\n", ":2: expected two words and a number, found 2 fields"),
        (": family\nman woman king queen\nman woman king\n", ":3: expected four words, found 3 fields"),
        ("king queen\n", ":1: expected two words and a number or four words, found 2 fields"),
        (": family\n", ": expected lines of two words and a number or four words, found none"),
        ("king\xffqueen 9\n", ":1: expected UTF-8, found byte 0xff at 4"),
    ],
)
def test_a_line_of_neither_kind_is_named(content, words, tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(Mistake) as raised:
        Vectors(["king"], np.ones([1, 2])).score(path)
    assert str(raised.value) == f"{path}{words}"


def test_line_ends_marks_and_chinese_words_are_read(tmp_path):
    known = Vectors(["中国", "北京", "法国", "巴黎"], np.array([[1, 2], [1, -2], [3, 2], [3, -2.0]]))
    (tmp_path / "pairs.txt").write_bytes("\ufeff中国\t法国\t9\r\n北京\t中国\t1\r\n".encode())
    assert known.score(tmp_path / "pairs.txt") == {"spearman": 1.0, "pairs": 2, "covered": 2}
    (tmp_path / "questions.txt").write_bytes("\ufeff: 首都\r\n中国 北京 法国 巴黎\r\n".encode())
    found = known.score(tmp_path / "questions.txt")
    assert (found["accuracy"], found["covered"], found["sections"]) == (1.0, 1, {"首都": 1.0})


@pytest.mark.parametrize("name", ["a.txt", "a.bin"])
def test_vectors_come_back(name, tmp_path):
    words, table = ["the", "中国", "#"], np.random.default_rng(0).normal(size=[3, 4]).astype(np.float32)
    vectors.write(tmp_path / name, words, table)
    found = [*vectors.read(tmp_path / name)]
    assert [word for word, _ in found] == words
    np.testing.assert_allclose([vector for _, vector in found], table, rtol=0 if name.endswith("bin") else 1e-5)
    (tmp_path / "glove.txt").write_text("the 1 2\n, 3 4\n")
    assert [(word, vector.tolist()) for word, vector in vectors.read(tmp_path / "glove.txt")] == [
        ("the", [1, 2]),
        (",", [3, 4]),
    ]
