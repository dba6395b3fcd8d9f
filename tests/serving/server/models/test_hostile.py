"""SavedModels that are broken, cut short, or made to harm: the version before serves on, and one line says why."""

import os
import shutil

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from serving.server.models.model import AVAILABLE, END, Model
from serving.server.models.versions import Models
from tests.serving.saved import save_half_plus_two


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return save_half_plus_two(tmp_path_factory.mktemp("hostile") / "1")


def edited(change):
    """Returns a function that changes the graph of a version."""

    def write(folder):
        proto = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        change(proto.meta_graphs[0])
        (folder / "saved_model.pb").write_bytes(proto.SerializeToString())

    return write


def node(graph, **fields):
    return graph.graph_def.node.add(**fields)


def swap_inputs(graph):
    nodes = {found.name: found for found in graph.graph_def.node}
    nodes["y"].input[0], nodes["y2"].input[0] = "y2", "y"


def add_asset(name):
    def change(graph):
        added = graph.asset_file_def.add(filename=name)
        constant = node(graph, name="asset", op="Const")
        constant.attr["dtype"].type = constant.attr["value"].tensor.dtype = 7
        constant.attr["value"].tensor.string_val.append(b"")
        constant.attr["value"].tensor.tensor_shape.SetInParent()
        added.tensor_info.name = "asset:0"

    return edited(change)


def negative_constant(graph):
    constant = node(graph, name="negative", op="Const")
    constant.attr["dtype"].type = constant.attr["value"].tensor.dtype = 1
    constant.attr["value"].tensor.tensor_shape.dim.add(size=-5)


def huge_constant(size):
    """A few bytes in the file that are terabytes in memory."""

    def change(graph):
        constant = node(graph, name="huge", op="Const")
        tensor = constant.attr["value"].tensor
        constant.attr["dtype"].type = tensor.dtype = 1
        tensor.tensor_shape.dim.add(size=size)
        tensor.float_val.append(1.0)

    return edited(change)


def loop(folder):
    shutil.rmtree(folder)
    folder.symlink_to(folder)


def base_again(folder):
    shutil.rmtree(folder)
    folder.symlink_to(folder.parent)


def pipe(folder):
    (folder / "saved_model.pb").unlink()
    os.mkfifo(folder / "saved_model.pb")


DATA = "variables/variables.data-00000-of-00001"
HOSTILE = {
    "no variables": (lambda folder: shutil.rmtree(folder / "variables"), "variables"),
    "no index": (lambda folder: (folder / "variables/variables.index").unlink(), "variables"),
    "cut variables": (lambda folder: os.truncate(folder / DATA, 3), ""),
    "cut index": (lambda folder: os.truncate(folder / "variables/variables.index", 20), ""),
    "empty graph": (lambda folder: os.truncate(folder / "saved_model.pb", 0), "could not be found"),
    "cut graph": (lambda folder: os.truncate(folder / "saved_model.pb", 1000), "Cannot parse file"),
    "no proto": (lambda folder: (folder / "saved_model.pb").write_bytes(b"\xff" * 500), "Cannot parse file"),
    "a folder for a graph": (lambda folder: [(folder / "saved_model.pb").unlink(), (folder / "saved_model.pb").mkdir()], "SavedModel file does not exist at"),
    "a pipe for a graph": (pipe, "SavedModel file does not exist at"),
    "a loop of links": (loop, "SavedModel file does not exist at"),
    "the base path again": (base_again, "SavedModel file does not exist at"),
    "unknown operation": (edited(lambda graph: node(graph, name="n", op="NoSuchOp")), "NoSuchOp"),
    "input of nothing": (edited(lambda graph: node(graph, name="n", op="Identity", input=["nowhere"])), "nowhere"),
    "cycle": (edited(swap_inputs), "cycle"),
    "negative size": (edited(negative_constant), "-5"),
    "huge constant": (huge_constant(2**40), "expected constants of at most 4294967296 bytes, found huge of 1099511627776 values"),
    "overflowing constant": (huge_constant(2**62), "expected constants of at most"),
    "asset above": (add_asset("../../../../../../../../etc/hostname"), "expected assets of the version's folder, found ../"),
    "other tags": (edited(lambda graph: graph.meta_info_def.tags.append("tpu")), "serve"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_the_version_before_serves_on(good, tmp_path, capsys, name):
    spoil, said = HOSTILE[name]
    base = tmp_path / "base"
    base.mkdir()
    (base / "1").symlink_to(good)
    models = Models([Model("m", base)])
    models.update()
    shutil.copytree(good, base / "2")
    spoil(base / "2")
    capsys.readouterr()
    for _ in range(3):
        models.update()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"m version 2: not loaded from {base}/2: ") and said in line and len(line) < 600
    assert {n: version.state for n, version in models.status("m")} == {2: END, 1: AVAILABLE}
    servable = models.models["m"].versions[1].servable
    assert servable.predict("serving_default", {"x": np.array([[1.0]], np.float32)})["y"] == [[2.5]]
