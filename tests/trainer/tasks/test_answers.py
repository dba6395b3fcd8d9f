"""Scores of answers: against values worked out by hand from the official scripts, and published systems' scores."""

import gzip
import json

import pytest

from tests.conftest import DATA, needs
from trainer import metrics

SQUAD = DATA / "qa-en" / "squad"
CMRC = DATA / "qa-zh" / "cmrc2018" / "cmrc2018_dev.json"
LEFT_OUT = {"the", "...", ""}  # gold answers without words


def near(**values):
    return pytest.approx(values, abs=1e-9, rel=0)


def questions_of(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    return [question for article in articles for paragraph in article["paragraphs"] for question in paragraph["qas"]]


def texts_of(questions):
    return [[answer["text"] for answer in question["answers"]] for question in questions]


ENGLISH = {
    "case, articles, punctuation, spaces": (["The  Cat's\tmat."], "a cats mat", 100, 100),
    "best gold for each score": (["a cat on a mat", "the mat"], "mat mat", 0, 100 * 2 / 3),
    "repeated words": (["b b c"], "b b b", 0, 100 * 2 / 3),
    "any order": (["x y"], "y x", 0, 100),
    "nothing shared": (["x"], "y", 0, 0),
    "no answer": (["x"], "", 0, 0),
    "marks join": (["U.S.-led"], "usled", 100, 100),
    "articles after marks": (["the_a x"], "x", 0, 100 * 2 / 3),
    "articles are words": (["anthem"], "them", 0, 0),
    "marks of other scripts stay": (["“x”"], "x", 0, 0),
    "articles at such marks": (["“the” x"], "“ ” x", 100, 100),
    "accents stay": (["é"], "É", 100, 100),
    "letters of two code points": (["é"], "e\u0301", 0, 0),
}


@pytest.mark.parametrize("golds, answer, exact, f1", ENGLISH.values(), ids=ENGLISH)
def test_answered(golds, answer, exact, f1):
    for texts in (golds, golds[::-1]):
        assert metrics.answered([texts], [answer]) == near(exact=exact, f1=f1)
    if not LEFT_OUT & {*golds}:
        scores = metrics.answered_or_not([golds], [answer])
        assert scores == near(exact=exact, f1=f1, HasAns_exact=exact, HasAns_f1=f1)


def test_means():
    golds, answers = [["x"], ["x y z"], ["y"], ["z", "x"]], ["x", "x", "x", "x"]
    assert metrics.answered(golds, answers) == near(exact=50, f1=100 * (1 + 1 / 2 + 0 + 1) / 4)
    with pytest.raises(ValueError, match="shorter"):
        metrics.answered(golds, answers[:-1])


@pytest.mark.parametrize("gold", sorted(LEFT_OUT))
def test_golds_without_words(gold):
    """In SQuAD 1.1 nothing is shared with them, in 2.0 they are left out."""
    assert metrics.answered([[gold]], [""]) == near(exact=100, f1=0)
    assert metrics.answered_or_not([[gold]], [""]) == near(exact=100, f1=100, HasAns_exact=100, HasAns_f1=100)
    assert metrics.answered_or_not([[gold]], ["An."])["f1"] == 100
    assert metrics.answered([[gold, "x"]], [""])["exact"] == 100
    assert metrics.answered_or_not([[gold, "x"]], [""]) == near(exact=0, f1=0, HasAns_exact=0, HasAns_f1=0)


def test_answered_or_not():
    scores = metrics.answered_or_not([["cat"], [], ["the"], []], ["black cat", "", "", "x"])
    assert scores == near(
        exact=50, f1=100 * (2 / 3 + 1 + 1) / 4, HasAns_exact=50, HasAns_f1=100 * (2 / 3 + 1) / 2, NoAns_exact=50, NoAns_f1=50
    )  # fmt: skip
    assert metrics.answered_or_not([[], []], ["", "x"]) == near(exact=50, f1=50, NoAns_exact=50, NoAns_f1=50)


# golds, answers, null scores, best exact and its threshold, best F1 and its threshold
THRESHOLDS = {
    "exact and F1 apart": (
        [["x"], ["y"], [], []], ["x", "y y", "z", ""], [-2.0, -1.5, -1.0, 0.25], 75, -2.0, 100 * (3 + 2 / 3) / 4, -1.5,
    ),
    "order of scores": ([["x"], [], ["y"]], ["x", "z", "y"], [3.0, 2.0, 1.0], 200 / 3, 1.0, 200 / 3, 1.0),
    "first of equal sums": ([["x"], [], ["y"]], ["x", "", "z"], [1.0, 2.0, 3.0], 200 / 3, 1.0, 200 / 3, 1.0),
    "none answered": ([["x"], []], ["y", "x"], [-3.0, -4.0], 50, 0.0, 50, 0.0),
    "equal null scores, the right answer first": ([["x"], []], ["x", "x"], [1.0, 1.0], 100, 1.0, 100, 1.0),
    "equal null scores, the wrong answer first": ([[], ["x"]], ["x", "x"], [1.0, 1.0], 50, 0.0, 50, 0.0),
    "an answer without words is one": ([[], ["x"]], ["the", "x"], [0.5, 1.0], 50, 0.0, 50, 0.0),
    "a gold answer without words is one": ([["the"], ["x"]], ["", "x"], [0.5, 1.0], 100, 1.0, 100, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("golds, answers, null_scores, exact, at, f1, f1_at", THRESHOLDS.values(), ids=THRESHOLDS)
def test_thresholds(golds, answers, null_scores, exact, at, f1, f1_at):
    scores = metrics.answered_or_not(golds, answers, null_scores)
    best = {key: value for key, value in scores.items() if key.startswith("best")}
    assert best == near(best_exact=exact, best_exact_thresh=at, best_f1=f1, best_f1_thresh=f1_at)
    plain = metrics.answered_or_not(golds, answers)
    assert plain == {key: value for key, value in scores.items() if key not in best}


CHINESE = {
    "marks": (["《中国》，人民。"], "中国-人民", 100, 100),
    "all marks that are removed": (["中"], "-:_*^/\\~`+=，。：？！中“”；’《》·、「」（）－～『』", 100, 100),
    "a common character": (["中的"], "人" + "的" * 300, 0, 100 * 2 / 303),
    "longest run": (["北京大学"], "北大", 0, 100 / 3),
    "run that begins anew": (["中人人民"], "中人民", 0, 100 * 4 / 7),
    "best gold": (["人民", "中国"], "中国人", 0, 80),
    "words of letters": (["GPT模型"], " gpt ", 0, 50),
    "one number": (["1,000人"], "1000人", 0, 50),
    "share of a number": (["3.5%。"], "3.5", 0, 100 * 2 / 3),
    "marks between letters join": (["A-b_c"], "abc", 100, 100),
    "half-width brackets stay": (["(北京)"], "（北京）", 0, 100 * 2 / 3),
    "an ellipsis stays": (["北京……"], "北京", 0, 80),
    "two ends": (["do是"], "don't是", 0, 40),
    "spaces between": (["中 国"], "中国", 0, 100),
    "no answer": (["中"], "", 0, 0),
    "a gold answer of marks": (["，"], "", 100, 0),
    "beyond the common characters": (["㐀龥"], "龥", 0, 100 * 2 / 3),
}


@pytest.mark.parametrize("golds, answer, exact, f1", CHINESE.values(), ids=CHINESE)
def test_answered_in_chinese(golds, answer, exact, f1):
    assert metrics.answered_in_chinese([golds], [answer]) == near(exact=exact, f1=f1)
    both = metrics.answered_in_chinese([golds, ["x"]], [answer, "x"])
    assert both == near(exact=(exact + 100) / 2, f1=(f1 + 100) / 2)


@pytest.mark.parametrize(
    "text, words",
    [
        ("龥龦ab㐀人", "龥 龦ab㐀 人"),
        ("1,100人,2.5%;3,", "1,100 人 ,2.5 % ; 3 ,"),
        ("hey! (you)?", "hey ! ( you ) ?"),
        ("ab c.是st. john", "ab c . 是 st. john"),
        ("(u.s.) 是...a..", "( u.s . ) 是 ... a .."),
        ("don't是it's o'clock 'x' 12'3''", "do n't 是 it 's o'clock ' x ' 12'3 ''"),
        ("l'été年'32", "l'été 年 ' 32"),
        ("«a—b»‘c", "« a — b » ‘ c"),
        ("a&b$5#c@d", "a & b $ 5 # c @ d"),
    ],
)
def test_words_as_nltk_divides(text, words):
    assert metrics.cmrc_words_of(text) == words.split()


PUBLISHED = [
    ("bert-ensemble.v1.1", "dev-v1.1.json", metrics.answered, 86.21, 92.20),
    ("logistic-regression.v1.1", "dev-v1.1.json", metrics.answered, 40.14, 50.98),
    ("bert-single.v2.0", "dev-v2.0.json.gz", metrics.answered_or_not, 78.74, 81.78),
]


@needs(SQUAD)
@pytest.mark.parametrize("name, dev, score, exact, f1", PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_published_answers(name, dev, score, exact, f1):
    questions = questions_of(SQUAD / dev)
    answers = json.loads((SQUAD / "predictions" / f"{name}.json").read_text(encoding="utf-8"))
    scores = score(texts_of(questions), [answers.get(question["id"], "") for question in questions])
    assert (round(scores["exact"], 2), round(scores["f1"], 2)) == (exact, f1)


@needs(CMRC)
def test_annotators_of_cmrc():
    """The last annotator's answers against the others', as the official script scores them with nltk 3.10."""
    golds = texts_of(questions_of(CMRC))
    scores = metrics.answered_in_chinese([texts[:-1] for texts in golds], [texts[-1] for texts in golds])
    assert scores == near(exact=77.78813296054675, f1=93.44047242369771)
