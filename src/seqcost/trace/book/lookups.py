"""Tables that are looked up by position, and whether they reach as far as a run asks.

Shapes do not tell: a fake embedding gives a row for whatever number, where a real one raises. So the values of tensors
are followed as far as they are made of ranges and constants (`arange(T) + offset`, the running sum of a mask of ones);
on real tensors they are there anyway. Tokens that were made up are taken for 0, so that a table of words is never found
too short. The module itself is shown none of these values, so that its run stays one without them; `values` has those
that it may ask for.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from seqcost.fakes.schemas import base_name
from seqcost.fakes.trees import map_tensors, tensors_in
from seqcost.trace.book.paths import Paths

_RANGES = (torch.ops.aten.arange.default, torch.ops.aten.arange.start, torch.ops.aten.arange.start_step)
_ONES = ("aten::ones", "aten::ones_like", "aten::new_ones")
_ZEROS = ("aten::zeros", "aten::zeros_like", "aten::new_zeros")
_INDICES = {"aten::embedding": 1, "aten::index_select": 2, "aten::index": 1}  # which argument they are
_MOST_VALUES = 2**22  # of a tensor that is made here
_PLAIN = (int, float, bool, type(None), str, torch.dtype, torch.device, torch.layout, torch.memory_format)

Table = tuple[str, int]  # the path of the module that looks up, and the rows of its table


class Lookups:
    """Of one run: the largest row that was asked of each table, None where that is not known."""

    def __init__(self, paths: Paths, inputs: Iterable[Tensor]) -> None:
        self._paths = paths
        self.largest: dict[Table, int | None] = {}
        self._spoilt: list[torch.UntypedStorage] = []  # written to with values that are not known
        for tensor in inputs:
            if _is_followed(tensor) and not tensor.is_floating_point() and tensor.numel() <= _MOST_VALUES:
                with unset_fake_temporarily():
                    _learn(tensor, torch.zeros(tuple(tensor.shape), dtype=tensor.dtype))

    def note(self, operator: Any, args: Any, kwargs: Any, out: Any) -> None:
        """An operator ran."""
        where = _INDICES.get(base_name(operator))
        if where is not None and len(args) > where:
            self._look_up(args[0], args[where])
        if operator._schema.is_mutable:
            known = self._follow(operator, args, kwargs, out)
            values = [] if known else [self._value(tensor) for tensor in tensors_in((args, kwargs))]
            self._spoilt += [value.untyped_storage() for value in values if value is not None]
        elif _is_followed(out):
            self._follow(operator, args, kwargs, out)

    def _look_up(self, table: Tensor, indices: Any) -> None:
        index = indices[0] if isinstance(indices, list | tuple) else indices
        if not isinstance(index, Tensor) or index.dtype is torch.bool or not index.numel():
            return
        value: Tensor | None = index
        if isinstance(index, FakeTensor):
            value = self._value(index) if index.constant is None else index.constant
        key = self._paths.now()[0], int(table.shape[0])
        before = self.largest.setdefault(key, None)
        if value is not None:
            with unset_fake_temporarily():
                self.largest[key] = max(int(value.max()), before or 0)

    def _follow(self, operator: Any, args: Any, kwargs: Any, out: Any) -> bool:
        """Whether the values of the result are known too."""
        name = base_name(operator)
        if not _is_followed(out) or not _is_plain((args, kwargs)):
            return False
        if out.numel() > _MOST_VALUES and not operator.is_view:
            return False
        with unset_fake_temporarily():
            if operator in _RANGES:
                _learn(out, operator(*args, **kwargs))
            elif name in _ONES or name in _ZEROS:
                _learn(out, torch.full(tuple(out.shape), int(name in _ONES), dtype=out.dtype))
            else:
                values = [self._value(t) for t in tensors_in((args, kwargs))]
                if not values or any(value is None for value in values):
                    return False
                args, kwargs = map_tensors(self._value, (args, kwargs))
                found = operator(*args, **kwargs)
                if found.shape != out.shape:  # as many as other values say than tokens that are 0
                    return False
                _learn(out, found)
        return True

    def _value(self, tensor: Tensor) -> Tensor | None:
        value: Tensor | None = getattr(tensor, "_seqcost_value", None)
        if value is not None and any(value.untyped_storage()._cdata == s._cdata for s in self._spoilt):
            return None
        return value


def too_short(seen: Mapping[int, Mapping[Table, int | None]], T: int) -> str | None:
    """A sentence where a table that is looked up by position ends before T, from `Lookups.largest` by length; or None.

    By position is what asks one row further for each token more.
    """
    for (path, rows), further in _by_position(seen):
        row = T + further
        if row >= max(rows, T - 1):
            return (
                f"T = {T:,} asks for row {row:,} of {path or 'the module itself'}, a table of rows 0 to {rows - 1:,}: "
                "the count goes on, a real run fails"
            )
    return None


def longest(seen: Mapping[int, Mapping[Table, int | None]]) -> int | None:
    """The most tokens that all tables looked up by position reach for; None where there is none, or one length only."""
    if len(seen) < 2:
        return None
    return min((rows - 1 - further for (_, rows), further in _by_position(seen) if further >= -1), default=None)


def _by_position(seen: Mapping[int, Mapping[Table, int | None]]) -> Iterator[tuple[Table, int]]:
    """Tables that are asked for one row further for each token more, and the largest row less the length."""
    for table in next(iter(seen.values())):
        if not all(table in largest for largest in seen.values()):
            continue  # it grows with the length
        further = {row - n for n, largest in seen.items() if (row := largest[table]) is not None}
        if len(further) == 1:
            yield table, further.pop()


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    return type(value) in _PLAIN or isinstance(value, Tensor)


def _is_followed(tensor: Any) -> bool:
    return (
        isinstance(tensor, FakeTensor)
        and tensor.fake_device.type == "cpu"
        and all(type(size) is int for size in tensor.shape)
    )


def _learn(tensor: Tensor, value: Tensor) -> None:
    tensor._seqcost_value = value  # type: ignore[attr-defined]
