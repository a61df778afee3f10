"""The graph of a program's file, replayed: every node runs inside the scope of the module that it came from."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from seqcost.errors import BadTarget
from seqcost.programs.files.program_operators import check_pieces, found
from seqcost.programs.files.replayed import Replayed

# By number in PyTorch's schema of exported programs; beyond these a type has no elements that a CPU computes with.
DTYPES: dict[int, torch.dtype] = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 9: torch.complex32, 10: torch.complex64, 11: torch.complex128, 12: torch.bool,
    13: torch.bfloat16, 28: torch.uint16, 29: torch.float8_e4m3fn, 30: torch.float8_e5m2, 31: torch.float8_e4m3fnuz,
    32: torch.float8_e5m2fnuz, 33: torch.float8_e8m0fnu, 34: torch.uint32, 35: torch.uint64,
}  # fmt: skip
_FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format}
_STRIDED = 7


class ProgramGraph:
    """One graph; graphs inside it are handed to its operators as functions."""

    def __init__(self, target: str, plain: dict[str, Any]) -> None:
        self._target = target
        self._takes: list[str | None] = plain["takes"]
        self._gives: list[Any] = [self._made(value) for value in plain["gives"]]
        self._single: bool = plain["single"]
        self._nodes = [
            (name, found(name, target), [self._made(value) for value in given],
             {word: self._made(value) for word, value in named.items()}, results, path)
            for name, given, named, results, path in plain["nodes"]
        ]  # fmt: skip
        last: dict[str, int] = {}
        for at, (_, _, given, named, _, _) in enumerate(self._nodes):
            last |= dict.fromkeys(_names(given), at) | dict.fromkeys(_names(list(named.values())), at)
        kept = set(_names(self._gives))
        self._ends: dict[int, list[str]] = {}
        for name, at in last.items():
            if name not in kept:
                self._ends.setdefault(at, []).append(name)

    def paths(self) -> Iterator[str]:
        """The modules that nodes came from, those of inner graphs too."""
        for _, _, given, named, _, path in self._nodes:
            yield path
            for value in (*given, *named.values()):
                if isinstance(value, ProgramGraph):
                    yield from value.paths()

    def run(self, program: Replayed, inputs: Sequence[Any]) -> list[Any]:
        """The results for these inputs; a value is dropped after its last use."""
        values = {name: value for name, value in zip(self._takes, inputs, strict=True) if name is not None}
        del inputs
        for at, (_, operator, given, named, results, path) in enumerate(self._nodes):
            args = tuple(self._value(value, values, program) for value in given)
            kwargs = {word: self._value(value, values, program) for word, value in named.items()}
            check_pieces(operator, args, kwargs, results, self._target)
            result = program.inside(path, partial(operator, *args, **kwargs))
            del args, kwargs
            self._bind(results, result, values)
            del result
            for name in self._ends.get(at, ()):
                values.pop(name, None)
        return [self._value(value, values, program) for value in self._gives]

    def _bind(self, results: Any, value: Any, values: dict[str, Any]) -> None:
        if isinstance(results, list):
            for inner, part in zip(results, value if isinstance(value, tuple | list) else (value,), strict=False):
                self._bind(inner, part, values)
        elif results is not None:
            # An operator of graphs may give a tuple of one.
            values[results] = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value

    def _made(self, value: Any) -> Any:
        """A value of the file as it is kept: a name, or what it stands for."""
        kind, held = value
        if kind == "name":
            return _Name(held)
        if kind == "list":
            return [self._made(item) for item in held]
        if kind == "dtype":
            return _of(DTYPES, held, "type", self._target)
        if kind == "format":
            return _of(_FORMATS, held, "memory format", self._target)
        if kind == "layout":
            return _of({_STRIDED: torch.strided}, held, "layout", self._target)
        if kind == "device":
            return torch.device("cpu")
        if kind == "complex":
            return complex(*held)
        return ProgramGraph(self._target, held) if kind == "graph" else held

    def _value(self, value: Any, values: dict[str, Any], program: Replayed) -> Any:
        if isinstance(value, _Name):
            if value not in values:
                raise BadTarget(f"{self._target} reads {value[:80]} before anything makes it; export it anew.")
            return values[value]
        if isinstance(value, list):
            return [self._value(item, values, program) for item in value]
        if isinstance(value, ProgramGraph):
            return value._function(program)
        return value

    def _function(self, program: Replayed) -> Callable[..., Any]:
        def run(*inputs: Any) -> Any:
            results = self.run(program, inputs)
            return results[0] if self._single and len(results) == 1 else tuple(results)

        return run


class _Name(str):
    """What a node reads by name, unlike a word that it is given."""


def _names(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, _Name):
            yield item
        elif isinstance(item, list):
            yield from _names(item)


def _of(table: dict[int, Any], number: int, what: str, target: str) -> Any:
    if number not in table:
        raise BadTarget(f"{target} has the {what} {number}, which cannot be followed; export it in another.")
    return table[number]
