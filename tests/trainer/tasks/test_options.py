"""What a row may say of how text is drawn."""

import numpy as np
import pytest

from trainer.errors import Mistake
from trainer.tasks.options import SAMPLING, checked
from trainer.tasks.table import TASKS, requests


def test_values_are_read_as_numbers():
    given = {"text": "a", "temperature": "0.5", "top_k": 3.0, "seed": 7, "top_p": "", "max_new_units": None}
    found = checked(given, SAMPLING)
    assert found == {"temperature": 0.5, "top_k": 3, "seed": 7} and type(found["top_k"]) is int


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("temperature", -0.5, "temperature: expected a number, 0 or more, 1000 at most, received -0.5"),
        ("temperature", float("nan"), "received nan"),
        ("temperature", "warm", "received warm"),
        ("temperature", True, "received True"),
        ("top_k", -1, "top_k: expected a whole number, 0 or more, received -1"),
        ("top_k", 1.5, "received 1.5"),
        ("top_p", 0, "top_p: expected a number, above 0, 1 at most, received 0"),
        ("top_p", 1.01, "received 1.01"),
        ("seed", 2**63, "seed: expected a whole number, 0 or more, received 9223372036854775808"),
        ("max_new_units", 0, "max_new_units: expected a whole number, 1 or more, 4096 at most, received 0"),
        ("max_new_units", 4097, "received 4097"),
    ],
)
def test_mistakes(name, value, expected):
    with pytest.raises(Mistake) as error:
        checked({name: value}, SAMPLING)
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_requests_have_all_options_where_a_row_has_one():
    rows = [{"text": "a"}, {"text": "b", "seed": 2}, {"text": "c"}]
    ((first, plain, _),) = requests(TASKS["text_generation"], rows[:1], 3)
    ((second, drawn, batch),) = requests(TASKS["text_generation"], rows[1:], 3)
    assert first == "serving_default" and [*plain] == ["text"]
    assert second == "sample" and batch == rows[1:]
    assert drawn["seed"].tolist() == [2, 0] and drawn["seed"].dtype == np.int64
    assert drawn["temperature"].tolist() == [1.0, 1.0] and drawn["temperature"].dtype == np.float32
