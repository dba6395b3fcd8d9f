"""The REST API against TensorFlow Serving's documentation and error texts, with the services in this process."""

import base64
import gzip
import http.client
import json
import math
import socket
import threading

import numpy as np
import pytest

from serving.server.models.model import Model
from serving.server.models.versions import Models
from serving.server.observation import metrics, prometheus
from serving.server.refusal import Refused
from serving.server.requests.gate import Gate
from serving.server.requests.limits import Limits
from serving.server.requests.services import Services
from serving.server.transport import json_answers
from serving.server.transport.rest import Rest
from tests.conftest import wait_for
from tests.serving.saved import save_half_plus_two, save_types

TYPES = ("float32", "float64", "int32", "int8", "uint8", "int64", "uint32", "uint64", "bool", "string", "float16",
         "complex64")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rest")
    save_half_plus_two(folder / "half_plus_two" / "123")
    save_types(folder / "types" / "1", TYPES)
    return folder


@pytest.fixture(scope="module")
def models(folder):
    models = Models(
        [Model("half_plus_two", folder / "half_plus_two", labels={"stable": 123}), Model("types", folder / "types")]
    )
    models.update()
    return models


class Api:
    """A server, and what asks it."""

    def __init__(self, models, *, running=2, seconds=30.0, **limits):
        limits = Limits(**limits)
        self.gate = Gate(running, limits)
        self.services = Services(models, limits)
        metrics.watch(self.gate, models)
        listening = socket.socket()
        listening.bind(("localhost", 0))
        rest = Rest(self.services, self.gate, limits, seconds=seconds, threads=8, cors=True, metrics_path="/metrics")
        rest.start(listening)
        self.port = listening.getsockname()[1]

    def ask(self, path, body=None, method=None, headers=None):
        """Returns (status, text)."""
        connection = http.client.HTTPConnection("localhost", self.port, timeout=30)
        body = json.dumps(body) if isinstance(body, (dict, list)) else body
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers or {})
        response = connection.getresponse()
        self.headers = response.headers
        text = response.read().decode()
        connection.close()
        return response.status, text

    def answer(self, path, body=None, **more):
        status, text = self.ask(path, body, **more)
        assert status == 200, text
        return json.loads(text)

    def error(self, path, body=None, **more):
        """Returns (status, message)."""
        status, text = self.ask(path, body, **more)
        return status, json.loads(text)["error"]


@pytest.fixture(scope="module")
def api(models):
    return Api(models)


HALF = "/v1/models/half_plus_two"
IDLE = {"open": 0, "running": 0, "waiting": 0}


def test_the_examples_of_its_documentation(api):
    assert api.answer(f"{HALF}:predict", {"instances": [1.0, 2.0, 5.0]}) == {"predictions": [2.5, 3.0, 4.5]}
    assert api.headers["Content-Type"] == "application/json" and api.headers["Access-Control-Allow-Origin"] == "*"
    text = '{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}'  # byte for byte
    assert api.ask(f"{HALF}:predict", {"instances": [1.0, 2.0, 5.0]}) == (200, text)
    assert api.answer(f"{HALF}:predict", {"inputs": {"x": [[1], [2.5]]}}) == {"outputs": [[2.5], [3.25]]}
    assert api.ask(f"{HALF}:predict", {"inputs": [1.0]})[1] == '{\n    "outputs": [\n        2.5\n    ]\n}'
    regress = {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]}
    assert api.answer(f"{HALF}:regress", regress) == {"results": [2.5, 3.0]}
    classify = {"signature_name": "classify_with_classes", "context": {"x": 8.0}, "examples": [{"x": [1.0]}, {}]}
    assert api.answer(f"{HALF}:classify", classify) == {"results": [[["low", 2.5]], [["high", 6.0]]]}
    status = {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in (
        HALF,
        f"{HALF}/versions/123",
        f"{HALF}/labels/stable",
        HALF.upper().replace("HALF_PLUS_TWO", "half_plus_two"),
    ):
        assert api.answer(path) == {"model_version_status": [status]}
    metadata = api.answer(f"{HALF}/metadata")
    assert metadata["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "123"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"]["tensor_shape"]["dim"][0] == {"size": "-1", "name": ""}


def test_versions_labels_and_names(api):
    body = {"instances": [1]}
    for path in ("/versions/123", "/labels/stable", "/labels/sta%62le", "/VERSIONS/00123"):
        assert api.answer(f"{HALF}{path}:PREDICT", body) == {"predictions": [2.5]}
    assert api.answer("http://a.b/v1/models/half%5fplus_two:predict?x=1", body) == {"predictions": [2.5]}
    assert api.error(f"{HALF}/versions/7:predict", body) == (
        404,
        "Servable not found for request: Specific(half_plus_two, 7)",
    )
    assert api.error(f"{HALF}/labels/new:predict", body) == (400, "Unrecognized servable version label: new")
    assert api.error("/v1/models/no:predict", body) == (404, "Servable not found for request: Latest(no)")
    assert api.error("/v1/models/no") == (404, "Could not find any versions of model no")
    number = "9" * 30
    assert api.error(f"{HALF}/versions/{number}:predict", body) == (
        400,
        f"Failed to convert version: {number} to numeric.",
    )


PATHS = [
    ("/v1/models", None, 400, "Missing model name in request."),
    ("/v1/models/a:b:predict", "{}", 400, "Malformed request: POST /v1/models/a:b:predict"),
    ("/v1/nothing", None, 400, "Malformed request: GET /v1/nothing"),
    (HALF, "{}", 400, f"Malformed request: POST {HALF}"),
    ("/elsewhere", None, 404, "Not found: /elsewhere"),
]


@pytest.mark.parametrize("path, body, status, message", PATHS)
def test_paths(api, path, body, status, message):
    assert api.error(path, body) == (status, message)


WRONG = [
    ("", "JSON Parse error: The document is empty"),
    ("[]", "JSON Value: [] Is not object"),
    ('{"instances": [1.0, ]}', "JSON Parse error: Invalid value. at offset: "),
    ('{"instances": [1.0', "JSON Parse error: Missing a comma or a bracket after an element. at offset: 18"),
    ('{instances: 1}', "JSON Parse error: Missing a name for object member. at offset: 1"),
    ("[" * 100_000, "JSON Parse error: expected fewer lists inside each other"),
    ('{"instances": [1' + "0" * 400 + "]}", "JSON Parse error: Number too big to be stored in double."),
    ('{"instances": [1' + "0" * 9000 + "]}", "JSON Parse error: Number too big to be stored in double."),
    ('["\\ud83d"]', 'JSON Value: ["\ufffd"] Is not object'),
    (b'["\xff"]', 'JSON Value: ["\ufffd"] Is not object'),
    ('{"signature_name": "\\ud83d", "instances": [1]}', 'Serving signature name: "\ufffd" not found in signature def'),
    ({"x": 1}, "Missing 'inputs' or 'instances' key"),
    ({"signature_name": 1}, 'JSON Value: {\n    "signature_name": 1\n} not formatted correctly. \'signature_name\' key must be a string value.'),
    ({"signature_name": "q", "instances": [1]}, 'Serving signature name: "q" not found in signature def'),
    ({"instances": 1}, 'JSON Value: {\n    "instances": 1\n} Expecting \'instances\' to be an list/array'),
    ({"instances": []}, "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
    ({"instances": [1], "inputs": [1]}, "expecting only one of 'inputs' or 'instances' keys to exist "),
    ({"instances": [1, "a"]}, "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\" Type: String is not of expected type: float"),
    ({"instances": [True]}, "JSON Value: true Type: True is not of expected type: float"),
    ({"instances": [None]}, "JSON Value: null Type: Null is not of expected type: float"),
    ({"instances": [[1, 2], [1]]}, "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2 but got: 1"),
    ({"instances": [[[1], [2]], [[1, 2]]]}, "Error: INVALID_ARGUMENT: Expecting shape [2,1] but got: [1,2]"),
    ({"instances": [[1, [2]]]}, "Encountered list at unexpected level: 1 expected < 1"),
    ({"instances": [[[1], 2]]}, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ({"instances": [[[1, 1], [2]]]}, "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
    ({"instances": [{"x": 1}, 2]}, "Expecting object but got list at item 1 of input list"),
    ({"instances": [1, {"x": 2}]}, "Expecting value/list but got object at item 1 of input list"),
    ({"instances": [{"x": 1, "z": 2}]}, "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: z"),
    ({"instances": [{"x": 1}, {}]}, "Failed to process element: 1 of 'instances' list. JSON object: {} keys must be equal to: x"),
    ({"inputs": {"z": 1}}, "Missing named input: x in 'inputs' object."),
    ({"inputs": [[1], 2]}, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ({"instances": [{"b64": "AAAA"}]}, "is not of expected type: float"),
]  # fmt: skip


@pytest.mark.parametrize("body, message", WRONG, ids=[message[:50] for _, message in WRONG])
def test_wrong_bodies(api, body, message):
    status, error = api.error(f"{HALF}:predict", body)
    assert status == 400 and message in error, error


EXAMPLES = [
    ({"signature_name": "regress_x_to_y"}, "When method is classify, key 'examples' is expected and was not found"),
    ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
    ({"examples": []}, "'examples' value is an empty array"),
    ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
    ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
    ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
    ({"examples": [{"x": [1.0, 1]}]}, "Unexpected element type in feature: x expecting type: float"),
    ({"examples": [{"x": [1, "a"]}]}, "Unexpected element type in feature: x expecting type: int64"),
    ({"examples": [{"x": 2**63}]}, "Feature: x has uint64_t element. Only int64_t is supported."),
    ({"examples": [{"x": {"b64": "?"}}]}, "Unable to base64 decode"),
    ({"signature_name": "q", "examples": [{"x": 1.0}]}, "No signature was found with the name: q"),
    (b'{"signature_name": "q\xff", "examples": [{"x": 1.0}]}', "No signature was found with the name: q\ufffd"),
]


@pytest.mark.parametrize("body, message", EXAMPLES, ids=[message[:50] for _, message in EXAMPLES])
def test_wrong_examples(api, body, message):
    status, error = api.error(f"{HALF}:regress", body)
    assert status == 400 and message in error, error


SAME = [
    ("float32", [0.1, 1e10, -0.0, 3.14159274, 1e-7], None),
    ("float64", [0.1, 1e300, 2 / 3], None),
    ("int32", [[1, -(2**31)], [2**31 - 1, 0]], None),
    ("int8", [300, -1], [44, -1]),  # 32 bits on the wire, which wrap around
    ("uint8", [7], None),
    ("int64", [2**63 - 1, -(2**63)], None),
    ("uint32", [2**32 - 1], None),
    ("uint64", [2**64 - 1], None),
    ("bool", [True, False], None),
    ("string", ["a", "中文 😀", "", 'quo"te\n'], None),
    ("float16", [0.5, 65504.0], None),
    ("int32", [], None),
    ("int32", 7, None),
    ("float32", [[[]]], None),
]


@pytest.mark.parametrize("name, values, expected", SAME)
def test_types(api, name, values, expected):
    body = {"signature_name": name, "inputs": {"x": values}}
    assert api.answer("/v1/models/types:predict", body) == {"outputs": values if expected is None else expected}
    if isinstance(values, list) and values:
        body = {"signature_name": name, "instances": [{"x": value} for value in values]}
        assert api.answer("/v1/models/types:predict", body) == {"predictions": values if expected is None else expected}


def test_types_that_do_not_fit(api):
    ask = lambda name, values: api.error("/v1/models/types:predict", {"signature_name": name, "inputs": values})
    for name, value in (("int32", 2**31), ("int32", 1.0), ("int64", 2**63), ("uint32", -1), ("bool", 1), ("string", 1)):
        status, error = ask(name, [value])
        assert status == 400 and f"is not of expected type: {name}" in error, error
    assert ask("complex64", [1.0])[1] == "Conversion of JSON Value: 1.0 to type: complex64"
    assert ask("string", [{"b64": "a*b"}]) == (400, "Unable to base64 decode")
    assert "not formatted correctly for base64 data" in ask("string", [{"b64": "AA==", "c": 1}])[1]


def test_special_numbers_and_bytes(api):
    body = '{"signature_name": "float32", "inputs": [NaN, Infinity, -Infinity]} and what follows'
    numbers = api.answer("/v1/models/types:predict", body)["outputs"]
    assert math.isnan(numbers[0]) and numbers[1:] == [math.inf, -math.inf]
    encoded = base64.b64encode("é".encode()).decode()
    for value in ({"b64": encoded}, {"b64": encoded.rstrip("=")}):
        assert api.answer("/v1/models/types:predict", {"signature_name": "string", "inputs": [value]}) == {
            "outputs": ["é"]
        }
    status, error = api.error("/v1/models/types:predict", b'{"signature_name": "string", "inputs": ["\xff"]}')
    assert status == 400 and "found b'\\xff'" in error  # it came through as it was; JSON has no place for it
    assert api.error("/v1/models/types:predict", '{"signature_name": "string", "inputs": ["\\ud800"]}')[0] == 400


def test_written_numbers_are_those_of_tensorflow_serving():
    """Its tests' examples, and every float comes back."""
    values = np.array([0.2, 9000000, 0.00003, 1.0, 16777217, 1 / 3, 123456.7, 1e38, 1e-45], np.float32)
    assert json_answers.decimals(values)[:7] == [
        "0.2",
        "9e+06",
        "3e-05",
        "1.0",
        "16777216.0",
        "0.333333343",
        "123456.703",
    ]
    random = np.frombuffer(np.random.default_rng(0).bytes(40_000), np.float32)
    for array in (values, random[np.isfinite(random)], random.view(np.float64)[:4000]):
        back = np.array([float(text) for text in json_answers.decimals(array)]).astype(array.dtype)
        np.testing.assert_array_equal(back, array)


def test_rows_of_several_outputs():
    values = {
        "b_bytes": np.array([b"\xff", b""], object),
        "a": np.array([[1, 2], [3, 4]]),
        "c": np.array([True, False]),
    }
    text = json_answers.outputs(values, rows=True).decode()
    assert json.loads(text)["predictions"] == [
        {"a": [1, 2], "b_bytes": {"b64": "/w=="}, "c": True}, {"a": [3, 4], "b_bytes": {"b64": ""}, "c": False},
    ]  # fmt: skip
    assert text.startswith('{\n    "predictions": [\n        {\n            "a": [1, 2],\n            "b_bytes": ')
    columns = json.loads(json_answers.outputs(values, rows=False))["outputs"]
    assert columns["a"] == [[1, 2], [3, 4]] and columns["c"] == [True, False]
    for odd, message in (
        ({"a": np.float32(1)}, "Tensor name: a has no shape information "),
        ({"a": np.zeros(1), "b": np.zeros(2)}, "Tensor name: b has inconsistent batch size: 2 expecting: 1"),
        ({"a": np.zeros(1, np.complex64)}, "Failed to write JSON value for tensor type: complex64"),
        ({}, "Cannot convert empty tensor map to JSON"),
    ):
        with pytest.raises(Refused) as caught:
            json_answers.outputs(odd, rows=True)
        assert caught.value.message == message


def test_cors(api):
    assert api.ask(HALF, method="OPTIONS", headers={"Origin": "http://a.b"}) == (200, "")
    assert api.headers["Access-Control-Allow-Methods"] == "POST, GET"
    assert api.error(HALF, method="OPTIONS") == (400, "Origin header is missing in CORS preflight")


def test_packed_large_and_expected_bodies(models):
    api = Api(models, max_request_bytes=100_000)
    body = json.dumps({"instances": [1.0] * 10_000}).encode()
    expected = {"predictions": [2.5] * 10_000}
    assert api.answer(f"{HALF}:predict", gzip.compress(body), headers={"Content-Encoding": "gzip"}) == expected
    assert api.answer(f"{HALF}:predict", body, headers={"Expect": "100-continue"}) == expected
    assert api.answer(f"{HALF}:predict", iter([body[:50], body[50:]])) == expected  # in chunks
    large = json.dumps({"instances": [1.0] * 30_000}).encode()
    for sent, headers in ((large, {}), (iter([large]), {}), (gzip.compress(large), {"Content-Encoding": "gzip"})):
        status, error = api.error(f"{HALF}:predict", sent, headers=headers)
        assert status == 413 and "expected a body of at most 100000 bytes (--max_request_bytes)" in error
    status, error = api.error(f"{HALF}:predict", b"not packed", headers={"Content-Encoding": "gzip"})
    assert status == 400 and error.startswith("malformed body: ")
    wait_for(lambda: api.gate.requests() == IDLE)
    assert api.gate.bytes_under_way == 0


def test_clients_that_go_and_requests_that_take_too_long(models, monkeypatch):
    inside, free, predict = threading.Event(), threading.Event(), Services.predict_json

    def held(services, request, spec):
        inside.set()
        assert free.wait(30)
        return predict(services, request, spec)

    monkeypatch.setattr(Services, "predict_json", held)
    api = Api(models, running=1, seconds=1.0)
    answers = []
    late = threading.Thread(target=lambda: answers.append(api.error(f"{HALF}:predict", {"instances": [1]})))
    late.start()
    assert inside.wait(10)
    with socket.create_connection(("localhost", api.port)) as connection:  # waits in the queue, and goes
        body = b'{"instances": [1]}'
        connection.sendall(
            b"POST %s:predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (HALF.encode(), len(body), body)
        )
        wait_for(lambda: api.gate.requests()["waiting"] == 1)
    wait_for(lambda: api.gate.requests()["waiting"] == 0)
    late.join(10)
    assert answers == [(504, "Timed out waiting for notification")]
    free.set()
    wait_for(lambda: api.gate.requests() == IDLE)
    assert api.answer(f"{HALF}:predict", {"instances": [1]}) == {"predictions": [2.5]}


def test_many_at_once(api):
    errors = []

    def ask(number):
        for i in range(20):
            value = number * 1000 + i
            if api_answer(value) != {"predictions": [value / 2 + 2]}:
                errors.append(value)

    api_answer = lambda value: api.answer(f"{HALF}:predict", {"instances": [value]})
    threads = [threading.Thread(target=ask, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    wait_for(lambda: api.gate.requests() == IDLE)


def test_malformed_http_and_connections_without_a_request(api, monkeypatch, capfd):
    monkeypatch.setattr("serving.server.transport.rest.MAX_SILENT", 3)
    idle = [socket.create_connection(("localhost", api.port)) for _ in range(6)]
    for sent in (
        b"\x00\xff" * 100 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
    ):
        with socket.create_connection(("localhost", api.port), timeout=10) as connection:
            connection.sendall(sent)
            assert connection.recv(100).startswith(b"HTTP/1.")
    with socket.create_connection(("localhost", api.port), timeout=10) as connection:
        connection.sendall(b"GET /\xff HTTP/1.1\r\n\r\n")
        assert b" 400 " in connection.recv(100)
    assert capfd.readouterr().err == ""  # nobody fills the log with them
    idle[0].settimeout(20)
    assert idle[0].recv(1) == b""  # one of the oldest is closed
    for connection in idle:
        connection.close()
    assert api.answer(f"{HALF}:predict", {"instances": [1]}) == {"predictions": [2.5]}


def test_a_server_that_ends(models):
    api = Api(models)
    api.gate.end(0)
    assert api.error(f"{HALF}:predict", {"instances": [1]}) == (503, "the server is ending")
    assert api.answer(HALF)["model_version_status"][0]["state"] == "AVAILABLE"


def test_metrics(models):
    api = Api(models)
    read = lambda: dict(line.rsplit(" ", 1) for line in api.ask("/metrics")[1].splitlines() if line[0] != "#")
    before = read()
    api.answer(f"{HALF}:predict", {"instances": [1]})
    api.answer(f"{HALF}:regress", {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]})
    api.error(f"{HALF}:predict", {"instances": []})
    wait_for(lambda: api.gate.requests() == IDLE)
    after = read()
    grown = {name: float(after[name]) - float(before.get(name, 0)) for name in after}
    model = 'model_name="half_plus_two"'
    assert grown[f':tensorflow:serving:request_count{{{model},status="OK"}}'] == 2
    assert grown[f':tensorflow:serving:request_count{{{model},status="INVALID_ARGUMENT"}}'] == 1
    assert grown[f':tensorflow:serving:request_latency_count{{{model},API="predict",entrypoint="REST"}}'] == 1
    assert (
        grown[f':tensorflow:serving:request_latency_bucket{{{model},API="predict",entrypoint="REST",le="+Inf"}}'] == 1
    )
    assert (
        f':tensorflow:serving:request_latency_bucket{{{model},API="predict",entrypoint="REST",le="104.976"}}' in after
    )
    assert grown[f':tensorflow:serving:runtime_latency_count{{{model},API="Regress",runtime="TF1"}}'] == 1
    assert grown[':tensorflow:serving:request_example_count_total{model="half_plus_two"}'] == 2
    labels = f'{model},version="123",signature_name="regress_x_to_y",method="regress",entrypoint="REST",status="OK"'
    assert grown[f"lineage_requests_total{{{labels}}}"] == 1
    assert after['lineage_requests_under_way{state="running"}'] == "0"
    assert after[f'lineage_model_version_state{{{model},version="123"}}'] == "30"
    assert float(after["process_resident_memory_bytes{}"]) > 10**7


def test_a_metric_has_a_bounded_number_of_cells(monkeypatch):
    monkeypatch.setattr(prometheus, "REGISTRY", {})
    monkeypatch.setattr(prometheus, "MAX_CELLS", 3)
    counter = prometheus.Counter("a", "b", ("name",))
    for i in range(10):
        counter.add(1, f'{i}"\\\n')
    assert counter.lines() == [
        r'a{name="0\"\\\n"} 1',
        r'a{name="1\"\\\n"} 1',
        r'a{name="2\"\\\n"} 1',
        'a{name="other"} 7',
    ]


def test_a_metric_takes_no_names_of_any_length(monkeypatch):
    monkeypatch.setattr(prometheus, "REGISTRY", {})
    counter = prometheus.Counter("a", "b", ("name",))
    for end in "xyz":
        counter.add(1, 2**20 * "m" + end)
    assert len(counter.lines()) == 1 and len(counter.lines()[0]) < 1100 and counter.first() == 3


def test_the_metrics_of_workers_whatever_a_model_is_called(monkeypatch):
    monkeypatch.setattr(prometheus, "REGISTRY", {})
    counter = prometheus.Counter("a", "b", ("name",))
    names = ("x\u2028# HELP evil", "x\x85", "x\r", "x\n", "x")
    for name in names:
        counter.add(1, name)
    page = prometheus.joined({0: prometheus.page(), 1: b"", 2: prometheus.page()}).decode()
    expected = [f'a{{worker="{worker}",name="{prometheus._escaped(name)}"}} 1' for worker in (0, 2) for name in names]
    assert page.split("\n") == ["# HELP a b", "# TYPE a counter", *expected, ""]
