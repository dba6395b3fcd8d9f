"""Harm done to a real server, by the ten thousand, with good requests in between: does it answer on, and answer right?

    python -m tests.bench.abuse [--requests 50000] [--threads 4] [--seconds 1800] [--only KIND] [--export DIR]

Starts `python -m serving.server` on 127.0.0.1 with two models: `sentiment`, the export in DIR (`python -m serving.export RUN
--to DIR`; without it, a tiny one is trained, half a minute), and `odd`, whose graph quotes its input in errors. Then, in a
loop: requests that once ended, froze or filled the server, or got a wrong answer; the base path away and back, folders with
strange names, a new version now and then; and every third request a good one, whose answer is compared with the first.
At most so many requests and so many seconds. Prints its table last; ends with 1 if an answer was wrong or the server ended.
"""

import argparse
import collections
import itertools
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

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

GOOD = request("sentiment", {"text": texts(b"a good film", "坏 片".encode(), b"")})
NULS = request("odd", {"text": tensor(STRING, [], string_val=[b"ab\0"])}, "same")


def harms():
    """Returns {kind: (request, expected codes, relative frequency)}."""
    string = lambda shape, **values: request("sentiment", {"text": tensor(STRING, shape, **values)})
    odd = lambda signature, **inputs: request("odd", inputs, signature)
    inputs = b"".join(b"\x12\x0a\x0a\x06%06d\x12\x00" % i for i in range(9999))
    gigabytes = tensor(2, [2**26], double_val=[1.0])
    return {
        "33 dimensions": (string([1] * 33, string_val=[b"a"]), REFUSED, 20),
        "64 dimensions": (string([1] * 64, string_val=[b"a"]), REFUSED, 20),
        "255 dimensions": (string([1] * 255), REFUSED, 20),
        "30,000 dimensions of 2^62": (string([2**62] * 30_000), REFUSED, 2),
        "answer of 33 dimensions": (
            odd("shaped", text=texts(b"a"), shape=tensor(3, [33], int_val=[1] * 33)),
            {"OK"},
            20,
        ),
        "20 unknown inputs of 0.5 GB": (request("sentiment", {f"x{i}": gigabytes for i in range(20)}), REFUSED, 5),
        "wrong type, 0.5 GB": (request("sentiment", {"text": gigabytes}), REFUSED, 5),
        "right type, 0.5 GB": (odd("total", x=tensor(FLOAT, [2**27], float_val=[1.0])), TOO_MUCH, 5),
        "200,000 texts in 30 bytes": (string([200_000]), TOO_MUCH, 1),
        "2,000 long texts": (string([2000], string_val=[b"good film " * 65] * 2000), {"OK"} | BUSY, 0.05),
        "10,000 unknown inputs": (request("sentiment", {"a": gigabytes}) + inputs, REFUSED, 5),
        "80 MB of gzip": (string([1], string_val=[b"\0" * 80_000_000]), TOO_MUCH, 0.05),
        "no message": (b"\xff" * 99, REFUSED, 20),
        "bool of 2": (odd("negate", x=tensor(BOOL, [1], tensor_content=b"\x02")), REFUSED, 20),
        "bool of 255": (odd("negate", x=tensor(BOOL, [1], tensor_content=b"\xff")), REFUSED, 20),
        "error that quotes bytes (number)": (odd("number", text=texts(b"ab\xff\xfe")), REFUSED, 20),
        "error that quotes bytes (parse)": (odd("parse", text=texts(b"ab\xff\xfe")), REFUSED, 20),
        "error that quotes bytes (assert)": (odd("claim", text=texts(b"ab\xff\xfe")), REFUSED, 20),
        "NUL at the end": (NULS, {"OK"}, 20),
        "call without a message": (None, {"CANCELLED", "DEADLINE_EXCEEDED"}, 5),
    }


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


class Abuse:
    """The requests sent, and their results."""

    def __init__(self, flags, options):
        self.flags, self.options = flags, options
        self.harms = {kind: harm for kind, harm in harms().items() if options.only in kind}
        self.codes = collections.defaultdict(collections.Counter)
        self.wrong = collections.defaultdict(collections.Counter)
        self.sent, self.ends, self.lock, self.memory = 0, 0, threading.Lock(), {}
        self.start()
        self.expected = self.answer(GOOD)

    def start(self):
        while True:
            try:
                self.server = Server(*self.flags)
                break
            except AssertionError:  # the base path may be absent just now
                time.sleep(1)
        threading.Thread(target=self.server.process.stderr.read, daemon=True).start()
        self.channel = grpc.insecure_channel(self.server.address.replace("localhost", "127.0.0.1"), options=UNLIMITED)
        self.ask = self.channel.unary_unary(PREDICT)

    def answer(self, data):
        """Returns the outputs as lists, rounded: batches of different sizes may differ in the last bits."""
        response = PredictResponse.FromString(self.ask(data, timeout=60))
        rounded = lambda values: [round(value, 4) if isinstance(value, float) else value for value in values]
        return {name: rounded(flat(tensors.to_array(proto))) for name, proto in response.outputs.items()}

    def send(self, kind):
        """Sends a request; counts its code, and whether it is wrong."""
        data, expected, _ = self.harms.get(kind, (GOOD, {"OK"} | BUSY, 0))
        answer = None
        try:
            if kind == "80 MB of gzip":
                self.ask(data, timeout=60, compression=grpc.Compression.Gzip)
            elif data is None:
                self.channel.stream_unary(PREDICT)(self._nothing(), timeout=0.5)
            else:
                answer = self.answer(data)
            code = "OK"
        except grpc.RpcError as error:
            code = error.code().name + (" (busy)" if "--max_bytes_under_way" in (error.details() or "") else "")
        except ValueError:
            code = "no tensor"
        expected_answer = {"good": self.expected, "NUL at the end": {"y": [b"ab\0"]}}.get(kind)
        with self.lock:
            self.codes[kind][code] += 1
            if code not in expected:
                self.wrong[kind][code] += 1
            elif code == "OK" and expected_answer not in (None, answer):
                self.wrong[kind]["another answer"] += 1

    def _nothing(self):
        time.sleep(0.6)
        yield b""

    def run(self):
        """Sends until all requests are sent, the time is over, or the server has ended too often."""
        self.began = time.monotonic()
        self.memory["at start"] = self.rss()
        threads = [threading.Thread(target=self.send_some, args=[seed]) for seed in range(self.options.threads)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            if "after 10 %" not in self.memory and self.sent > self.options.requests / 10:
                self.memory["after 10 %"] = self.rss()
            with self.lock:
                if self.server.process.poll() is not None and self.ends < MAX_ENDS:
                    self.ends += 1
                    self.start()
        self.seconds = time.monotonic() - self.began
        time.sleep(2)
        self.memory["at the end"] = self.rss()

    def send_some(self, seed):
        """Sends requests in one thread, drawn with that seed."""
        draw = random.Random(seed)
        kinds, weights = list(self.harms), [weight for _, _, weight in self.harms.values()]
        for i in itertools.count():
            with self.lock:
                over = time.monotonic() - self.began > self.options.seconds or self.ends >= MAX_ENDS
                if over or self.sent >= self.options.requests:
                    return
                self.sent += 1
            while self.server.process.poll() is not None and self.ends < MAX_ENDS:
                time.sleep(0.2)  # until the next one is started
            index = i * self.options.threads + seed
            self.send("good" if i % 3 == 0 else kinds[index] if index < len(kinds) else draw.choices(kinds, weights)[0])

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
            return self.answer(GOOD) == self.expected
        except grpc.RpcError:
            return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=4, help="that send")
    parser.add_argument("--seconds", type=float, default=1800, help="at most")
    parser.add_argument("--only", default="", help="kinds of harm whose name holds this")
    parser.add_argument("--export", type=Path, help="base path of a sentiment model")
    options = parser.parse_args()
    if not any(options.only in kind for kind in harms()):
        parser.error(f"--only: expected part of a kind's name, one of {', '.join(harms())}")
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
    for kind in ("good", *abuse.harms):
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
