"""docs/serving-parity.md says what is so."""

import ast
import re

import pytest

from serving.server.configuration.flags import ALL, WITHOUT_EFFECT
from tests.conftest import ROOT

FILE = ROOT / "docs" / "serving-parity.md"
STATES = {"yes", "differs", "no"}
TEST = re.compile(r"`(test_\w+\.py)::(\w+)`")


def tables():
    """Returns {heading: rows of its table, each [what, state, tests or why]}."""
    sections = re.split(r"^## (.+)$", FILE.read_text(), flags=re.MULTILINE)[1:]
    rows = lambda text: [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")
    ]
    return {heading: rows(text)[2:] for heading, text in zip(sections[::2], sections[1::2], strict=True)}


@pytest.mark.parametrize("heading", tables())
def test_rows(heading):
    for row in tables()[heading]:
        assert len(row) == 3 and row[1] in STATES, row
        what, state, why = row
        if state in ("yes", "differs"):
            assert TEST.search(why), f"{what}: expected a test that shows it"
        if state in ("differs", "no"):
            assert len(TEST.sub("", why).strip(": ")) > 5, f"{what}: expected how it differs, or why it is left out"


def test_every_test_exists():
    named = set(TEST.findall(FILE.read_text()))
    assert len(named) > 50
    for file in sorted({file for file, _ in named}):
        (path,) = (ROOT / "tests" / "serving").rglob(file)
        tree = ast.parse(path.read_text())
        there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert {test for other, test in named if other == file} <= there, file


def test_flags_are_those_of_the_server():
    states = {flag: state for flag, state, _ in tables()["Flags"]}
    for flag, state in states.items():
        assert (flag in ALL) == (state in ("yes", "differs")), f"{flag} is {state} in {FILE.name}"
    assert set(WITHOUT_EFFECT) <= states.keys()
