"""Public functions say what they take and give: the type checker of `make lint` has something to hold them to."""

import ast

import pytest

from tests.conftest import ROOT

FILES = [path for package in ("models", "trainer", "serving") for path in sorted((ROOT / package).rglob("*.py"))]


def public(tree):
    """Yields the public functions of a module, and the public methods and `__init__` of its public classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and (
                    method.name == "__init__" or not method.name.startswith("_")
                ):
                    yield method


def lacking(function):
    """Returns what of a function is not annotated; a layer's `call` and its kin have Keras's signatures."""
    if function.name in ("call", "compute_output_spec", "get_config"):
        return []
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    names = [argument.arg for argument in every if argument and not argument.annotation]
    return [name for name in names if name not in ("self", "cls")] + (["return"] if not function.returns else [])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_are_annotated(path):
    found = {function.name: lacking(function) for function in public(ast.parse(path.read_text(encoding="utf-8")))}
    assert {name: names for name, names in found.items() if names} == {}
