"""`python -m serving.lint DIR [--target 2.20.0]`: does the stock TensorFlow Serving image load this SavedModel?

Compares ops, their attributes and types with what the image's TensorFlow and TF Text have (`ops.json`), and looks for
what no image runs: Python functions, and XLA without its flag. Exits with 0 if nothing is lacking, 1 if something is,
2 for a wrong call. Needs protobuf, and no TensorFlow.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError

from serving.command_line import Parser, fail
from serving.declare import declare
from serving.server.models.model import version_of
from serving.tensors import NAMES

FILE = Path(__file__).with_name("ops.json")  # written by tests/bench/oplists.py
PYTHON = "EagerPyFunc", "PyFunc", "PyFuncStateless"  # registered everywhere, and run by Python alone
XLA = "_XlaMustCompile"
MEANINGLESS = ("debug_name",)  # attributes that change no result
# What is read of a SavedModel; of a map, its entries are a list
DECLARED = {
    "SavedModel": {"meta_graphs": (2, "repeated MetaGraph")},
    "MetaGraph": {
        "meta_info": (1, "MetaInfo"),
        "graph": (2, "Graph"),
        "assets": (6, "repeated Asset"),
    },
    "MetaInfo": {"tags": (4, "repeated string")},
    "Asset": {"filename": (2, "string")},
    "Graph": {"node": (1, "repeated Node"), "library": (2, "Library"), "versions": (4, "Versions")},
    "Versions": {"producer": (1, "int32"), "min_consumer": (2, "int32"), "bad_consumers": (3, "repeated int32")},
    "Library": {"function": (1, "repeated Function")},
    "Function": {"signature": (1, "Signature"), "node": (3, "repeated Node"), "attribute": (5, "repeated Attribute")},
    "Signature": {"name": (1, "string")},
    "Node": {"op": (2, "string"), "attribute": (5, "repeated Attribute")},
    "Attribute": {"key": (1, "string"), "value": (2, "bytes")},
    "Value": {"list": (1, "Values"), "boolean": (5, "bool"), "type": (6, "int32")},
    "Values": {"type": (6, "repeated int32")},
}
_classes = declare(descriptor_pool.DescriptorPool(), "serving/lint.proto", DECLARED)
SavedModel, Value = _classes["SavedModel"], _classes["Value"]


class Wrong(ValueError):
    """A folder that is no SavedModel, or an image that is not known; says so in one line."""


@cache
def images() -> list[dict[str, Any]]:
    """Returns the images, oldest first, one for each minor version; each says what it has that the one before has not.

    {"tags", "tensorflow", "text": versions; "graph": version of graphs; "gone": [op]; "ops": {op: its attributes, with
    blanks between}; "attributes": {op: {attribute: its default, an `AttrValue` in hexadecimal}}; "types": {op: {attribute: [number of a `DataType`]}}}.
    """
    return json.loads(FILE.read_text())


def targets() -> list[str]:
    """Returns the tags of the images, oldest first."""
    return [tag for image in images() for tag in image["tags"]]


def check(folder: str | Path, target: str | None = None) -> tuple[Path, list[str]]:
    """Compares a SavedModel with what an image has.

    Args:
        folder: Its folder, or a base path with version folders, of which the newest is taken.
        target: Tag of the image; by default, the newest.

    Returns:
        (folder of the SavedModel, problems: for each a text that goes on from the image's name, as "lacks op X (first in
        2.20.0)").

    Raises:
        Wrong: No SavedModel, or an unknown image.
    """
    number, version = number_of(target), _version(Path(folder))
    return version, list(_problems(version, _read(version / "saved_model.pb"), number))


def number_of(target: str | None = None) -> int:
    """Returns the place in `images` of the image with that tag; by default, of the newest; raises `Wrong`."""
    for number, image in enumerate(images()):
        if (target or targets()[-1]) in image["tags"]:
            return number
    raise Wrong(f"--target: expected one of {', '.join(targets())}, received {target}")


def _version(folder):
    """Returns the folder, or its newest version folder if it is a base path."""
    try:
        versions = {number: path for path in folder.iterdir() if (number := version_of(path.name)) is not None}
    except OSError as error:
        raise Wrong(f"{folder}: cannot be read ({error.strerror})") from None
    return versions[max(versions)] if versions and not (folder / "saved_model.pb").exists() else folder


def _read(path):
    try:
        return SavedModel.FromString(path.read_bytes())
    except OSError as error:
        raise Wrong(f"{path}: expected a SavedModel, cannot be read ({error.strerror})") from None
    except DecodeError:
        raise Wrong(f"{path}: expected a SavedModel, found something else") from None


def _problems(folder, model, number):
    """Yields what `check` returns."""
    served = [graph for graph in model.meta_graphs if set(graph.meta_info.tags) == {"serve"}]
    if not served:
        found = ", ".join("{" + " ".join(graph.meta_info.tags) + "}" for graph in model.meta_graphs) or "none"
        yield f"looks for a graph with the tag serve alone, found {found}"
        return
    graph, image = served[0].graph, images()[number]
    versions = graph.versions
    if versions.min_consumer > image["graph"]:
        first = _since(image["graph"] >= versions.min_consumer for image in images())
        yield f"does not read graphs of version {versions.min_consumer}, reads up to {image['graph']} ({first})"
    if image["graph"] in versions.bad_consumers:
        yield f"is one that the graph excludes, graph version {image['graph']}"
    for asset in served[0].assets:
        if not (folder / "assets" / asset.filename).is_file():
            yield f"looks for the file assets/{asset.filename}, found none"
    functions = {function.signature.name for function in graph.library.function}
    nodes = [graph.node, *(function.node for function in graph.library.function)]
    used: dict[str, dict[str, set[bytes]]] = {}  # {op: {attribute: its values}}
    for node in (node for some in nodes for node in some if node.op not in functions):
        attributes = used.setdefault(node.op, {})
        for attribute in node.attribute:
            attributes.setdefault(attribute.key, set()).add(attribute.value)
    for op, attributes in sorted(used.items()):
        yield from _lacks(op, attributes, number)
    marked = [attribute for some in nodes for node in some for attribute in node.attribute]
    marked += [attribute for function in graph.library.function for attribute in function.attribute]
    if any(attribute.key == XLA and Value.FromString(attribute.value).boolean for attribute in marked):
        yield "needs its flag --xla_cpu_compilation_enabled, for jit_compile"


def _lacks(op: str, attributes: dict[str, set[bytes]], number: int) -> Iterator[str]:
    """Yields what the image of that number lacks of one op."""
    if op in PYTHON:
        yield f"runs no Python, as op {op} would"
        return
    if op not in _known(number):
        yield f"lacks op {op} ({_since(op in _known(i) for i in range(len(images())))})"
        return
    for name, values in sorted(attributes.items()):
        if name.startswith("_") or name in MEANINGLESS:
            continue
        if name not in _known(number)[op]:
            if {value.hex() for value in values} - _added(number, "attributes", op, name).keys():
                first = _since(name in _known(i).get(op, ()) for i in range(len(images())))
                yield f"ignores attribute {name} of op {op} ({first})"
            continue
        types = {kind for value in map(Value.FromString, values) for kind in (value.type, *value.list.type)}
        for kind, first in _added(number, "types", op, name).items():
            if kind in types:
                yield f"lacks type {NAMES.get(kind, kind)} of attribute {name} of op {op} (first in {first})"


def _added(number: int, what: str, op: str, attribute: str) -> dict[Any, str]:
    """Returns {value: first image} of what images after that one have: "types" taken, or the default of "attributes"."""
    added: dict[Any, str] = {}
    for image in images()[number + 1 :]:
        values = image[what].get(op, {}).get(attribute, ())
        for value in [values] if isinstance(values, str) else values:
            added.setdefault(value, image["tags"][0])
    return added


@cache
def _known(number: int) -> dict[str, set[str]]:
    """Returns {op: its attributes} of the image of that number."""
    known = {op: set(attributes) for op, attributes in (_known(number - 1) if number else {}).items()}
    image = images()[number]
    for op in image["gone"]:
        del known[op]
    known |= {op: set(attributes.split()) for op, attributes in image["ops"].items()}
    for op, attributes in image["attributes"].items():
        known[op].update(attributes)
    return known


def _since(has):
    """Returns in words in which images something is, given for each whether it is."""
    found = [i for i, there in enumerate(has) if there]
    if not found:
        return f"in none up to {targets()[-1]}"
    return f"first in {images()[found[0]]['tags'][0]}" + (
        f", last in {images()[found[-1]]['tags'][-1]}" if found[-1] + 1 < len(images()) else ""
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
        arguments: By default, those of the process.
    """
    parser = Parser(prog="python -m serving.lint", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("folder", metavar="DIR", help="SavedModel, or base path with version folders")
    parser.add_argument("--target", help=f"tag of the image tensorflow/serving (default: {targets()[-1]})")
    options = parser.parse_args(arguments)
    try:
        folder, problems = check(options.folder, options.target)
    except Wrong as wrong:
        fail("serving.lint", wrong)
    print("\n".join(report(folder, problems, options.target)))
    sys.exit(1 if problems else 0)


def report(folder: Path, problems: Sequence[str], target: str | None = None) -> list[str]:
    """Returns what `check` found, in lines."""
    image = f"tensorflow/serving:{target or targets()[-1]}"
    return [f"{folder}: {image} {problem}" for problem in problems] or [f"{folder}: {image} has all that it needs"]


if __name__ == "__main__":
    main()
