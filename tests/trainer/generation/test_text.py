"""What language models write, exported: as when all is computed anew at each step, whatever stands beside a text."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.gpt import gpt
from models.heads import next_units
from models.rnn import rnn
from serving.server.models.servable import Servable
from serving.server.refusal import Refused
from trainer.generation import text as generation
from trainer.text.units import UNITS
from trainer.text.vocabulary import SPECIAL

VOCABULARY = [*SPECIAL, "a", "b", "c", " ", "国"]
SIZE = len(VOCABULARY) + 2  # a published model may have more rows than its vocabulary
END, POSITIONS = VOCABULARY.index("[SEP]"), 12
MODELS = {
    "gpt": (lambda: gpt(SIZE, layers=1, width=16, heads=2, positions=20, states=True), POSITIONS),
    "lstm": (lambda: rnn(SIZE, layers=1, width=12, embedding_width=8, states=True), None),
}
TEXTS = ["", "abc", "ab\nb\n", "x国 ", "b"]


class Exported:
    """A language model with random weights, and its export in a session."""

    def __init__(self, name, folder):
        keras.utils.set_random_seed(3)
        build, self.positions = MODELS[name]
        self.model = next_units(build(), SIZE, bias=name == "lstm", dropout=0.0, seed=0)
        for variable in self.model.trainable_variables:
            variable.assign(variable + keras.random.normal(variable.shape, stddev=0.5))
        self.tokenizer = UNITS["code_points"](VOCABULARY, lower_case=False)
        functions = generation.functions(self.model, self.tokenizer, self.positions, None)
        module = tf.Module()
        module.weights = [variable.value for variable in self.model.variables]
        tf.saved_model.save(module, str(folder), signatures=functions)
        self.servable = Servable(folder)
        ids = tf.TensorSpec([1, None], tf.int32)
        self.at_once = tf.function(self._at_once, input_signature=[ids], autograph=False)

    def _at_once(self, ids):
        no_states = {
            name: tf.zeros([1, *[size or 0 for size in x.shape[1:]]])
            for name, x in self.model.input.items()
            if name != "token_ids"
        }
        return self.model({"token_ids": ids, **no_states})["logits"][0][0, -1]

    def __call__(self, texts, signature="sample", **options):
        types = {"temperature": np.float32, "top_p": np.float32, "seed": np.int64, "top_k": np.int32}
        inputs = {name: np.array(value, types.get(name, np.int32), ndmin=1) for name, value in options.items()}
        given = {"text": np.array([text.encode() for text in texts], object)} | inputs
        found = self.servable.predict(signature, given)
        return [text.decode() for text in found["continuation"]], found["score"]

    def greedy(self, text, count):
        """Returns what is most probable, and its mean logarithm, all computed anew at each step."""
        ids = self.tokenizer.lines(tf.constant([text]))[0].numpy().tolist()
        allowed = np.array([i < len(VOCABULARY) and VOCABULARY[i] not in generation.NEVER for i in range(SIZE)])
        written, score = [], 0.0
        for _ in range(count):
            logits = self.at_once(tf.constant([ids + written]))
            logs = tf.nn.log_softmax(tf.where(allowed, logits, -1e9)).numpy()
            written.append(int(np.argmax(logs)))
            score += float(logs.max())
        return "".join("\n" if i == END else VOCABULARY[i] for i in written), score / count


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tmp_path_factory):
    return Exported(request.param, tmp_path_factory.mktemp("model"))


def test_without_chance_it_equals_recomputing(exported):
    count = 6
    texts, scores = exported(TEXTS, temperature=0, max_new_units=count)
    for text, written, score in zip(TEXTS, texts, scores, strict=True):
        expected, of_expected = exported.greedy(text, count)
        assert written == expected and score == pytest.approx(of_expected, abs=1e-4)
    assert exported([], temperature=[], top_k=[], top_p=[], seed=[], max_new_units=[])[0] == []


def test_a_text_depends_on_its_own_options_alone(exported):
    seeds, lengths = [5, 6, 5, 7, 5], [9, 3, 9, 5, 9]
    texts = ["ab", "b", "ab", "", "c"]
    together, scores = exported(texts, seed=seeds, max_new_units=lengths, temperature=1.5)
    assert together[0] == together[2] and [len(text) for text in together] == lengths
    for i, text in enumerate(texts):
        alone, score = exported([text], seed=seeds[i], max_new_units=lengths[i], temperature=1.5)
        assert alone == together[i : i + 1] and score[0] == pytest.approx(scores[i], abs=1e-4)
    assert len({exported(["ab"], seed=seed, max_new_units=9)[0][0] for seed in range(8)}) > 4
    many, _ = exported(["ab"] * 40, seed=range(40), max_new_units=4)  # more rows than are read at once
    assert many[35] == exported(["ab"], seed=35, max_new_units=4)[0][0]
    assert exported(texts)[0] == exported(texts, "serving_default")[0]  # the same defaults
    assert exported(texts, top_k=1, max_new_units=5)[0] == exported(texts, temperature=0, max_new_units=5)[0]


def test_positions(exported):
    """Of a prompt its end is read, half of the positions or more; nothing is written behind the last position."""
    long, short = "abc" * 20, "ab"
    (of_long, of_short), _ = exported([long, short], max_new_units=50, temperature=0)
    if exported.positions is None:
        return
    room = (POSITIONS + 1) // 2
    assert len(of_long) == POSITIONS + 1 - room and len(of_short) == POSITIONS + 1 - len(short) - 1
    (few,), _ = exported([long], max_new_units=3, temperature=0)
    assert len(few) == 3


@pytest.mark.parametrize(
    "options, words",
    [
        ({"temperature": -1.5}, "temperature: expected a number, 0 or more, 1000 at most, received -1.5"),
        ({"temperature": [1, float("nan")]}, "received nan"),
        ({"top_p": 0}, "top_p: expected a number, above 0, 1 at most, received 0"),
        ({"top_k": -2}, "top_k: expected a whole number, 0 or more, received -2"),
        ({"seed": -1}, "seed: expected a whole number, 0 or more, received -1"),
        ({"max_new_units": 10**6}, "max_new_units: expected a whole number, 1 or more, 4096 at most, received 1000000"),
        ({"seed": [1, 2, 3]}, "seed: expected one for each of 2 texts, or one, received 3"),
    ],
    ids=str,
)
def test_the_graph_refuses_what_is_no_option(options, words, exported):
    with pytest.raises(Refused) as refused:
        exported(["a", "b"], **options)
    assert refused.value.code == "INVALID_ARGUMENT" and words in str(refused.value)
