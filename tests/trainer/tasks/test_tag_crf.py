"""Tagging by a conditional random field: states, loss, windows, what must not be, a run from training to its export."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import heads
from models.crf import CRF
from serving.export import export
from tests.conftest import VOCABULARY, cli, stopped_at, write_treebank
from trainer.data import files
from trainer.runs.run import Run
from trainer.tasks import tag
from trainer.tasks.setup import Setup
from trainer.tasks.table import TASKS
from trainer.tasks.tag import segmentation
from trainer.tasks.tag.decoders import GROUP, Crf
from trainer.text.reader import Reader
from trainer.text.word_pieces import WordPieces

TASK = TASKS["tagging"]
TOKENIZER = WordPieces(VOCABULARY, lower_case=True)
BIO = ["B-X", "B-Y", "I-X", "I-Y", "O", "_", "B-X I-X@-1", "_ I-Y@-1"]


def setup(labels, max_length, scheme=None):
    return Setup(TASK, Reader(TOKENIZER, max_length), ("words",), labels, decoder="crf", scheme=scheme)


class Local:
    """A model whose logits depend on the piece alone, with a random field behind it: only that sees neighbours."""

    def __init__(self, classes):
        self.crf, self.table = CRF(name="crf"), tf.random.stateless_normal([50000, classes], [1, 2])
        self.crf.build([None, None, classes])
        for i, variable in enumerate(self.crf.weights):
            variable.assign(tf.random.stateless_normal(variable.shape, [3, i]))

    def __call__(self, inputs, training):
        logits = tf.gather(self.table, inputs["token_ids"])
        return {"logits": logits, **self.crf(logits)}

    def get_layer(self, name):
        return self.crf


def tags_of(output, row):
    return [name.decode() for name in output["tags"].numpy()[row] if name]


def test_states_are_labels_unless_a_scheme_says_more():
    assert segmentation.states(BIO, None).labels == [*range(len(BIO))]
    states = segmentation.states(BIO, segmentation.BIO)
    assert [BIO[i] for i in states.labels].count("_") == 3  # behind O, within X, within Y
    begin = [BIO[label] for label, begins in zip(states.labels, states.begins, strict=True) if begins]
    assert begin == ["B-X", "B-Y", "O", "_", "B-X I-X@-1"]


@pytest.mark.parametrize(
    "row, right",
    [
        (["B-X", "_", "I-X", "_ I-Y@-1"], False),
        (["B-X", "_", "_", "I-X", "O"], True),
        (["B-Y", "_", "_ I-Y@-1", "I-Y"], True),
        (["O", "_", "I-X"], False),
        (["B-Y", "B-X I-X@-1", "I-X"], True),
        (["B-X I-X@-1", "I-Y"], False),
        (["I-X"], False),
    ],
)
def test_states_accept_rows_that_mark_spans_rightly(row, right):
    """`_` remembers the span that it goes on with."""
    labels, follows, begins = segmentation.states(BIO, segmentation.BIO)
    states = [[i for i, label in enumerate(labels) if BIO[label] == name] for name in row]
    assert right == any(
        begins[path[0]] and all(follows[a][b] for a, b in itertools.pairwise(path))
        for path in itertools.product(*states)
    )


def test_scheme_of_the_data():
    assert segmentation.scheme_of([["B-X", "I-X", "O"], ["O"]]) == segmentation.BIO
    assert segmentation.scheme_of([["O", "I-X", "I-X"], ["O", "B-X"]]) is None  # as CoNLL 2003's first form
    assert segmentation.scheme_of([["B-X", "I-X"]] * 200 + [["I-X"]]) == segmentation.BIO  # an error
    assert segmentation.scheme_of([["NOUN", "O"]]) is None


def test_loss_is_of_the_labels_that_are_asked_in_their_order():
    classes, draw = 4, np.random.default_rng(0)
    logits = draw.normal(size=[3, 6, classes]).astype(np.float32)
    targets = np.array([[-1, 2, -1, 0, 3, -1], [-1, -1, -1, 1, -1, -1], [-1] * 6], np.int32)
    weights = {
        name: draw.normal(size=size).astype(np.float32)
        for name, size in (("transitions", [4, 4]), ("starts", 4), ("ends", 4))
    }
    total, count = tag.crf_loss(
        tf.constant(targets), {"logits": tf.constant(logits)} | {k: tf.constant(v) for k, v in weights.items()}
    )
    expected = 0.0
    for row, gold in ((logits[0, [1, 3, 4]], (2, 0, 3)), (logits[1, [3]], (1,))):
        scores = {
            path: weights["starts"][path[0]]
            + weights["ends"][path[-1]]
            + sum(row[range(len(row)), path])
            + sum(weights["transitions"][pair] for pair in itertools.pairwise(path))
            for path in itertools.product(range(classes), repeat=len(row))
        }
        expected += np.logaddexp.reduce([*scores.values()]) - scores[gold]
    assert float(total) == pytest.approx(expected, rel=1e-5) and float(count) == 4
    nothing = tag.crf_loss(tf.constant(targets[2:]), {"logits": tf.constant(logits[2:])} | weights)
    assert [float(part) for part in nothing] == [0, 1]


def test_loss_without_neighbours_is_that_of_softmax():
    draw = np.random.default_rng(0)
    logits, targets = tf.constant(draw.normal(size=[2, 5, 3]), tf.float32), tf.constant([[-1, 0, 2, -1, 1], [1] * 5])
    outputs = {"logits": logits, "transitions": tf.zeros([3, 3]), "starts": tf.zeros(3), "ends": tf.zeros(3)}
    np.testing.assert_allclose(tag.crf_loss(targets, outputs), tag.loss(targets, logits), rtol=1e-5)


def test_windows_of_a_long_row_are_one_decode():
    texts = ["a good film 中国 unable café " * n for n in (1, 9, 30)] + [""]
    words = tf.constant([["a", "unable", "film"] * 20, ["b"] * 60, [""] * 60])
    labels = ["A", "B", "_", "A B@-1", "_ A@-2", "B A@-3 A@-1"]
    model = Local(len(labels))
    whole, cut = (tag.functions(model, setup(labels, length)) for length in (512, 12))
    alone = tag.functions(
        lambda inputs, training: tf.gather(model.table, inputs["token_ids"]),
        Setup(TASK, Reader(TOKENIZER, 12), ("words",), labels),
    )
    for name, strings in (("serving_default", tf.constant(texts)), ("words", words)):
        expected, actual, by_softmax = (functions[name](strings) for functions in (whole, cut, alone))
        for key in expected:
            np.testing.assert_array_equal(expected[key], actual[key])
        assert tags_of(expected, 0) != tags_of(by_softmax, 0)  # neighbours count


def test_given_words_are_judged_as_their_tokens():
    """The best labels of a text stay the best where it is known which words they find."""
    texts = ["中国人好 a-good film", "不行 unable/un-able, isn't it?", "a"]
    labels = ["A", "B", "C", "_"]
    functions = tag.functions(Local(len(labels)), setup(labels, 64))
    found = functions["serving_default"](tf.constant(texts))
    assert {"国人", "isn'", "it?"} <= {word.decode() for word in found["words"].numpy().ravel()}
    given = functions["words"](found["words"])
    np.testing.assert_array_equal(given["tags"], found["tags"])


def test_rows_are_decoded_alike_alone_and_in_any_company():
    draw = np.random.default_rng(0)
    lengths = [3, 0, GROUP + 50, 1, 700, 0, 900, 800, *[7] * 40]
    logits = draw.normal(size=[sum(lengths), len(BIO)]).astype(np.float32)
    allowed = draw.random(logits.shape) < 0.8
    allowed[:, BIO.index("O")] = True
    decode = tf.function(Crf(Local(len(BIO)), setup(BIO, 16, segmentation.BIO)), autograph=False, reduce_retracing=True)
    together = decode(logits, allowed, tf.constant(lengths, tf.int64))
    assert np.all((together[1] > 0) & (together[1].numpy() < 1 + 1e-5)) and np.all(
        allowed[np.arange(len(logits)), together[0]]
    )
    first = 0
    for length in lengths[:8]:
        part = slice(first, first + length)
        for expected, actual in zip(
            decode(logits[part], allowed[part], tf.constant([length], tf.int64)), together, strict=True
        ):
            np.testing.assert_allclose(expected, actual[part], atol=1e-5)
        first += length


def test_what_the_scheme_forbids_is_never_chosen():
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 40, 300)
    logits, allowed = draw.normal(size=[sum(lengths), len(BIO)]), np.full([sum(lengths), len(BIO)], True)
    firsts = np.cumsum(lengths) - lengths
    for label in ("_", "_ I-Y@-1"):
        allowed[firsts, BIO.index(label)] = False  # a row begins with a word
    broken = {}
    for scheme in (segmentation.BIO, None):
        labels, _ = Crf(Local(len(BIO)), setup(BIO, 16, scheme))(
            tf.constant(logits, tf.float32), allowed, tf.constant(lengths)
        )
        of_rows = np.split([BIO[label] for label in labels], firsts[1:])
        tags = [[name for label in row for _, name in segmentation.words_of(label)] for row in of_rows]
        pairs = [pair for row in tags for pair in itertools.pairwise(["O", *row])]
        spans = [(before, name) for before, name in pairs if name.startswith("I-")]
        broken[scheme] = sum(before[2:] != name[2:] for before, name in spans)
        assert len(spans) > 500 and {*BIO} == {*map(str, np.concatenate(of_rows))}
    assert broken[segmentation.BIO] == 0 and broken[None] > 100  # the scores alone would have chosen it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crf")


@pytest.fixture(scope="module")
def options(folder, bert_folder):
    files = {
        "train": write_treebank(folder / "train.conllu", 512),
        "dev": write_treebank(folder / "dev.conllu", 40, seed=1),
    }
    return files | {
        "init": bert_folder,
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "max_length": 64,
        "decoder": "crf",
    }


def finetune(capsys, options, *flags, task="tagging"):
    return cli(capsys, "finetune", task, *[f"--{name}={value}" for name, value in options.items()], *flags)


def test_a_run_learns_and_is_exported_and_goes_on(folder, options, capsys, tmp_path):
    run = folder / "run"
    status, out, err = finetune(capsys, options | {"out": run})
    assert status == 0, err
    result = json.loads(out)
    assert "decoded by crf" in err and "new: classifier, crf" in err
    assert result["final"]["accuracy"] > 0.95 and result["final"]["tags_f1"] > 0.8
    settings = json.loads((run / "config.json").read_text())
    assert settings["lineage"]["decoder"] == "crf" and settings["architectures"] == ["BertModel"]
    trained = Run(run)
    assert np.abs(trained.model.get_layer("crf").transitions.numpy()).max() > 0.1  # it took part

    status, out, _ = cli(capsys, "evaluate", run, "--data", options["dev"], "--errors", tmp_path / "errors.jsonl")
    assert status == 0 and json.loads(out)["accuracy"] == result["final"]["accuracy"]
    status, out, _ = cli(capsys, "predict", run, "--text", "a good film.", "")
    first, empty = map(json.loads, out.splitlines())
    assert first["words"] == ["a", "good", "film", "."] and first["tags"] == ["DET", "ADJ", "NOUN", "PUNCT"]
    assert all(0.5 < score <= 1 for score in first["scores"]) and empty["words"] == []

    export(run, tmp_path / "export")
    signatures = tf.saved_model.load(str(tmp_path / "export" / "1")).signatures
    rows = files.read(options["dev"], TASK, files.ANY)
    for name, inputs in (
        ("serving_default", {"text": tf.constant([row["text"] for row in rows])}),
        ("words", {"words": tf.ragged.constant([row["words"] for row in rows]).to_tensor("")}),
    ):
        here, exported = trained.functions()[name](*inputs.values()), signatures[name](**inputs)
        for key in here:
            if key == "scores":
                np.testing.assert_allclose(here[key], exported[key], atol=1e-5)
            else:
                np.testing.assert_array_equal(here[key], exported[key])

    status, _, err = cli(capsys, "export_hf", run, "--to", tmp_path / "hf")
    assert status == 2 and err.count("\n") == 1 and "--decoder crf, which transformers does not have" in err
    assert not (tmp_path / "hf").exists()
    for changes, said in (({}, "its head goes on"), ({"decoder": "softmax"}, "new: classifier;")):
        changes |= {"init": run, "train": options["dev"], "out": tmp_path / "next"}
        status, _, err = finetune(capsys, without_dev(options) | changes, "--dry_run")
        assert status == 0 and said in err, err


def without_dev(options):
    return {name: value for name, value in options.items() if name != "dev"}


def test_a_stopped_run_ends_as_one_that_was_not(options, tmp_path, capsys):
    """On the smallest encoder: only the field is new to a checkpoint."""
    short = without_dev(options) | {"epochs": 1, "limit": 64, "model": "bag", "unit": "words"}
    del short["init"]
    digests = []
    for name, stop in (("whole", False), ("stopped", True)):
        if stop:
            with stopped_at(5):
                status, _, err = finetune(capsys, short | {"out": tmp_path / name})
                assert status != 0 and "stopped at step 5" in err
        status, out, err = finetune(capsys, short | {"out": tmp_path / name})
        assert status == 0, err
        assert ("resume    from step 5" in err) == stop
        digests.append(json.loads(out)["digest"])
    assert digests[0] == digests[1]


def test_other_tasks_and_other_decoders_are_refused(options, bert_folder, capsys, tmp_path):
    status, _, err = finetune(capsys, options | {"out": tmp_path / "run"}, task="sentiment")
    assert status == 2 and "--decoder: expected for tagging, received for sentiment" in err and err.count("\n") == 1
    status, _, err = finetune(capsys, options | {"out": tmp_path / "run", "decoder": "beam"})
    assert status == 2 and "--decoder: expected softmax or crf, received beam" in err


def test_every_encoder_may_have_one():
    """The head stands on `hidden_states` alone."""
    inputs = {name: keras.Input([None], dtype="int32", name=name) for name in ("token_ids", "segment_ids", "mask")}
    hidden = keras.layers.Embedding(50, 8, name="token_embedding")(inputs["token_ids"])
    model = heads.tag_crf(keras.Model(inputs, {"hidden_states": [hidden]}), 3, dropout=0.0, seed=0)
    outputs = model({name: tf.ones([2, 4], tf.int32) for name in inputs})
    assert outputs["logits"].shape == (2, 4, 3) and outputs["transitions"].shape == (3, 3)
