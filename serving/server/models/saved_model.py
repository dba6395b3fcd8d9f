"""A SavedModel, read into a session: its graph and its weights."""

import math
import os
from collections.abc import Sequence

import tensorflow as tf
from google.protobuf.message import Message
from tensorflow.python.saved_model import loader_impl

from serving.server import files

MAX_CONSTANT_BYTES = 2**32  # of one constant, which takes a few bytes in the file if all of its values are equal


def load(session: tf.compat.v1.Session, tags: Sequence[str], path: str) -> Message:
    """Loads a SavedModel as `tf.compat.v1.saved_model.loader.load` does; returns its `MetaGraphDef`.

    Most of those that TensorFlow 2 writes begin with an operation that does nothing. It is not run: before anything is, TensorFlow
    optimizes all functions of the graph, which takes a tenth of a second and more.

    Args:
        session: Which gets the weights, its graph the operations.
        tags: Of the graph.
        path: Folder that holds `saved_model.pb`.

    Raises:
        OSError, tf.errors.OpError, RuntimeError, ValueError: It cannot be loaded, has assets outside of its folder, or constants
            that would fill the memory.
    """
    # Of a pipe, TensorFlow would wait for the end
    if not any(files.is_file(os.path.join(path, name)) for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise FileNotFoundError(f"SavedModel file does not exist at: {path}/saved_model.pb or saved_model.pbtxt")
    loader = loader_impl.SavedModelLoader(path)
    with session.graph.as_default():
        saver, _ = loader.load_graph(session.graph, tags)
        loader.restore_variables(session, saver)
        meta_graph = loader.get_meta_graph_def_from_tags(tags)
        first = loader_impl.get_init_op(meta_graph)
        if getattr(first, "type", None) != "NoOp" or first.control_inputs:
            loader.run_init_ops(session, tags)
    _check(meta_graph)
    return meta_graph


def _check(meta_graph):
    for asset in meta_graph.asset_file_def:
        if os.path.isabs(asset.filename) or ".." in asset.filename.split("/"):
            raise ValueError(f"expected assets of the version's folder, found {asset.filename}")
    graph = meta_graph.graph_def
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            if node.op == "Const":
                proto = node.attr["value"].tensor
                size = math.prod(dimension.size for dimension in proto.tensor_shape.dim)
                if size > MAX_CONSTANT_BYTES // max(tf.as_dtype(proto.dtype).size, 1):
                    raise ValueError(
                        f"expected constants of at most {MAX_CONSTANT_BYTES} bytes, found {node.name} of {size} values"
                    )
