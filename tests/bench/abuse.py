"""Harm done to a real server, by the ten thousand, with good requests in between: does it answer on, and answer right?

    python -m tests.bench.abuse [--requests 200000] [--threads 8] [--seconds 3600] [--only KIND] [--export DIR]

Starts `python -m serving.server` on 127.0.0.1, gRPC and REST, with two models: `sentiment`, the export in DIR (`python -m
serving.export RUN --to DIR`; without it, a tiny one is trained, half a minute), and `odd`, whose graph quotes its input in
errors. Then, in a loop: requests that once ended, froze or filled the server, or got a wrong answer; random bytes, good
requests with bytes changed, wrong shapes and types, 64 MB strings, as messages and as JSON; hundreds of connections, slow
senders; the base path away and back, folders with strange names, a new version now and then; and every third request a good
one, whose answer is compared with the first. Each must get one of the statuses that it may get; none of them says that the
server failed. At most so many requests and so many seconds. Prints its table last; ends with 1 if an answer was wrong or the server ended.
"""

import argparse
import collections
import http.client
import itertools
import json
import random
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import grpc

from serving import tensors
from serving.messages import PREDICT, PredictResponse
from tests.conftest import Server
from tests.serving.harm import BOOL, FLOAT, STRING, request, save_odd_model, tensor, texts

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
EVERY = 10  # rounds of events until a new version
MAX_ENDS = 5  # of the server, after which no more requests are sent
REFUSED = {"INVALID_ARGUMENT"}
TOO_MUCH = {"RESOURCE_EXHAUSTED"}
BUSY = {"UNAVAILABLE (busy)"}  # from --max_bytes_under_way: allowed while large requests are in progress
LATE = {"DEADLINE_EXCEEDED"}  # of requests that take seconds on an idle machine
# What a request with a few bytes changed may get
ANY = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", *BUSY}
BAD = {"400"}
ANY_HTTP = {"200", "400", "404", "413", "429", "503"}
METHODS = [
    f"/tensorflow.serving.{method}"
    for method in (
        "PredictionService/Predict", "PredictionService/Classify", "PredictionService/Regress",
        "PredictionService/MultiInference", "PredictionService/GetModelMetadata", "ModelService/GetModelStatus",
    )
]  # fmt: skip
SENTIMENT, TOTAL = "/v1/models/sentiment:predict", "/v1/models/odd:predict"

GOOD = request("sentiment", {"text": texts(b"a good film", "坏 片".encode(), b"")})
GOOD_JSON = json.dumps({"instances": ["a good film", "坏 片", ""]}).encode()
NULS = request("odd", {"text": tensor(STRING, [], string_val=[b"ab\0"])}, "same")


class Kind(NamedTuple):
    """One kind of request: it is sent, and returns the code or HTTP status that it got."""

    send: Callable[["Abuse", random.Random], str]
    expected: set[str]
    weight: float  # how often, compared with others


def grpc_kinds():
    """Returns {name: Kind} of gRPC."""
    asks = lambda data, expected, weight: Kind(lambda abuse, draw: abuse.code(PREDICT, data), expected, weight)
    string = lambda shape, **values: request("sentiment", {"text": tensor(STRING, shape, **values)})
    odd = lambda signature, **inputs: request("odd", inputs, signature)
    inputs = b"".join(b"\x12\x0a\x0a\x06%06d\x12\x00" % i for i in range(9999))
    gigabytes = tensor(2, [2**26], double_val=[1.0])
    numbers = lambda *values: odd("total", x=tensor(FLOAT, [len(values)], float_val=list(values)))
    packed = string([1], string_val=[b"\0" * 80_000_000])
    long = string([1], string_val=[b"good film " * 6_400_000])
    shaped = odd("shaped", text=texts(b"a"), shape=tensor(3, [33], int_val=[1] * 33))
    bases = [GOOD, NULS, shaped, numbers(1.0, 2.0), odd("parse", text=texts(b"")), odd("negate", x=tensor(BOOL, [1]))]
    return {
        "random bytes": Kind(
            lambda abuse, draw: abuse.code(draw.choice(METHODS), draw.randbytes(draw.randrange(300))), REFUSED, 60
        ),
        "good ones, bytes changed": Kind(
            lambda abuse, draw: abuse.code(draw.choice(METHODS[:5]), changed(draw.choice(bases), draw)), ANY, 60
        ),
        "unknown fields": asks(GOOD + b"\xfa\x3f\x03abc\xf0\x3f\x05", {"OK"}, 20),
        "wrong shape": asks(string([2, 2], string_val=[b"a"] * 4), REFUSED, 20),
        "wrong type": asks(request("sentiment", {"text": tensor(FLOAT, [1], float_val=[1.0])}), REFUSED, 20),
        "more values than the shape": asks(string([1], string_val=[b"a"] * 9), {"OK"}, 20),
        "NaN, infinities": asks(numbers(float("nan"), float("inf"), float("-inf")), {"OK"}, 20),
        "empty batch": asks(string([0]), {"OK"}, 20),
        "empty batch, 2^62 wide": asks(string([0, 2**62]), REFUSED, 20),
        "2^62 declared, none there": asks(string([2**62]), TOO_MUCH, 20),
        "invalid UTF-8 in a text": asks(string([2], string_val=[b"\xff\xfe good", b"\xed\xa0\x80"]), {"OK"}, 20),
        "invalid UTF-8 in a name": asks(b"\x0a\x04\x0a\x02\xff\xfe", REFUSED, 20),
        "33 dimensions": asks(string([1] * 33, string_val=[b"a"]), REFUSED, 20),
        "64 dimensions": asks(string([1] * 64, string_val=[b"a"]), REFUSED, 20),
        "255 dimensions": asks(string([1] * 255), REFUSED, 20),
        "30,000 dimensions of 2^62": asks(string([2**62] * 30_000), REFUSED, 2),
        "answer of 33 dimensions": asks(shaped, {"OK"}, 20),
        "20 unknown inputs of 0.5 GB": asks(request("sentiment", {f"x{i}": gigabytes for i in range(20)}), REFUSED, 5),
        "wrong type, 0.5 GB": asks(request("sentiment", {"text": gigabytes}), REFUSED, 5),
        "right type, 0.5 GB": asks(odd("total", x=tensor(FLOAT, [2**27], float_val=[1.0])), TOO_MUCH, 5),
        "200,000 texts in 30 bytes": asks(string([200_000]), TOO_MUCH, 1),
        "2,000 long texts": asks(string([2000], string_val=[b"good film " * 65] * 2000), {"OK"} | BUSY | LATE, 0.02),
        "10,000 unknown inputs": asks(request("sentiment", {"a": gigabytes}) + inputs, REFUSED, 2),
        "text of 64 MB": asks(long, {"OK"} | BUSY | LATE, 0.02),
        "80 MB of gzip": Kind(
            lambda abuse, draw: abuse.code(PREDICT, packed, compression=grpc.Compression.Gzip), TOO_MUCH, 0.02
        ),
        "no message": asks(b"\xff" * 99, REFUSED, 20),
        "bool of 2": asks(odd("negate", x=tensor(BOOL, [1], tensor_content=b"\x02")), REFUSED, 20),
        "bool of 255": asks(odd("negate", x=tensor(BOOL, [1], tensor_content=b"\xff")), REFUSED, 20),
        "error that quotes bytes (number)": asks(odd("number", text=texts(b"ab\xff\xfe")), REFUSED, 20),
        "error that quotes bytes (parse)": asks(odd("parse", text=texts(b"ab\xff\xfe")), REFUSED, 20),
        "error that quotes bytes (assert)": asks(odd("claim", text=texts(b"ab\xff\xfe")), REFUSED, 20),
        "NUL at the end": Kind(lambda abuse, draw: abuse.right({"y": [b"ab\0"]}, abuse.answer, NULS), {"OK"}, 20),
        "call without a message": Kind(Abuse.silent, {"CANCELLED", "DEADLINE_EXCEEDED"}, 1),
        "400 connections, half silent": Kind(lambda abuse, draw: abuse.connections("grpc"), {"held"}, 0.05),
        "unknown method": Kind(lambda abuse, draw: abuse.code("/a/b", draw.randbytes(9)), {"UNIMPLEMENTED"}, 5),
    }


def rest_kinds():
    """Returns {name: Kind} of REST."""
    posts = lambda body, expected, weight=20, path=SENTIMENT, **headers: Kind(
        lambda abuse, draw: abuse.status(path, body, headers), expected, weight
    )
    bases = [GOOD_JSON, b'{"signature_name": "total", "inputs": [1.0, -2.5e3]}', b'{"inputs": {"text": ["a"]}}']
    paths = [SENTIMENT, TOTAL, SENTIMENT.replace("predict", "classify"), TOTAL.replace("predict", "regress")]
    total = lambda values: b'{"signature_name": "total", "inputs": %s}' % values
    return {
        "REST: random bytes": Kind(
            lambda abuse, draw: abuse.status(draw.choice(paths), draw.randbytes(draw.randrange(300))), BAD, 60
        ),
        "REST: random JSON": Kind(
            lambda abuse, draw: abuse.status(draw.choice(paths), json.dumps(anything(draw)).encode()), BAD, 60
        ),
        "REST: good ones, bytes changed": Kind(
            lambda abuse, draw: abuse.status(draw.choice(paths), changed(draw.choice(bases), draw)), ANY_HTTP, 60
        ),
        "REST: random path": Kind(
            lambda abuse, draw: abuse.status(f"/v1/models/{draw.choice(['sentiment', 'x'])}{odd_path(draw)}", b"{}"),
            {"400", "404"},
            20,
        ),
        "REST: random HTTP": Kind(
            lambda abuse, draw: abuse.raw(draw.randbytes(draw.randrange(1, 300)) + b"\r\n\r\n"), {"400", "closed"}, 5
        ),
        "REST: unknown fields": posts(b'{"instances": ["a"], "more": {"a": [1]}}', {"200"}),
        "REST: wrong type": posts(b'{"instances": [1, true, null]}', BAD),
        "REST: wrong shape": posts(b'{"instances": [["a", "b"], ["c"]]}', BAD),
        "REST: another shape": posts(b'{"instances": [["a", "b"]]}', BAD),
        "REST: 10,000 lists in each other": posts(b'{"instances": ' + b"[" * 10_000, BAD),
        "REST: empty batch": posts(b'{"instances": []}', BAD),
        "REST: no columns": posts(b'{"inputs": []}', {"200"}),
        "REST: NaN, Infinity": posts(total(b"[NaN, Infinity, -Infinity]"), {"200"}, path=TOTAL),
        "REST: number of 10,000 digits": posts(total(b"[1" + b"0" * 10_000 + b"]"), BAD, path=TOTAL),
        "REST: invalid UTF-8": posts(b'{"instances": ["\xff\xfe"]}', {"200", "400"}),
        "REST: half a surrogate": posts(b'{"instances": ["\\ud800"]}', BAD),
        "REST: invalid base64": posts(b'{"instances": [{"b64": "%%%"}]}', BAD),
        "REST: packed, but is not": posts(b"not packed", BAD, **{"Content-Encoding": "gzip"}),
        "REST: 200,000 texts": posts(json.dumps({"inputs": [""] * 200_000}).encode(), {"429"}, 0.05),
        "REST: text of 64 MB": posts(
            b'{"instances": ["%s"]}' % (b"good film " * 6_400_000), {"200", "503", "504"}, 0.02
        ),
        "REST: text of 80 MB": posts(b'{"instances": ["%s"]}' % (b"\0" * 80_000_000), {"413"}, 0.02),
        "REST: sends slowly, and goes": Kind(lambda abuse, draw: abuse.slow(), {"held"}, 0.5),
        "REST: 400 connections, half silent": Kind(lambda abuse, draw: abuse.connections("rest"), {"held"}, 0.05),
    }


def changed(data: bytes, draw: random.Random) -> bytes:
    """Returns the bytes with some replaced, added or gone."""
    data = bytearray(data)
    for _ in range(draw.randrange(1, 5)):
        place = draw.randrange(len(data))
        action = draw.randrange(4)
        if action == 0:
            data[place] = draw.randrange(256)
        elif action == 1:
            data[place] ^= 1 << draw.randrange(8)
        elif action == 2:
            data[place:place] = draw.randbytes(draw.randrange(9))
        elif len(data) > 20:
            del data[place : place + draw.randrange(9)]
    return bytes(data)


def anything(draw, depth=0):
    """Returns a random value of JSON, never a request that could be right."""
    kind = draw.randrange(8 if depth < 4 else 6)
    if kind >= 6:
        values = [anything(draw, depth + 1) for _ in range(draw.randrange(4))]
        names = ["instances", "examples", "signature_name", "b64", "x", ""]
        return values if kind == 6 else {draw.choice(names): value for value in values}
    return draw.choice([None, True, -1, 2**70, 1e300, 0.5, "", "\ud83d", "a" * 99, "\x00", "é"])


def odd_path(draw):
    """Returns the rest of a path that names no method."""
    return "".join(draw.choice(["/", "versions", "labels", "%2f", "%00", "%ff", "9" * 30, "..", "é".encode().hex(), "?a", "-1"])
                   for _ in range(draw.randrange(1, 6)))  # fmt: skip


def flat(value):
    """Returns the values of a tensor, in a list."""
    return (value.values if isinstance(value, tensors.Flat) else value).ravel().tolist()


class Events(threading.Thread):
    """Changes the base path in ways that must not affect any answer."""

    def __init__(self, base):
        super().__init__(daemon=True)
        self.base, self.done, self.counts = base, threading.Event(), collections.Counter()

    def run(self):
        first = next(self.base.iterdir()).resolve()
        for number in itertools.count(2):
            self._do("base path away and back", self._away)
            for name in ("9223372036854775808", "٣", "-5", "1.5", f"{first.name} (copy)"):
                self._do("folder with a strange name", lambda name=name: self._strange(name, first))
            if number % EVERY == 0:
                self._do("new version", lambda number=number: self._new(first, number))
            if self.done.wait(1):
                return

    def _do(self, kind, event):
        event()
        self.counts[kind] += 1
        self.done.wait(0.1)

    def _away(self):
        away = self.base.with_name("away")
        self.base.rename(away)
        self.done.wait(0.5)
        away.rename(self.base)

    def _strange(self, name, first):
        """Links a good model under a name that is not a version."""
        (self.base / name).unlink(missing_ok=True)
        (self.base / name).symlink_to(first)

    def _new(self, first, number):
        """Adds a copy of the first version, and removes the copy before it."""
        copy = self.base.with_name("copy")
        shutil.copytree(first, copy)
        copy.rename(self.base / str(number))
        self.done.wait(3)
        shutil.rmtree(self.base / str(number - EVERY), ignore_errors=True)


def rounded(values):
    return [round(value, 4) if isinstance(value, float) else value for value in values]


class Abuse:
    """The requests sent, and their results."""

    def __init__(self, flags, options):
        self.flags, self.options = flags, options
        kinds = grpc_kinds() | rest_kinds()
        self.kinds = {name: kind for name, kind in kinds.items() if options.only in name}
        self.codes = collections.defaultdict(collections.Counter)
        self.wrong = collections.defaultdict(collections.Counter)
        self.sent, self.ends, self.lock, self.memory = 0, 0, threading.Lock(), {}
        self.local = threading.local()
        self.start()
        self.expected, self.expected_json = self.answer(GOOD), self.answer_json()
        self.good = {
            "good": Kind(lambda abuse, draw: self.right(self.expected, self.answer, GOOD), {"OK"} | BUSY, 0),
            "REST: good": Kind(lambda abuse, draw: self.right(self.expected_json, self.answer_json), {"200", "503"}, 0),
        }

    def start(self):
        while True:
            with socket.socket() as free:
                free.bind(("", 0))
                self.port = free.getsockname()[1]
            try:
                self.server = Server(*self.flags, f"--rest_api_port={self.port}")
                break
            except AssertionError:  # the base path may be absent just now
                time.sleep(1)
        threading.Thread(target=self.server.process.stderr.read, daemon=True).start()
        self.channel = grpc.insecure_channel(self.server.address.replace("localhost", "127.0.0.1"), options=UNLIMITED)

    def code(self, method, data, **options):
        """Returns the code that a request gets."""
        return self.coded(lambda: self.channel.unary_unary(method)(data, timeout=60, **options))

    def coded(self, call):
        try:
            call()
        except grpc.RpcError as error:
            return error.code().name + (" (busy)" if "--max_bytes_under_way" in (error.details() or "") else "")
        return "OK"

    def answer(self, data):
        """Returns the outputs as lists, rounded: batches of different sizes may differ in the last bits."""
        response = PredictResponse.FromString(self.channel.unary_unary(PREDICT)(data, timeout=60))
        return {name: rounded(flat(tensors.to_array(proto))) for name, proto in response.outputs.items()}

    def right(self, expected, ask, *arguments):
        """Returns the code of a request whose answer is compared."""
        answers = []
        code = self.coded(lambda: answers.append(ask(*arguments)))
        if answers and isinstance(answers[0], str):  # a status of HTTP
            return answers[0]
        if answers and answers[0] != expected:
            return "another answer"
        return "200" if ask == self.answer_json else code

    def status(self, path, body, headers=()):
        """Returns the HTTP status that a body gets."""
        return self.post(path, body, headers)[0]

    def post(self, path, body, headers=()):
        """Returns (HTTP status, body), over a connection that is kept."""
        for last in (False, True):
            connection = getattr(self.local, "connection", None)
            if connection is None or connection.port != self.port:
                connection = self.local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.request("POST", path, body, dict(headers))
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self.local.connection = None
                if last:
                    return type(error).__name__, b""
                continue  # the server may close a connection that was kept
            if response.status != 200 and "error" not in json.loads(answer):
                return f"{response.status} without an error", answer
            return str(response.status), answer

    def answer_json(self):
        """Returns the predictions, rounded; or the HTTP status if it is not 200."""
        status, answer = self.post(SENTIMENT, GOOD_JSON)
        if status != "200":
            return status
        return [
            {name: rounded(value if isinstance(value, list) else [value]) for name, value in row.items()}
            for row in json.loads(answer)["predictions"]
        ]

    def raw(self, data):
        """Returns the status that bytes get, or "closed"."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            try:
                connection.sendall(data)
                answer = connection.recv(100)
            except OSError:
                return "closed"
        return answer.split(b" ")[1].decode() if answer.startswith(b"HTTP/1.") else "closed"

    def silent(self, draw):
        """Calls, and sends no message."""

        def nothing():
            time.sleep(0.6)
            yield b""

        return self.coded(lambda: self.channel.stream_unary(PREDICT)(nothing(), timeout=0.5))

    def slow(self):
        """Sends a request byte by byte, and goes before its end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            for byte in b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{" % SENTIMENT.encode():
                connection.sendall(bytes([byte]))
                time.sleep(0.005)
        return "held"

    def connections(self, transport):
        """Opens 400 connections; half of them say something, none of it a request."""
        port = self.port if transport == "rest" else self.server.port
        opened = []
        try:
            for i in range(400):
                opened.append(socket.create_connection(("127.0.0.1", port), timeout=60))
                if i % 2:
                    opened[-1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if i % 4 == 1 else b"POST /")
            time.sleep(0.2)
        except OSError as error:
            return type(error).__name__
        finally:
            for connection in opened:
                connection.close()
        return "held"

    def send(self, name, draw):
        """Sends a request; counts its code, and whether it is wrong."""
        kind = self.good.get(name) or self.kinds[name]
        server = self.server
        try:
            code = kind.send(self, draw)
        except Exception as error:  # of this program, or no answer
            code = f"{type(error).__name__}: {error}"[:60]
        with self.lock:
            self.codes[name][code] += 1
            if code not in kind.expected and server is self.server:
                self.wrong[name][code] += 1

    def run(self):
        """Sends until all requests are sent, the time is over, or the server has ended too often."""
        self.began = time.monotonic()
        self.memory["at start"] = self.rss()
        threads = [threading.Thread(target=self.send_some, args=[seed]) for seed in range(self.options.threads)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            for part in (10, 25, 50, 75):
                if self.sent > self.options.requests * part / 100:
                    self.memory.setdefault(f"after {part} %", self.rss())
            with self.lock:
                if self.server.process.poll() is not None and self.ends < MAX_ENDS:
                    self.ends += 1
                    self.start()
        self.seconds = time.monotonic() - self.began
        self.memory["at the end"] = self.rss()

    def settle(self):
        """Waits: runs whose clients have gone end, and their memory goes back to the system."""
        time.sleep(60)
        self.memory["a minute later"] = self.rss()

    def send_some(self, seed):
        """Sends requests in one thread, drawn with that seed."""
        draw = random.Random(seed)
        names, weights = list(self.kinds), [kind.weight for kind in self.kinds.values()]
        for i in itertools.count():
            with self.lock:
                over = time.monotonic() - self.began > self.options.seconds or self.ends >= MAX_ENDS
                if over or self.sent >= self.options.requests:
                    return
                self.sent += 1
            while self.server.process.poll() is not None and self.ends < MAX_ENDS:
                time.sleep(0.2)  # until the next one is started
            index = i * self.options.threads + seed
            if i % 3 == 0:
                self.send("REST: good" if i % 6 else "good", draw)
            else:  # each kind once, and then at random
                self.send(names[index] if index < len(names) else draw.choices(names, weights)[0], draw)

    def rss(self):
        """Returns the server's resident memory, in words."""
        try:
            lines = Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines()
            return next(f"{int(line.split()[1]) // 1024} MB" for line in lines if line.startswith("VmRSS"))
        except (OSError, StopIteration):
            return "none"

    def alive(self):
        """Returns whether the server still answers correctly."""
        if self.server.process.poll() is not None:
            return False
        try:
            return self.answer(GOOD) == self.expected and self.answer_json() == self.expected_json
        except grpc.RpcError:
            return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=8, help="that send")
    parser.add_argument("--seconds", type=float, default=3600, help="at most")
    parser.add_argument("--only", default="", help="kinds of harm whose name holds this")
    parser.add_argument("--export", type=Path, help="base path of a sentiment model")
    options = parser.parse_args()
    names = grpc_kinds() | rest_kinds()
    if not any(options.only in name for name in names):
        parser.error(f"--only: expected part of a kind's name, one of {', '.join(names)}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        shutil.copytree(options.export or tiny(folder), folder / "sentiment")
        save_odd_model(folder / "odd" / "1")
        models = "".join(f'config {{ name: "{name}" base_path: "{folder / name}" }}\n' for name in ("sentiment", "odd"))
        (folder / "models.config").write_text(f"model_config_list {{ {models} }}")
        flags = (f"--model_config_file={folder / 'models.config'}", "--file_system_poll_wait_seconds=0.2")
        abuse, events = Abuse(flags, options), Events(folder / "sentiment")
        events.start()
        try:
            abuse.run()
        finally:
            events.done.set()
            events.join()
        abuse.settle()
        passed = report(abuse, events)
        abuse.server.process.kill()
    sys.exit(0 if passed else 1)


def tiny(folder):
    """Trains and exports a tiny model; returns its base path."""
    from serving.export import export
    from tests.conftest import train_tiny, write_bert_folder, write_examples

    run = train_tiny(
        "sentiment", write_examples, folder, ".txt", write_bert_folder(folder / "tiny"), epochs=6, batch_size=16
    )
    export(run, folder / "tiny-export")
    return folder / "tiny-export"


def report(abuse, events):
    """Prints the table; returns whether every answer was right and the server never ended."""
    print(f"\n{'kind':36}{'sent':>8}  answers")
    for kind in (*abuse.good, *abuse.kinds):
        codes, wrong = abuse.codes[kind], abuse.wrong[kind]
        shown = ", ".join(f"{code} {count}" for code, count in codes.most_common())
        print(
            f"{kind:36}{codes.total():>8}  {shown or '-'}{'   WRONG: ' if wrong else ''}{dict(wrong) if wrong else ''}"
        )
    for kind, count in events.counts.items():
        print(f"{kind:36}{count:>8}")
    wrong, alive = sum(wrong.total() for wrong in abuse.wrong.values()), abuse.alive()
    sent = sum(codes.total() for codes in abuse.codes.values())
    print(f"\nwrong answers            {wrong}")
    print(f"server's memory          {', '.join(f'{moment} {memory}' for moment, memory in abuse.memory.items())}")
    print(f"server alive, and right  {'yes' if alive else 'no'}; ended {abuse.ends} times")
    print(f"{sent} requests in {abuse.seconds:.0f} s, {sent / abuse.seconds:.0f} a second")
    if sent < abuse.sent:  # a thread of this program has ended with an error
        print(f"{abuse.sent - sent} requests without a result")
    return not wrong and alive and not abuse.ends and sent == abuse.sent


if __name__ == "__main__":
    main()
