"""Names of columns: which of a file's hold the fields of a row."""

import pytest

from trainer.data.schema import Match, Schema

TEXT, PAIR = ("text",), ("text", "text_b")


@pytest.mark.parametrize(
    "inputs, target, names, match",
    [
        ([TEXT], "label", ["id", "label", "sentence"], Match(TEXT, {"text": "sentence", "label": "label"})),
        ([TEXT], "label", [" Text", "LABEL"], Match(TEXT, {"text": " Text", "label": "LABEL"})),
        ([TEXT], None, ["sentence", "text"], Match(TEXT, {"text": "text"})),
        ([TEXT], None, ["TEXT", "text"], Match(TEXT, {"text": "TEXT"})),
        ([PAIR, TEXT], None, ["text", "question1", "question2"], Match(PAIR, {"text": "question1", "text_b": "question2"})),
        ([PAIR, TEXT], None, ["text"], Match(TEXT, {"text": "text"})),
        ([TEXT], "label", ["text"], None),
        ([TEXT], None, ["phrase"], None),
        ([("question", "context")], "answers", ["answers", "context", "question"],
         Match(("question", "context"), {"question": "question", "context": "context", "answers": "answers"})),
        ([("words",)], "tags", ["tokens", "upos", "text"],
         Match(("words",), {"words": "tokens", "tags": "upos", "text": "text"})),
    ],
)  # fmt: skip
def test_match(inputs, target, names, match):
    assert Schema(inputs, target).match(names) == match


def test_expected_and_single():
    assert Schema([PAIR, TEXT], "label").expected == "text, label" and Schema([PAIR, TEXT]).single == "text"
    assert Schema([PAIR]).expected == "text, text_b" and Schema([PAIR]).single is None
