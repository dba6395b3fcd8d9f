"""Question answering: spans over windows, positions, null scores; training, scoring and files, from questions written here."""

import json
import random

import numpy as np
import pytest
import tensorflow as tf

from models.heads import LOWEST
from tests.conftest import ALPHABET, VOCABULARY, cli, write_questions
from trainer.data import files
from trainer.runs.blueprint import Blueprint
from trainer.runs.run import Run
from trainer.tasks import span
from trainer.tasks.setup import Setup
from trainer.tasks.span.answer import BEST
from trainer.tasks.span.examples import cut as cut_in_windows
from trainer.tasks.table import TASKS
from trainer.text.reader import Reader
from trainer.text.word_pieces import WordPieces
from trainer.training import batches

TASK = TASKS["qa"]
TOKENIZER = WordPieces(VOCABULARY, lower_case=True)


def setup(max_length=64, doc_stride=16, max_answer_length=5, **settings):
    fields = ("question", "context")
    reader = Reader(TOKENIZER, max_length)
    return Setup(TASK, reader, fields, ["start", "end"], doc_stride, max_answer_length, **settings)


def local(inputs, training):
    """Logits that depend on the piece and on the question's first piece alone, so that windows change no span."""
    ids = inputs["token_ids"]
    return tf.gather_nd(tf.random.stateless_normal([100, 100, 2], [1, 2]), tf.stack([0 * ids + ids[:, 1:2], ids], -1))


def brute_force(question, context, longest):
    """Returns ([(score, start, end)] of all spans of a whole context, best first, in characters; the null score)."""
    question_ids = TOKENIZER.traced(tf.constant([question])).ids.numpy()[0]
    pieces = TOKENIZER.traced(tf.constant([context]))
    ids, words, starts, ends = (field.numpy()[0] for field in pieces)
    first = question_ids[0] if len(question_ids) else TOKENIZER.vocabulary.index("[SEP]")
    table = tf.random.stateless_normal([100, 100, 2], [1, 2]).numpy()[first]
    spans = []
    for i in range(len(ids)):
        for j in range(i, min(i + longest, len(ids))):
            whole = (i == 0 or words[i - 1] != words[i]) and (j == len(ids) - 1 or words[j + 1] != words[j])
            if whole:
                spans.append((table[ids[i], 0] + table[ids[j], 1], starts[i], ends[j]))
    null = table[TOKENIZER.vocabulary.index("[CLS]")].sum()
    return sorted(spans, reverse=True), null


def placed(inputs, training):
    """Logits that also depend on a piece's position in its window: they tell in which window a span was judged."""
    positions = tf.range(tf.shape(inputs["token_ids"])[1])[None, :, None]
    return local(inputs, training) + tf.cast(positions, tf.float32) * tf.constant([0.01, 0.003])


@pytest.mark.parametrize(
    "max_length, doc_stride, longest", [(20, 14, 9), (24, 16, 5), (24, 20, 12), (30, 3, 4), (16, 12, 12)]
)
def test_every_span_is_judged_in_the_window_that_shows_most_around_it(max_length, doc_stride, longest):
    """Compared with all spans of all windows of `cut`; of windows that show equally much, the first counts."""
    draw, seen = random.Random(max_length), 0
    rule = setup(max_length, doc_stride, longest)
    nbest = span.functions(placed, rule)["nbest"]
    for count in (0, 1, 7, 18, 19, 40, 41, 42, 43, 44, 75):
        words = draw.choices(["a", "b", "good", "film", "中", "1"], k=count)
        outputs = nbest(tf.constant(["b"]), tf.constant([" ".join(words)]))
        cuts = cut_in_windows(rule, tf.constant([1], tf.int64), tf.constant([count], tf.int64))
        windows = list(zip(cuts.starts.numpy().tolist(), cuts.ends.numpy().tolist(), strict=True))
        ids = [TOKENIZER.vocabulary.index(word) for word in words]
        table = tf.random.stateless_normal([100, 100, 2], [1, 2]).numpy()[TOKENIZER.vocabulary.index("b")]
        scores = []
        for i in range(count):
            for j in range(i, min(i + longest, count)):
                margins = [(min(i - a, b - 1 - j), -a) for a, b in windows if a <= i and j < b]
                if margins:  # longer ones stand whole in no window
                    start = -max(margins)[1]
                    places = i - start + 3, j - start + 3  # [CLS] b [SEP]
                    scores.append(table[ids[i], 0] + table[ids[j], 1] + places[0] * 0.01 + places[1] * 0.003)
        best = np.array(sorted(scores, reverse=True)[:BEST])
        actual = outputs["scores"].numpy()[0]
        assert np.sum(actual >= 0) == len(best)
        if len(best):
            np.testing.assert_allclose(actual[: len(best)], np.exp(best) / np.exp(best).sum(), rtol=1e-4)
        seen += len(windows) > 2
    assert seen >= 3


def texts(count, longest, seed):
    draw = random.Random(seed)
    return ["".join(draw.choices(ALPHABET, k=draw.randint(0, longest))) for _ in range(count)]


@pytest.mark.parametrize("max_length, doc_stride", [(512, 512), (64, 16), (24, 4)])
def test_the_best_spans_of_all_windows(max_length, doc_stride):
    questions, contexts = ["a", "b 中", "", "good film", "？"] * 12, texts(60, 120, 1)
    functions = span.functions(local, setup(max_length, doc_stride))
    best = {
        name: value.numpy() for name, value in functions["nbest"](tf.constant(questions), tf.constant(contexts)).items()
    }
    single = {
        name: value.numpy()
        for name, value in functions["serving_default"](tf.constant(questions), tf.constant(contexts)).items()
    }
    seen = 0
    for i, (question, context) in enumerate(zip(questions, contexts, strict=True)):
        expected, null = brute_force(question, context, 5)
        count = int(np.sum(best["starts"][i] >= 0))
        assert count == min(len(expected), BEST)
        scores = {(start, end): score for score, start, end in expected}
        places = list(zip(best["starts"][i][:count], best["ends"][i][:count], strict=True))
        assert len(set(places)) == count  # none twice, though windows share pieces
        np.testing.assert_allclose([scores[place] for place in places], [s for s, _, _ in expected[:count]], rtol=1e-5)
        for k, (start, end) in enumerate(places):
            assert context[start:end] == best["answers"][i][k].decode("utf-8") and context[start:end].strip()
        for name, empty in (("starts", -1), ("ends", -1), ("scores", -1), ("answers", b"")):
            assert all(value == empty for value in best[name][i][count:])
        if not count:
            assert [single[name][i] for name in ("answer", "start", "end", "score", "null_score")] == [b"", 0, 0, 1, 1]
            continue
        chances = np.exp([s - expected[0][0] for s, _, _ in expected[:count]])
        np.testing.assert_allclose(best["scores"][i][:count], chances / chances.sum(), rtol=1e-4)
        assert [single["answer"][i], single["start"][i], single["end"][i]] == [
            best[n][i][0] for n in ("answers", "starts", "ends")
        ]
        np.testing.assert_allclose(single["null_score"][i], 1 / (1 + np.exp(expected[0][0] - null)), rtol=1e-4)
        seen += 1
    assert seen > 40


def test_a_threshold_withholds_answers():
    contexts = tf.constant(["a good film", "very bad 中国", " \u3000", ""])
    questions = tf.constant(["a"] * 4)
    always = span.functions(local, setup())["serving_default"](questions, contexts)
    between = float(np.mean(always["null_score"][:2]))
    some = span.functions(local, setup(null_threshold=between))["serving_default"](questions, contexts)
    withheld = always["null_score"].numpy() > between
    assert withheld.tolist().count(True) == 3 and withheld[2:].all()
    for i, none in enumerate(withheld):
        expected = [b"", 0, 0] if none else [always[name][i].numpy() for name in ("answer", "start", "end")]
        assert [some[name][i].numpy() for name in ("answer", "start", "end")] == expected
        assert some["score"][i] == (always["null_score"] if none else always["score"])[i]
    assert (always["answer"].numpy() != b"").tolist() == [True, True, False, False]


def test_no_rows():
    for name, function in span.functions(local, setup()).items():
        outputs = function(tf.constant([], tf.string), tf.constant([], tf.string))
        assert {tuple(value.shape) for value in outputs.values()} == {(0,) if name == "serving_default" else (0, BEST)}


@pytest.mark.parametrize("max_length, doc_stride", [(64, 16), (16, 3), (9, 200)])
def test_training_points_at_the_answer_in_every_window_that_holds_it(tmp_path, max_length, doc_stride):
    rows = files.read(write_questions(tmp_path / "a.json", 64), TASK, files.ANY)
    rows[3]["question"] = "b " * 40  # is cut to half of the room
    learned, examples = span.examples(rows, setup(max_length, doc_stride), "a.json")
    assert learned.null_threshold == 0.5 and str(examples).startswith(
        "64 questions, 8 of them without an answer, 1 of them cut"
    )
    golds = {row["answers"][0]["text"] for row in rows if row["answers"]}
    answered = 0
    plan = batches.plan_evaluation(examples.lengths, 7)
    for inputs, targets in batches.dataset(examples, plan):
        for ids, segments, mask, (first, last) in zip(
            *[inputs[n].numpy() for n in learned.reader.inputs(2)], targets.numpy(), strict=True
        ):
            ids, segments = ids[mask], segments[mask]
            assert len(ids) <= max_length
            context = [TOKENIZER.vocabulary[i] for i in ids[segments == 1][:-1]]
            answer_words = {"a": {"good", "好"}, "b": {"bad", "坏"}}[TOKENIZER.vocabulary[ids[1]]]
            if answer_words & {*context}:
                assert first == last and segments[first] == 1 and TOKENIZER.vocabulary[ids[first]] in answer_words
                answered += 1
            else:
                assert (first, last) == (0, 0)
    assert answered >= 56 and golds == {"good", "好", "bad", "坏"}


def test_an_answer_that_a_window_cuts_is_not_in_it():
    words = ["a", "film"] * 15
    context, start, text = " ".join(words), 2 * 15, "film a film a"
    start = context.index(text, start)
    row = {"question": "b", "context": context, "answers": [{"text": text, "answer_start": start}]}
    rule = setup(14, 3)
    _, examples = span.examples([row], rule, "a.json")
    first = len(context[:start].split())
    cuts = cut_in_windows(rule, tf.constant([1], tf.int64), tf.constant([30], tf.int64))
    expected = [
        [first - a + 3, first - a + 6] if a <= first and first + 4 <= b else [0, 0]
        for a, b in zip(cuts.starts.numpy(), cuts.ends.numpy(), strict=True)
    ]
    assert examples.targets.numpy().tolist() == expected
    cut = [a <= first + k < b for k in (0, 3) for a, b in zip(cuts.starts.numpy(), cuts.ends.numpy(), strict=True)]
    assert [0, 0] in expected and sum(cut) > 2 * sum(target != [0, 0] for target in expected)  # some hold a part


def test_answers_that_cannot_be_learned_are_left_out_and_said(capsys):
    context = "a good film"
    cases = [("good", 2), ("oo", 3), ("good", 3), ("bad", 2), ("", 0), (" ", 1), ("d f", 5)]
    rows = [
        {"id": "", "question": "a", "context": context, "answers": [{"text": t, "answer_start": s}]} for t, s in cases
    ]
    learned, examples = span.examples(rows, setup(), "a.json")
    assert examples.targets.numpy().tolist() == [[4, 4], [4, 4], [4, 5]] and learned.null_threshold is None
    err = capsys.readouterr().err
    assert "a.json: questions left out whose answer stands elsewhere, or nowhere, in the context: 3" in err
    assert "a.json: questions left out whose answer has no word: 1" in err


def test_loss_is_the_mean_of_both_ends():
    logits = tf.random.stateless_normal([3, 7, 2], [3, 4])
    targets = tf.constant([[1, 2], [0, 0], [6, 3]])
    chances = tf.nn.log_softmax(logits, axis=1).numpy()
    total, count = span.loss(targets, logits)
    expected = -sum(chances[i, t, k] for i, row in enumerate(targets.numpy()) for k, t in enumerate(row))
    np.testing.assert_allclose([float(total), float(count)], [expected, 6], rtol=1e-6)


def test_question_and_padding_are_no_places(bert_folder):
    blueprint = Blueprint.of_weights(bert_folder)
    model = blueprint.model(TASK, 2)
    question, context = (tf.ragged.constant([ids], dtype=tf.int32) for ids in ([13, 14], [20, 21, 22]))
    short = blueprint.reader(16).frame(question, context)
    long = {name: tf.pad(value, [[0, 0], [0, 9]]) for name, value in short.items()}
    np.testing.assert_allclose(model(short), model(long)[:, :8], atol=1e-6)
    real = (model(long)[0] > LOWEST).numpy()  # [S, 2]
    assert real[:, 0].tolist() == real[:, 1].tolist() == [True] + [False] * 3 + [True] * 4 + [False] * 9


def test_a_run_answers(qa_run, capsys, tmp_path):
    result = json.loads((qa_run / "metrics.json").read_text())["final"]
    assert result["best_f1"] > 90 and result["AlwaysAns_f1"] < 90
    assert result["best_f1_thresh"] < result["null_threshold"] < 1
    dev = qa_run.parent / "dev.json"
    status, out, err = cli(capsys, "evaluate", qa_run, "--data", dev, "--output", tmp_path / "found.json")
    assert status == 0 and "40 questions, scored as SQuAD 2.0 is; no answer where its null score is above" in err
    scores = json.loads(out)
    # The threshold of the training's dev data is the run's
    assert scores["f1"] == result["best_f1"] == scores["best_f1"]
    # The last scores of the training are those of the run
    assert {name: scores[name] for name in result if name in scores} == {
        name: value for name, value in result.items() if name not in ("epoch", "step")
    }
    status, out, _ = cli(capsys, "evaluate", tmp_path / "found.json", "--data", dev)
    assert json.loads(out)["f1"] == scores["f1"] and json.loads(out)["missing"] == 0
    null = json.loads((tmp_path / "found.null_odds.json").read_text())
    answers = json.loads((tmp_path / "found.json").read_text())
    assert all((null[i] > result["null_threshold"]) == (answers[i] == "") for i in answers)
    rows = files.read(dev, TASK, files.ANY)
    scorer = Run(qa_run).scorer(rows, 32)
    for size in (1, 3, 40):  # the last bits of a null score differ from batch to batch
        scorer.plan = batches.plan_evaluation(np.array([len(row["context"]) for row in rows]), size)
        assert scorer()["f1"] == scores["f1"]
    status, out, _ = cli(capsys, "evaluate", qa_run, "--data", dev, "--null_threshold", "1")
    assert json.loads(out)["f1"] == result["AlwaysAns_f1"]

    context = "very 1 2 film " * 20 + "中国 好 人 " + "very 2 1 film " * 20  # 15 windows
    status, out, _ = cli(capsys, "predict", qa_run, "--question", "a", "--context", context)
    answer = json.loads(out)
    assert answer["answer"] == "好" == context[answer["start"] : answer["end"]]
    assert list(answer) == ["question", "context", "answer", "start", "end", "score", "null_score"]
    status, out, _ = cli(
        capsys, "predict", qa_run, "--question", "a", "b", "--context", "a 好", "", "--signature", "nbest"
    )
    first, empty = map(json.loads, out.splitlines())
    assert first["answers"][0] == "好" and len(first["answers"]) == 3 == len(
        {*zip(first["starts"], first["ends"], strict=True)}
    )
    assert empty["answers"] == [] and list(empty)[2:] == ["answers", "starts", "ends", "scores"]
