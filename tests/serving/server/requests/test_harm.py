"""No request crashes, blocks or exhausts the server: each gets the proper code, and others are still answered."""

import threading
import time

import grpc
import numpy as np
import pytest

from serving.messages import PREDICT, PredictResponse, TensorProto
from tests.conftest import Server
from tests.serving.harm import BOOL, FLOAT, STRING, method, request, tensor, texts

LIMITS = {"max_request_bytes": 2 * 2**20, "max_tensor_bytes": 2**22, "max_rows": 500, "max_bytes_under_way": 3 * 2**20}


@pytest.fixture(scope="module")
def server(odd):
    flags = [f"--{name}={value}" for name, value in LIMITS.items()]
    server = Server("--model_name=odd", f"--model_base_path={odd}", "--grpc_max_threads=4", *flags)
    yield server
    assert server.stop() == 0, server.log


@pytest.fixture
def ask(server):
    """Returns a function from a request to (code, message or {output: proto}); it checks that the server still answers."""
    unlimited = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.address, options=unlimited) as channel:

        def ask(inputs, signature, **options):
            data = inputs if isinstance(inputs, bytes) else request("odd", inputs, signature)
            try:
                answer = "OK", PredictResponse.FromString(method(channel)(data, timeout=10, **options)).outputs
            except grpc.RpcError as error:
                answer = error.code().name, error.details()
            assert method(channel)(request("odd", {"text": texts(b"7")}, "number"), timeout=10)
            return answer

        yield ask


def memory(server, field="VmRSS"):
    """Returns a field of the server's /proc status, in MB."""
    with open(f"/proc/{server.process.pid}/status") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith(field))


@pytest.mark.parametrize("rank", [32, 33, 64, 65, 253, 254, 255, 60_000])
def test_dimensions(ask, rank):
    """TensorFlow has at most 254, its reshape 253; arrays have 64, and strings beyond 32 end the process."""
    for name, proto, field, signature in (
        ("text", tensor(STRING, [1] * rank, string_val=[b"a"]), "string_val", "same"),
        ("x", tensor(BOOL, [1] * rank, bool_val=[True]), "bool_val", "negate"),
    ):
        code, answer = ask({name: proto}, signature)
        if rank <= 253:
            given = answer["y" if name == "text" else "x"]
            assert code == "OK" and len(given.tensor_shape.dim) == rank
            assert getattr(given, field) == getattr(proto, field)
        else:
            expected = "too many dimensions: must be < 254" if rank == 254 else f"tensor parsing error: {name}"
            assert code == "INVALID_ARGUMENT" and answer.startswith(expected)


def test_dimensions_of_an_answer(ask):
    shape = lambda rank: {"text": texts(b"a"), "shape": tensor(3, [rank], int_val=[1] * rank)}
    for rank in (0, 1, 32, 33, 65, 253):
        code, answer = ask(shape(rank), "shaped")
        assert code == "OK" and len(answer["y"].tensor_shape.dim) == rank and list(answer["y"].string_val) == [b"a"]
    assert ask(shape(254), "shaped")[0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("size", [2**62, -1])
def test_sizes_that_overflow_take_no_time(ask, size):
    began = time.monotonic()
    assert ask({"text": tensor(STRING, [size] * 60_000)}, "same") == ("INVALID_ARGUMENT", "tensor parsing error: text")
    assert time.monotonic() - began < 2  # it took 11 s


def test_refused_tensors_are_not_built(ask, server):
    """A few bytes that describe gigabytes are refused by their name, type or size."""
    large = tensor(2, [2**26], double_val=[1.0])
    peak = memory(server, "VmHWM")
    code, message = ask({f"x{i}": large for i in range(20)}, "same")
    assert code == "INVALID_ARGUMENT" and message.startswith("input size does not match signature: 20!=1")
    assert ask({"x": large}, "same")[0] == "INVALID_ARGUMENT"
    expected = "Expects arg[0] to be string but double is provided"
    assert ask({"text": large}, "same") == ("INVALID_ARGUMENT", expected)
    expected = "expected inputs of at most 4194304 bytes (--max_tensor_bytes), received shapes of 268435456"
    assert ask({"x": tensor(FLOAT, [2**26], float_val=[1.0])}, "total") == ("RESOURCE_EXHAUSTED", expected)
    expected = "expected inputs of at most 4194304 bytes (--max_tensor_bytes), received shapes of 449999991"
    text = tensor(STRING, [450, 10], string_val=[b"a" * 99_936])  # one text, repeated
    assert ask({"text": text}, "same") == (
        "RESOURCE_EXHAUSTED",
        expected.replace("449999991", str(4500 * 64 + 4499 * 99_936)),
    )
    assert memory(server, "VmHWM") - peak < 100


def test_rows(ask):
    assert ask({"text": tensor(STRING, [500])}, "same")[0] == "OK"
    expected = "input text: expected at most 500 rows of strings (--max_rows), received 501"
    assert ask({"text": tensor(STRING, [501])}, "same") == ("RESOURCE_EXHAUSTED", expected)
    assert ask({"x": tensor(FLOAT, [501])}, "total")[0] == "OK"  # only the bytes of numbers count


def test_a_message_counts_decompressed(ask, server):
    peak = memory(server, "VmHWM")
    data = request("odd", {"text": texts(b"\0" * 200_000_000)}, "same")
    for compression in (grpc.Compression.Gzip, grpc.Compression.NoCompression):
        code, message = ask(data, "same", compression=compression)
        assert code == "RESOURCE_EXHAUSTED" and "larger than max" in message
    assert memory(server, "VmHWM") - peak < 100


def test_many_small_fields(ask, server):
    """Hundreds of thousands of names, outputs and fields take little time, and give a short message."""
    began = time.monotonic()
    empty = tensor(FLOAT, [])
    data = request("odd", {"text": texts(b"a")}, "same")
    data += b"".join(b"\x12\x09\x0a\x05%05d\x12\x00" % i for i in range(99_999))
    code, message = ask(data, "same")
    assert code == "INVALID_ARGUMENT" and "100000!=1" in message and len(message.encode()) < 1100
    assert ask({"中" * 1000: empty}, "same")[0] == "INVALID_ARGUMENT"  # and the message fits gRPC's metadata
    assert ask(request("odd", {"text": texts(b"a")}, "same") + b"\x1a\x01y" * 500_000, "")[1].startswith(
        "duplicate output"
    )
    assert ask(b"\xff" * 1000, "") == (
        "INVALID_ARGUMENT", "expected a tensorflow.serving.PredictRequest, received 1000 bytes that are none"
    )  # fmt: skip
    assert time.monotonic() - began < 10


def test_bytes_of_all_requests_under_way(ask, server):
    """A single request may take any number of bytes; one that exceeds the sum is told to try again."""
    large = {"text": texts(*[b"a" * 3300] * 500)}  # 1.65 MB and its tensor, half a second
    with grpc.insecure_channel(server.address) as channel:
        slow = method(channel).future(request("odd", large, "slow"), timeout=30)
        time.sleep(0.2)
        code, message = ask({"text": texts(*[b"a" * 3000] * 500)}, "same")
        assert slow.result()
    assert code == "UNAVAILABLE" and "(--max_bytes_under_way)" in message
    assert ask({"text": texts(*[b"a" * 3000] * 500)}, "same")[0] == "OK"


def test_calls_without_a_message(ask, server):
    """More of them than threads; each used to occupy a thread forever."""
    never = threading.Event()

    def nothing():
        never.wait()
        yield b""

    with grpc.insecure_channel(server.address) as channel:
        calls = [channel.stream_unary(PREDICT).future(nothing()) for _ in range(300)]
        deadline = time.monotonic() + 20
        while not any(call.done() for call in calls):
            assert time.monotonic() < deadline, "none was ended"
            ask({"text": texts(b"a")}, "same")
        for call in calls:
            call.cancel()
        never.set()


def test_invalid_bools(ask):
    """TensorFlow Serving accepts only 0 and 1."""
    for content in (b"\x02", b"\xff"):
        answer = ask({"x": tensor(BOOL, [1], tensor_content=content)}, "negate")
        assert answer == ("INVALID_ARGUMENT", "tensor parsing error: x")
    code, outputs = ask({"x": tensor(BOOL, [2], tensor_content=b"\0\1")}, "negate")
    assert code == "OK" and list(outputs["y"].bool_val) == [True, False]


def test_strings_come_back_whole(ask):
    for value in (b"ab\0", b"\0\0", b"", b"\xff\0"):
        code, outputs = ask({"text": tensor(STRING, [], string_val=[value])}, "same")
        assert code == "OK" and list(outputs["y"].string_val) == [value] and not outputs["y"].tensor_shape.dim


@pytest.mark.parametrize("signature", ["number", "parse", "claim"])
def test_an_error_that_quotes_bytes(ask, signature):
    """The message is not UTF-8; the code used to be INTERNAL."""
    code, message = ask({"text": texts(b"ab\xff\xfe")}, signature)
    assert code == "INVALID_ARGUMENT" and ("ab\ufffd" in message or "ab\\377" in message)


def test_long_messages_are_truncated():
    from serving.server.refusal import cut

    assert cut("a" * 1024) == "a" * 1024
    for text in ("a" * 1025, "中" * 9999, "\ud800" * 2000):
        assert len(cut(text).encode()) <= 1024 + len("...TRUNCATED") and cut(text).endswith("...TRUNCATED")


def test_integers_wrap_around_in_their_type():
    from serving import tensors

    for dtype, value, expected in ((4, 300, 44), (6, 200, -56), (17, -1, 65535), (5, 2**15, -(2**15))):
        array = tensors.to_array(TensorProto(dtype=dtype, int_val=[value]))
        assert array == np.array(expected, array.dtype)
    assert tensors.to_array(TensorProto(dtype=19, half_val=[0x3C00 + 2**16])) == 1
