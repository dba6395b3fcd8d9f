"""What fills masks: as transformers has it, as all fillings tried one by one, whatever stands beside a text or around a mask."""

import json
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.bert import bert
from models.heads import masked_words
from trainer import answerers
from trainer.generation import masks
from trainer.tasks.table import MOST_MARKS, answers, requests
from trainer.text.reader import Reader
from trainer.text.units import UNITS
from trainer.text.vocabulary import SPECIAL

ANSWERS = json.loads((Path(__file__).parent / "fill_mask" / "answers.json").read_text(encoding="utf-8"))
WORDS = ["a", "b", "##c", ",", "国", "家"]
VOCABULARY = [*SPECIAL, *WORDS, "[unused1]", "<S>"]
LONGEST = 12  # pieces of a sequence


@pytest.fixture(scope="module")
def nano():
    return answerers.load("nano")


def test_answers_are_those_of_transformers(nano):
    ((_, inputs, batch),) = requests(nano.task, [{"text": row["text"]} for row in ANSWERS], len(ANSWERS))
    found = nano.functions()["serving_default"](tf.constant(inputs["text"]))
    found = answers(nano.task, batch, {name: tensor.numpy() for name, tensor in found.items()})
    for expected, answer in zip(ANSWERS, found, strict=True):
        assert answer["tokens"] == expected["tokens"]
        assert answer["scores"] == pytest.approx(expected["scores"], abs=1e-4)
        for token, text in zip(answer["tokens"], answer["texts"], strict=True):
            assert text == expected["text"].replace("[MASK]", token)


class Tiny:
    """A model with random weights."""

    def __init__(self):
        keras.utils.set_random_seed(1)
        size = len(VOCABULARY) + 1  # a published model may have more rows than its vocabulary
        encoder = bert(size, layers=1, width=16, heads=2, positions=LONGEST)
        self.model = masked_words(encoder, next_sentence=True)
        for variable in self.model.trainable_variables:
            variable.assign(variable + keras.random.normal(variable.shape, stddev=0.3))
        self.reader = Reader(UNITS["pieces"](VOCABULARY, lower_case=True), LONGEST)
        signature = [tf.TensorSpec([1, None], tf.int32), tf.TensorSpec([1], tf.int32)]
        self.at_place = tf.function(self._at_place, input_signature=signature, autograph=False)
        self.fill = masks.functions(self.model, self.reader)["top_k"]

    def __call__(self, texts, top_k=5):
        """Returns [(tokens, scores, texts)] of each text, without what pads them."""
        found = self.fill(tf.constant(texts, tf.string), tf.constant(np.array(top_k, np.int32, ndmin=1)))
        rows = zip(*[found[name].numpy().tolist() for name in ("tokens", "scores", "texts")], strict=True)
        decoded = lambda values: [value.decode() for value in values if value]
        return [
            (decoded(tokens), [score for score in scores if score], decoded(texts)) for tokens, scores, texts in rows
        ]

    def probabilities(self, pieces, place):
        """Returns those of the pieces of the vocabulary at a place of a sequence."""
        ids = tf.constant([[VOCABULARY.index(piece) for piece in ["[CLS]", *pieces, "[SEP]"]]])
        return self.at_place(ids, tf.constant([place + 1])).numpy()

    def _at_place(self, ids, place):
        masked = tf.one_hot(place, tf.shape(ids)[1], True, False)
        inputs = {"token_ids": ids, "segment_ids": tf.zeros_like(ids), "mask": tf.ones_like(ids, tf.bool)}
        return tf.nn.softmax(self.model(inputs | {"masked": masked})["words"])[0]

    def tried(self, pieces):
        """Returns {filling: probability} of all fillings of all masks."""
        places = [i for i, piece in enumerate(pieces) if piece == "[MASK]"]
        found = {}
        for words in product(WORDS, repeat=len(places)):
            filled, score = list(pieces), 1.0
            for place, word in zip(places, words, strict=True):
                score *= self.probabilities(filled, place)[VOCABULARY.index(word)]
                filled[place] = word
            found[" ".join(words)] = score
        return found


@pytest.fixture(scope="module")
def tiny():
    return Tiny()


def test_the_best_of_all_fillings(tiny):
    """Beams as wide as there are words lose none of two masks'."""
    for text, pieces in (
        ("b [MASK], a", ["b", "[MASK]", ",", "a"]),
        ("国[MASK][MASK]家", ["国", "[MASK]", "[MASK]", "家"]),
        ("[MASK]", ["[MASK]"]),
    ):
        expected = tiny.tried(pieces)
        best = sorted(expected, key=lambda filling: -expected[filling])
        tokens, scores, _ = tiny([text], top_k=100)[0]
        assert tokens == best and len(tokens) == len(WORDS) ** text.count("[MASK]")  # no special token
        assert scores == pytest.approx([expected[filling] for filling in best], rel=1e-4)
        assert tiny([text], top_k=3)[0][0] == best[:3] and tiny([text])[0][0] == best[:5]


def test_a_text_depends_on_its_own_masks_alone(tiny):
    texts = [
        "a [MASK]",
        "",
        "国[MASK][MASK]，[MASK]",
        "no mask",
        "[MASK] " * (MOST_MARKS + 1),
        "b",
        "[mask] [CLS] [MASK]",
    ]
    texts += ["a [MASK] b"] * 40  # more rows than are read at once
    top_k = [2, 5, 7, 1, 3, 5, 9] + [4] * 40
    together = tiny(texts, top_k)
    for i, text in enumerate(texts[:8]):
        alone = tiny([text], top_k[i])[0]
        assert alone[0] == together[i][0] and alone[2] == together[i][2]
        assert alone[1] == pytest.approx(together[i][1], rel=1e-4)
    assert [len(row[0]) for row in together[:8]] == [2, 0, 7, 0, 0, 0, 6, 4]
    assert all(row[0] == together[7][0] and row[2] == together[7][2] for row in together[8:])
    assert tiny([]) == [] and tiny([], []) == []


def test_of_a_long_text_is_read_what_stands_around(tiny):
    room = LONGEST - 2
    around = ["a"] * (room // 2) + ["[MASK]"] + ["b"] * (room - room // 2 - 1)
    text = "国 " * 50 + " ".join(around) + " 家" * 50
    (tokens, scores, texts), (of_around, of_scores, _) = tiny([text, " ".join(around)])
    assert tokens == of_around and scores == pytest.approx(of_scores, rel=1e-4)
    assert texts[0].startswith("国 " * 50 + "a a") and texts[0].endswith(" 家" * 50)
    assert tiny([text + " [MASK]"])[0][2][0].count("[MASK]") == 0  # a window for each mask


@pytest.mark.parametrize("bad", [0, -1, 101])
def test_the_graph_refuses_what_is_no_number_of_fillings(bad, tiny):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"top_k: expected a whole number, .*received {bad}"):
        tiny(["a [MASK]"], top_k=bad)
