"""TensorFlow Serving's own integration suite, unchanged, against this server.

    python -m tests.bench.upstream --source CLONE [--only testPredict,testClassify] [--keep FOLDER]

CLONE is a clone of github.com/tensorflow/serving, or its git directory. Takes from its HEAD the suite
(`model_servers/tensorflow_model_server_test.py`, 30 tests), the models it loads, and the example mnist; puts in the place
of `tensorflow_model_server` a script that runs `python -m serving.server` with the flags it gets; prints a table of the
tests. After it, runs the example's own trainer and client, on digits drawn here (`tests.serving.test_mnist`), since its data is a download.
Ends with 1 if one failed.

The package portpicker is replaced if it is not installed.
Its two Keras tests name the model's input as Keras 2 does; they need the package tf_keras.
"""

import argparse
import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tests.conftest import ROOT

PARTS = "model_servers", "servables/tensorflow/testdata", "example"
LAUNCHER = """#!/bin/sh
cd ROOT && exec PYTHON -m serving.server "$@"
"""
PORTPICKER = """import socket


def pick_unused_port():
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]
"""
RUN = """import os, runpy, sys, tensorflow_serving
from tensorflow.python.platform import flags
tensorflow_serving.__path__.append(sys.argv[1])
flags.os = os  # test_tf_text finds os there, where TensorFlow 2.21 has it no longer
del sys.argv[0]
runpy.run_path(sys.argv[0] + "/model_servers/tensorflow_model_server_test.py", run_name="__main__")
"""


def materialise(source: Path, to: Path) -> Path:
    """Writes HEAD's files to a folder as the suite expects them; returns the folder of `tensorflow_serving`."""
    folder = to / "tf_serving" / "tensorflow_serving"
    paths = [f"tensorflow_serving/{part}" for part in PARTS]
    git = ["git", "-C", str(source)]
    listed = subprocess.check_output([*git, "ls-tree", "-rz", "HEAD", "--", *paths], text=True)
    for entry in filter(None, listed.split("\0")):
        about, path = entry.split("\t")
        file = folder.parent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        content = subprocess.run([*git, "cat-file", "blob", about.split()[2]], capture_output=True)
        if content.returncode:
            print(f"{path}: not in this copy of the repository")
        else:
            file.write_bytes(content.stdout)
    text_model = folder / "servables/tensorflow/testdata/tf_text_regression/01"
    if not (text_model / "saved_model.pb").exists():
        print(f"{text_model.parent.name}: made anew, as its README says")
        shutil.rmtree(text_model)
        save_text_model(text_model)
    launcher = folder / "model_servers" / "tensorflow_model_server"
    launcher.write_text(LAUNCHER.replace("ROOT", str(ROOT)).replace("PYTHON", sys.executable))
    launcher.chmod(0o755)
    if find_spec("portpicker") is None:
        (to / "portpicker.py").write_text(PORTPICKER)
    return folder


def save_text_model(folder: Path) -> None:
    """Writes the suite's model with TF Text: y = x / 2 + 2, after ops of TF Text have run."""
    from trainer.quiet import tf  # isort: skip  before anything else imports TensorFlow
    import tensorflow_text as text

    module = tf.Module()
    words = [*"abcst", *(f"##{letter}" for letter in "abcst"), "[UNK]", "[CLS]", "[SEP]"]
    bert = text.FastBertTokenizer(words, token_out_type=tf.int32, lower_case_nfd_strip_accents=True)
    module.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["i"], [1], tf.string, tf.int64), -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(x):
        _, offsets = text.normalize_utf8_with_offsets_map(["株式会社ＫＡＤＯ"], "NFKC")
        split = text.WhitespaceTokenizer().tokenize(["a string of words"])
        ran = [
            text.find_source_offsets(offsets, [[3, 6, 9, 12]]),
            text.max_spanning_tree([2], [[[0, 0], [1, 0]]])[0],
            text.case_fold_utf8(["A String"]),
            text.regex_split(["Yo dawg!"], r"\s").to_tensor(),
            text.metrics.rouge_l(split, split)[0],
            text.StateBasedSentenceBreaker().break_sentences(["Welcome to the U.S.! Harry"]).to_tensor(),
            text.SplitMergeTokenizer().tokenize(b"IloveFlume!", [0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0]),
            tf.strings.unicode_script([ord("a"), 0x0411, 0x82B8, ord(",")]),
            text.UnicodeScriptTokenizer().tokenize(["a string"]).to_tensor(),
            text.WordpieceTokenizer(module.table).tokenize(["i am"]).to_tensor(),
            bert.tokenize(["a Cab"]).to_tensor(),
            text.RoundRobinTrimmer(3).trim([split, split])[0].to_tensor(),
            text.ngrams(split, 2, reduction_type=text.Reduction.STRING_JOIN).to_tensor(),
            text.viterbi_constrained_sequence(tf.ones([1, 2, 2]), [2]).to_tensor(),
        ]
        with tf.control_dependencies([tf.debugging.assert_equal(tensor, tf.identity(tensor)) for tensor in ran]):
            return {"y": x * 0.5 + 2.0}

    module.serve = serve
    tf.saved_model.save(module, str(folder), signatures=serve)


def suite(folder: Path, scratch: Path, only: list[str], minutes: float) -> dict[str, str]:
    """Runs the tests; returns {test: why it failed, empty if it passed}."""
    results = scratch / "results.xml"
    temporary = scratch / "temporary"
    temporary.mkdir()
    paths = [str(scratch), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "TEST_SRCDIR": str(scratch), "TEST_TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(paths),
        "TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1" if find_spec("tf_keras") else "0",
    }  # fmt: skip
    names = [f"TensorflowModelServerTest.{name}" for name in only]
    command = [sys.executable, "-c", RUN, str(folder), f"--xml_output_file={results}", *names]
    with open(scratch / "log", "w") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=scratch, stdout=log, stderr=log, start_new_session=True
        )
        try:
            process.wait(60 * minutes)
        except subprocess.TimeoutExpired:
            print(f"stopped after {minutes:.0f} minutes", file=sys.stderr)
        finally:  # its servers are in its session
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if not results.exists():
        return {"suite": f"no results; see {scratch / 'log'} (--keep)"}
    return {
        case.get("name", ""): ("" if not len(case) else next(iter(case)).get("message") or next(iter(case)).text or "?")
        for case in ElementTree.parse(results).iter("testcase")
        if case.get("name") != "test_session"  # of tf.test.TestCase
    }


def mnist(folder: Path, scratch: Path) -> dict[str, str]:
    """Runs the example's trainer, and its client against the server; returns results as `suite` does."""
    from tests.serving.test_mnist import digits

    data, model = scratch / "digits", scratch / "mnist"
    data.mkdir()
    for name, count, seed in (
        ("train", 7000, 1),
        ("t10k", 1000, 2),
    ):  # the example keeps the first 5,000 for validation
        images, labels = digits(count, seed)
        pixels = (255 * images).round().astype(np.uint8)
        header = np.array([2051, count, 28, 28], ">u4").tobytes()
        (data / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels.tobytes(), 1))
        header = np.array([2049, count], ">u4").tobytes()
        (data / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + labels.astype(np.uint8).tobytes()))
    run = lambda script, *flags: subprocess.run(
        [sys.executable, str(folder / "example" / script), f"--work_dir={data}", *flags],
        capture_output=True, text=True, timeout=300, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    trained = run("mnist_saved_model.py", "--training_iteration=100", str(model))
    if trained.returncode:
        return {"example mnist_saved_model.py": trained.stderr[-300:]}
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    launcher = str(folder / "model_servers" / "tensorflow_model_server")
    server = subprocess.Popen([launcher, f"--port={port}", "--model_name=mnist", f"--model_base_path={model}"])
    try:
        ends = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < ends:
            time.sleep(0.2)
        asked = run("mnist_client.py", "--num_tests=1000", "--concurrency=10", f"--server=127.0.0.1:{port}")
    finally:
        server.kill()
    rate = re.search(r"Inference error rate: ([0-9.]+)%", asked.stdout)
    print(f"mnist: {rate[0] if rate else 'no error rate'} (of 1,000 digits)")
    right = rate and float(rate[1]) < 5
    return {"example mnist_client.py": "" if right else f"{asked.stdout[-200:]} {asked.stderr[-200:]}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="clone of github.com/tensorflow/serving")
    parser.add_argument("--only", default="", help="names of tests, with commas between; mnist: the example")
    parser.add_argument("--keep", type=Path, help="work here, a new folder, and leave its files and the log")
    parser.add_argument("--minutes", type=float, default=20, help="most that the suite may take")
    options = parser.parse_args()
    only = [name for name in options.only.split(",") if name]
    scratch = options.keep or Path(tempfile.mkdtemp())
    scratch.mkdir(exist_ok=True)
    try:
        folder = materialise(options.source, scratch.resolve())
        commit = subprocess.check_output(["git", "-C", str(options.source), "rev-parse", "--short", "HEAD"], text=True)
        began = time.monotonic()
        tests = sorted(name for name in only if name != "mnist")  # as unittest does: one must come first
        results = suite(folder, scratch.resolve(), tests, options.minutes) if tests or not only else {}
        if not only or "mnist" in only:
            results |= mnist(folder, scratch.resolve())
    finally:
        if not options.keep:
            shutil.rmtree(scratch, ignore_errors=True)
    for name, error in sorted(results.items()):
        print(f"{name:60} {'FAILED  ' + ' '.join(error.split())[:200] if error else 'passed'}")
    failed = sum(map(bool, results.values()))
    took = time.monotonic() - began
    print(f"{len(results) - failed} passed, {failed} failed, in {took:.0f} s, of tensorflow/serving {commit.strip()}")
    sys.exit(1 if failed or not results else 0)


if __name__ == "__main__":
    main()
