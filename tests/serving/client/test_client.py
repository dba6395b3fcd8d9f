"""The client: its command line, unexpected answers, and those of a real server."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from serving import tensors
from serving.client import Client, command
from serving.messages import PREDICT, PredictRequest, PredictResponse
from tests.conftest import ROOT, cli


class Fake(grpc.GenericRpcHandler):
    """A server in this process that answers with `answer`: {output: array}, bytes, or None for a correct one."""

    def __init__(self):
        self.answer, self.requests = None, []

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.predict) if details.method == PREDICT else None

    def predict(self, data, context):
        request = PredictRequest.FromString(data)
        self.requests.append({name: tensors.to_array(proto).tolist() for name, proto in request.inputs.items()})
        rows = len(next(iter(self.requests[-1].values())))
        if isinstance(self.answer, bytes):
            return self.answer
        if self.answer is None:
            return respond(sentiment(rows))
        return respond(self.answer)


def respond(outputs):
    response = PredictResponse()
    for name, value in outputs.items():
        tensors.fill(response.outputs[name], value)
    return response.SerializeToString()


def sentiment(rows):
    labels, half = [[b"negative", b"positive"]] * rows, np.full([rows], 0.5, np.float32)
    return {"label": [b"positive"] * rows, "labels": labels, "score": half, "probabilities": np.stack([half, half], 1)}


@pytest.fixture(scope="module")
def handler():
    handler = Fake()
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    handler.address = f"localhost:{server.add_insecure_port('localhost:0')}"
    server.start()
    yield handler
    server.stop(None)


@pytest.fixture
def ask(handler, capsys):
    def ask(*arguments, answer=None):
        handler.answer, handler.requests = answer, []
        try:
            command.main([*arguments, f"--server={handler.address}"])
            status = 0
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return ask


@pytest.mark.parametrize("arguments", [["--text", "one", "two"], ["--text", "one", "--text", "two"]], ids=len)
def test_several_texts_are_several_rows(ask, handler, arguments):
    status, out, err = ask("sentiment", *arguments)
    assert (status, err) == (0, "") and [json.loads(line)["text"] for line in out.splitlines()] == ["one", "two"]
    assert handler.requests == [{"text": [b"one", b"two"]}]
    ask("sentiment", *arguments, "--batch_size=1")
    assert handler.requests == [{"text": [b"one"]}, {"text": [b"two"]}]


def test_fields_of_pairs_and_words(ask, handler):
    ask("nli", "--premise", "a", "b", "--hypothesis", "c", "--hypothesis", "d")
    assert handler.requests == [{"premise": [b"a", b"b"], "hypothesis": [b"c", b"d"]}]
    ask("tagging", "--words", "a", "film")
    assert handler.requests == [{"words": [[b"a", b"film"]]}]
    for arguments, text in (
        (
            ["nli", "--premise", "a", "b", "--hypothesis", "c"],
            "expected as many of each, received 2 --premise, 1 --hypothesis",
        ),
        (
            ["tagging", "--words", "a", "--words", "b"],
            "--words: expected once, for one row is all of it; received 2 times",
        ),
        (["sentiment", "--text"], "argument --text: expected at least one argument"),
    ):
        status, out, err = ask(*arguments)
        assert (status, out, err.count("\n")) == (2, "", 1) and text in err, err
        assert not handler.requests


@pytest.mark.parametrize("timeout", ["inf", "nan", "0", "-1", "1e300", "soon"])
def test_timeouts(ask, timeout):
    status, out, err = ask("sentiment", "--text=a", f"--timeout={timeout}")
    assert (
        (status, out, err.count("\n")) == (2, "", 1)
        and "--timeout: " in err
        and timeout.replace("1e300", "1e+300") in err
    )
    assert ask("sentiment", "--text=a", "--timeout=1e8")[0] == 0


UNEXPECTED = [
    (sentiment(1), "expected 2 rows of output", "1]"),
    (sentiment(3), "expected 2 rows of output", "[3"),
    (sentiment(2) | {"score": np.float32(1)}, "expected 2 rows of output score, received float32 []"),
    (sentiment(2) | {"score": [b"a", b"b"]}, "expected output score to be floats of 1 dimensions, received string [2]"),
    (sentiment(2) | {"label": np.ones([2], np.int64)}, "expected output label to be strings of 1 dimensions, received int64 [2]"),
    (sentiment(2) | {"label": [[b"a"], [b"b"]]}, "expected output label to be strings of 1 dimensions, received string [2, 1]"),
    (sentiment(2) | {"labels": [[b"a"], [b"b"]]}, "expected an answer for sentiment, received outputs that are none"),
    (sentiment(2) | {"label": [b"a\xff", b"b"]}, "expected texts of UTF-8, received b'a\\xff'"),
    ({"label": [b"a", b"b"]}, "is none for sentiment: no output 'labels'"),
    ({}, "is none for sentiment: no output"),
    (b"\xff", "INTERNAL"),
    (PredictResponse(outputs={"label": {"dtype": 7, "tensor_shape": {"dim": [{"size": 2**62}]}}}).SerializeToString(),
     "output label is not a tensor: expected at most"),
]  # fmt: skip


@pytest.mark.parametrize("case", UNEXPECTED, ids=lambda case: case[1][:60])
def test_unexpected_answers(ask, handler, case):
    answer, *texts = case
    status, out, err = ask("sentiment", "--text", "one", "two", answer=answer)
    assert (status, out, err.count("\n")) == (1, "", 1) and handler.address in err and "defect" not in err, err
    assert all(text in err for text in texts), err


def test_numbers_that_json_lacks(ask):
    answer = sentiment(1) | {
        "score": np.array([np.nan], np.float32),
        "probabilities": np.array([[np.inf, -np.inf]], np.float32),
    }
    status, out, _ = ask("sentiment", "--text=a", answer=answer)
    row = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert status == 0 and row["score"] is None and row["probabilities"] == {"negative": None, "positive": None}


def test_errors_of_several_lines(ask, handler, monkeypatch):
    def fails(data, context):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "one\n\t [[two]]")

    monkeypatch.setattr(handler, "predict", fails)
    assert ask("sentiment", "--text=a")[2].endswith(": INVALID_ARGUMENT: one [[two]]\n")


def test_texts_that_end_in_nul(ask, handler):
    ask("sentiment", "--text", "a")
    Client(handler.address).predict("m", {"text": ["b\0"]})
    assert handler.requests[-1] == {"text": [b"b\0"]}
    assert round_trip(b"ab\0") == [b"ab\0"]


def round_trip(value):
    response = PredictResponse()
    tensors.fill(response.outputs["x"], value)
    return tensors.to_array(response.outputs["x"]).ravel().tolist()


def run_client(*arguments):
    """Runs the client in a process of its own; returns (exit status, standard output, standard error)."""
    command = [sys.executable, "-m", "serving.client", *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


def test_answers_as_predict_does(server, run_folder, tmp_path, capsys):
    rows = [{"text": text} for text in ("a good film", "坏 片", "", "very very bad 👍")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, expected, _ = cli(capsys, "predict", run_folder, "--input", tmp_path / "rows.jsonl", "--batch_size", "3")
    flags = ("--server", server.address, "--input", tmp_path / "rows.jsonl", "--batch_size", "3")
    assert run_client("sentiment", *flags) == (0, expected, "")
    assert run_client("sentiment", *flags, "--output", tmp_path / "out.jsonl") == (0, "", "")
    assert (tmp_path / "out.jsonl").read_text() == expected
    status, out, _ = run_client("sentiment", "--server", server.address, "--text", "a good film")
    assert status == 0 and json.loads(out)["label"] == "positive"


def test_mistakes_are_one_line(server, tmp_path, capsys):
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"texts": "b"}\n')
    for arguments, status, text in (
        (("sentiments",), 2, "invalid choice: 'sentiments'"),
        (("sentiment",), 2, "expected --text, or --input FILE"),
        (("sentiment", "--input", tmp_path / "none"), 2, "cannot be read"),
        (("sentiment", "--input", tmp_path / "bad.jsonl"), 2, "bad.jsonl:2: expected the fields text, found texts"),
        (("sentiment", "--text", "a", "--server", "localhost"), 2, "--server: expected host:port, received localhost"),
        (
            ("sentiment", "--text", "a", "--server", server.address, "--output", tmp_path),
            2,
            "expected a file, found a folder",
        ),
        (("sentiment", "--text", "a", "--server", server.address, "--model", "x"), 1, "NOT_FOUND: Servable not found"),
        (("sentiment", "--text", "a", "--server", "localhost:9"), 1, "localhost:9: UNAVAILABLE"),
    ):
        with pytest.raises(SystemExit) as stop:
            command.main([*map(str, arguments)])
        out, err = capsys.readouterr()
        assert (stop.value.code, out, err.count("\n")) == (status, "", 1) and text in err, (arguments, err)


def test_failed_answers_leave_the_output_file(tmp_path):
    (tmp_path / "out.jsonl").write_text("precious\n")
    status, _, err = run_client(
        "sentiment", "--text", "a", "--server", "localhost:9", "--output", tmp_path / "out.jsonl"
    )
    assert status == 1 and "UNAVAILABLE" in err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious\n"]
