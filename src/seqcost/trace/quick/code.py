"""Whether code may remember: a layer whose code does is another one at its second call, and at its tenth.

Looked through are the classes of a layer's modules and the functions that they call, PyTorch's own excepted. Refused is
what assigns to a global or an outer variable, what does more with a list or a dict outside of it than look up, what
reads an iterator, and what takes its number among the layers for a place in anything but its cache. (That it neither
counts nor compares with its number is seen while it runs: see `skipping`.)
"""

import ast
import inspect
import textwrap
from collections import deque
from collections.abc import Iterator
from functools import cache
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

_MUTABLE = (list, dict, set, bytearray, deque)
_THEIRS = ("torch.", "typing", "collections", "functools", "dataclasses", "warnings", "logging", "math")
_READING = ("get", "keys", "values", "items")
_CACHES = ("cache", "past_key_value")


def remembers(kind: type[nn.Module], numbers: frozenset[str]) -> bool:
    """Whether a class of modules may do something else at another call, or for another number among the layers."""
    return any(
        _function_remembers(function, numbers)
        for base in kind.__mro__
        if base not in nn.Module.__mro__ and not base.__module__.startswith("torch.")
        for name, function in _functions_of(base)
        if name not in ("__init__", "extra_repr", "reset_parameters")
    )


def _functions_of(base: type) -> Iterator[tuple[str, FunctionType]]:
    for name, value in vars(base).items():
        for found in (value, *(getattr(value, side, None) for side in ("fget", "__func__"))):
            function = inspect.unwrap(found) if callable(found) else found
            if isinstance(function, FunctionType):
                yield name, function


@cache
def _function_remembers(function: FunctionType, numbers: frozenset[str], depth: int = 0) -> bool:
    tree = _tree(function)
    changeable = {name for name, value in _outside(function) if _is_changeable(value)}
    if changeable and (tree is None or not _only_looked_up(tree, changeable)):
        return True
    if tree is None or any(
        isinstance(node, ast.Global | ast.Nonlocal) or _takes_the_next(node) for node in ast.walk(tree)
    ):
        return True
    if numbers and not _numbers_are_places(tree, numbers):
        return True
    if _assigns_outside(function, tree):
        return True
    called = (value for _, value in _outside(function) if isinstance(value, FunctionType | MethodType))
    plain = (getattr(value, "__func__", value) for value in called)
    own = (f for f in plain if isinstance(f, FunctionType) and not f.__module__.startswith(_THEIRS))
    return depth < 3 and any(_function_remembers(f, frozenset(), depth + 1) for f in own if f is not function)


def _outside(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What the names of a function's code stand for, where they are not its own."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _is_changeable(value: Any) -> bool:
    if isinstance(value, ModuleType | type):
        return False
    return isinstance(value, (*_MUTABLE, Tensor)) or hasattr(value, "__next__")


def _only_looked_up(tree: ast.AST, names: set[str]) -> bool:
    """Whether what these names stand for is asked for its elements and nothing else."""
    allowed: set[int] = set()
    for node in ast.walk(tree):
        read = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)
        if read or (isinstance(node, ast.Attribute) and node.attr in _READING):
            allowed.add(id(node.value))  # type: ignore[attr-defined]
        elif isinstance(node, ast.Compare):
            allowed |= {id(side) for side in node.comparators}
    return all(id(node) in allowed for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in names)


def _takes_the_next(node: ast.AST) -> bool:
    """Whether an iterator is asked that something holds: it goes on from call to call."""
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "next"
    return named and any(isinstance(arg, ast.Attribute | ast.Name) for arg in node.args)  # type: ignore[attr-defined]


@cache
def _tree(function: FunctionType) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # code without a source
        return None


def _assigns_outside(function: FunctionType, tree: ast.AST) -> bool:
    """Whether an attribute or an element of something that is neither an argument nor made here is set."""
    own = {*function.__code__.co_varnames, *function.__code__.co_cellvars}
    for node in ast.walk(tree):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        )
        for target in targets:
            root: ast.AST = target
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if root is target:
                continue
            if not isinstance(root, ast.Name) or (root.id not in own and root.id != function.__name__):
                return True
            if isinstance(node, ast.AugAssign) and root.id == "self":
                return True  # it counts
    return False


def _numbers_are_places(tree: ast.AST, numbers: frozenset[str]) -> bool:
    """Whether a layer's number is handed to its cache alone, and is no place in anything else."""
    refused: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            holder = ast.unparse(node.func)
            if not any(word in holder for word in _CACHES):
                refused |= {id(arg) for arg in (*node.args, *(keyword.value for keyword in node.keywords))}
        elif isinstance(node, ast.Subscript):
            if not any(word in ast.unparse(node.value) for word in _CACHES):
                refused |= {id(inner) for inner in ast.walk(node.slice)}
        elif isinstance(node, ast.Assign | ast.NamedExpr | ast.Return):
            refused.add(id(node.value))
    return not any(
        id(node) in refused for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in numbers
    )
