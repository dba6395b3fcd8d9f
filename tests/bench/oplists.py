"""Writes serving/ops.json, the ops that the stock TensorFlow Serving images have, from the wheels of what they link.

    python -m pip download --no-deps --dest WHEELS tensorflow-cpu==2.20.0 tensorflow-text==2.20.0   # and so on, see IMAGES
    python -m tests.bench.oplists WHEELS

Asks each TensorFlow's library for the ops that it registers, without running its Python, so any Python will do.
"""

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TO = Path(__file__).parents[2] / "serving" / "ops.json"
# (tags of tensorflow/serving, TensorFlow, TF Text), from WORKSPACE and tensorflow_serving/workspace.bzl at these tags.
# TF Text's ops are those of its wheel: at these versions its libraries are those of ops_lib, which the images link.
IMAGES = (
    ("2.8.0 2.8.2 2.8.3 2.8.4", "2.8.4", "2.6.0"),
    ("2.9.0 2.9.1 2.9.2 2.9.3", "2.9.3", "2.6.0"),
    ("2.10.0 2.10.1", "2.10.1", "2.7.3"),
    ("2.11.0 2.11.1", "2.11.1", "2.8.2"),
    ("2.12.0 2.12.1 2.12.2", "2.12.1", "2.12.1"),
    ("2.13.0 2.13.1", "2.13.1", "2.12.1"),
    ("2.14.0 2.14.1", "2.14.1", "2.12.1"),
    ("2.15.1", "2.15.1", "2.12.1"),
    ("2.16.1", "2.16.2", "2.12.1"),
    ("2.17.0 2.17.1", "2.17.1", "2.12.1"),
    ("2.18.0 2.18.1", "2.18.1", "2.12.1"),
    ("2.19.0 2.19.1", "2.19.1", "2.12.1"),
    ("2.20.0", "2.20.0", "2.20.0"),
)
TEXT_WITH = {"2.6.0": "2.6.5", "2.7.3": "2.7.4", "2.8.2": "2.8.4"}  # TensorFlow that a TF Text's wheel loads into
FORESTS = 2, 11  # first that links TensorFlow Decision Forests, whose ops for inference are:
FOREST_OPS = {  # {op: its attributes}, read in tensorflow_decision_forests/tensorflow/ops/inference/op.cc at 1.0.1 and 1.3.0
    "SimpleMLLoadModelFromPath": "model_identifier",
    "SimpleMLLoadModelFromPathWithHandle": "output_types file_prefix",
    "SimpleMLInferenceOp": "model_identifier dense_output_dim",
    "SimpleMLInferenceOpWithHandle": "dense_output_dim",
    "SimpleMLInferenceLeafIndexOpWithHandle": "",
    "SimpleMLCreateModelResource": "container shared_name",
}
FOREST_ATTRIBUTES = {"2.12.1": {"SimpleMLLoadModelFromPathWithHandle": {"allow_slow_inference": "2801"}}}  # by 1.3.0


def registered(folder: Path, libraries: list[Path]) -> bytes:
    """Returns the serialized `OpList` of the TensorFlow whose wheel is unpacked in a folder, and of more libraries."""
    mode = ctypes.RTLD_GLOBAL | os.RTLD_LAZY
    ctypes.CDLL(str(folder / "tensorflow" / "libtensorflow_framework.so.2"), mode)
    candidates = [folder / "tensorflow" / name for name in LIBRARIES]
    library = ctypes.CDLL(str(next(path for path in candidates if path.exists())), mode)
    for path in libraries:
        ctypes.CDLL(str(path), mode)

    class Buffer(ctypes.Structure):
        _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("deallocator", ctypes.c_void_p)]

    library.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
    buffer = library.TF_GetAllOpList().contents
    return ctypes.string_at(buffer.data, buffer.length)


LIBRARIES = "libtensorflow_cc.so.2", "python/_pywrap_tensorflow_internal.so"  # with all ops; the first from 2.12 on


def unpack(wheels, name, version, to):
    """Unpacks what is needed of a wheel."""
    (path,) = wheels.glob(f"{name}-{version}-*.whl")
    with zipfile.ZipFile(path) as wheel:
        for member in wheel.namelist():
            if name == "tensorflow_text" or re.search(r"framework\.so\.2|cc\.so\.2|tensorflow_internal\.so|public/.*version\.h", member):  # fmt: skip
                wheel.extract(member, to)


def ops(wheels, tensorflow, text=None):
    """Returns ({op: `OpDef`}, version of graphs) of a TensorFlow, with TF Text if asked for."""
    from trainer import quiet  # noqa: F401  isort: skip  not above: two TensorFlows do not fit into one process
    from tensorflow.core.framework import op_def_pb2

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        unpack(wheels, "tensorflow_cpu", tensorflow, folder)
        if text:
            unpack(wheels, "tensorflow_text", text, folder)
        libraries = sorted(map(str, folder.glob("tensorflow_text/python/*/*.so")))
        command = [sys.executable, "-m", "tests.bench.oplists", "--registered", str(folder), *libraries]
        found = op_def_pb2.OpList.FromString(subprocess.check_output(command, stderr=subprocess.DEVNULL))
        headers = (folder / "tensorflow/include/tensorflow/core/public").glob("*version.h")
        (graph,) = {
            int(number)
            for header in headers
            for number in re.findall(r"TF_GRAPH_DEF_VERSION (\d+)", header.read_text())
        }
    return {op.name: op for op in found.op}, graph


def attributes(op):
    return [attribute.name for attribute in op.attr]


def types(op):
    """Returns {attribute: numbers of the types it takes} of those that take some only."""
    return {
        attribute.name: set(attribute.allowed_values.list.type)
        for attribute in op.attr
        if attribute.allowed_values.list.type
    }


def change(before, now):
    """Returns what an image has that the one before lacks, and what it has no more."""
    both = [name for name in now if name in before]
    added = {
        name: {
            attribute.name: attribute.default_value.SerializeToString().hex()
            for attribute in now[name].attr
            if attribute.name not in attributes(before[name])
        }
        for name in both
    }
    taken = {
        name: {
            word: sorted(more)
            for word, numbers in types(now[name]).items()
            if (more := numbers - types(before[name]).get(word, numbers))
        }
        for name in both
    }
    return {
        "gone": sorted(before.keys() - now),
        "ops": {name: " ".join(attributes(now[name])) for name in sorted(now.keys() - before)},
        "attributes": {name: words for name, words in sorted(added.items()) if words},
        "types": {name: words for name, words in sorted(taken.items()) if words},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path)
    options = parser.parse_args()
    texts, images, before = {}, [], {}
    for tags, tensorflow, text in IMAGES:
        now, graph = ops(options.wheels, tensorflow)
        if text not in texts:
            with_text, _ = ops(options.wheels, TEXT_WITH.get(text, text), text)
            without, _ = ops(options.wheels, TEXT_WITH.get(text, text))
            texts[text] = {name: op for name, op in with_text.items() if name not in without}
        now |= texts[text]
        image = {"tags": tags.split(), "tensorflow": tensorflow, "text": text, "graph": graph} | change(before, now)
        if tuple(map(int, tensorflow.split(".")[:2])) == FORESTS:
            image["ops"] |= FOREST_OPS
        image["attributes"] |= FOREST_ATTRIBUTES.get(tensorflow, {})
        images.append(image)
        before = now
        print(f"{tags}: {len(now)} ops, {len(image['ops'])} of them new, {len(image['gone'])} gone", file=sys.stderr)
    lines = [json.dumps(image).replace('{"', '{\n"', 1).replace(', "ops"', ',\n"ops"') for image in images]
    TO.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--registered"]:
        sys.stdout.buffer.write(registered(Path(sys.argv[2]), [Path(path) for path in sys.argv[3:]]))
    else:
        main()
