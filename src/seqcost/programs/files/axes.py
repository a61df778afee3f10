"""Which axis of a program's inputs is the length T and which the batch B, and the shapes of the inputs at a T and a B.

The size of an axis is a whole number, a name, or names joined by + - * // and brackets. An axis called after its
meaning (`sequence_length`, `batch`) is taken at its word. Otherwise a name that stands on axis 0 is the batch and the
first one after it the length. A program without such a name has one length only: that of axis 1 of its first input of
two or three axes. What was taken as what is said in `conventions`.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from seqcost.errors import BadSize, BadTarget

Size = int | str
# Words inside the names of axes, as the exporters of torch, Optimum and others write them.
_LENGTH_WORDS = ("seq", "length", "len", "time", "token", "frame", "steps")
_BATCH_WORDS = ("batch", "bsz")
_PAST_WORDS = ("past", "cache")  # tokens that were read before: none
_TOTAL_WORDS = ("total",)
_LENGTH_LETTERS, _BATCH_LETTERS = ("t", "n_ctx", "l"), ("b", "n", "bs")
MOST = 2**40  # of any axis


@dataclass(frozen=True)
class Axes:
    """The inputs of a program: names, and shapes whose sizes are numbers or expressions in `names`."""

    target: str
    shapes: Mapping[str, tuple[Size, ...]]
    ranges: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)  # what each name may be

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in a shape, in the order in which they appear."""
        found = (name for shape in self.shapes.values() for size in shape for name in _names_in(size))
        return tuple(dict.fromkeys(found))

    @property
    def batch(self) -> str | None:
        """The name that stands for B."""
        called = [name for name in self.names if _is(name, _BATCH_WORDS, _BATCH_LETTERS)]
        if called:
            return called[0]
        first = [name for shape in self.shapes.values() if len(shape) > 1 for name in _names_in(shape[0])]
        return next((name for name in first if not _is_length(name)), None)

    @property
    def length(self) -> str | None:
        """The name that stands for T."""
        others = [name for name in self.names if name != self.batch and not _is(name, _PAST_WORDS)]
        called = [name for name in others if _is_length(name) and not _is(name, _TOTAL_WORDS)]
        return next(iter(called or others), None)

    @property
    def fixed_length(self) -> int | None:
        """The one length of a program whose length has no name; None where it has one, or no axis for it."""
        place = self._fixed_place()
        return None if place is None else int(self.shapes[place][1])

    @property
    def fixed_batch(self) -> int | None:
        """The one batch of a program whose batch has no name; None where it has one, or no axis for it."""
        if self.batch is not None:
            return None
        first = next((shape for shape in self.shapes.values() if len(shape) > 1), None)
        if first is None:
            return None
        along = 1 if self.length in _names_in(first[0]) else 0  # time first
        return first[along] if isinstance(first[along], int) else None  # type: ignore[return-value]

    def _fixed_place(self) -> str | None:
        if self.length is not None:
            return None
        fitting = (n for n, shape in self.shapes.items() if len(shape) in (2, 3) and isinstance(shape[1], int))
        return next(fitting, None)

    def shapes_at(self, B: int, T: int) -> dict[str, tuple[int, ...]]:
        """The inputs' shapes; raises BadSize for a B or T that the program was not made for."""
        if self.fixed_length is not None and self.fixed_length != T:
            raise BadSize(
                f"T = {T:,} was asked of {self.target}, which was exported for T = {self.fixed_length:,} alone; ask "
                "for that length, or export it with a dynamic one."
            )
        if self.fixed_batch is not None and self.fixed_batch != B:
            raise BadSize(
                f"B = {B:,} was asked of {self.target}, which was exported for B = {self.fixed_batch:,} alone; ask for "
                "that batch, or export it with a dynamic one."
            )
        values = self._values(B, T)
        for name, value in values.items():
            low, high = self.ranges.get(name, (0, None))
            if value < low or (high is not None and value > high):
                most = "" if high is None else f" and at most {high:,}"
                raise BadSize(
                    f"{self._meaning(name, B, T)} was asked of {self.target}, which was exported for at least "
                    f"{low:,}{most}; choose a size in that range, or export it anew."
                )
        found = {
            name: tuple(_value(size, values, self.target) for size in shape) for name, shape in self.shapes.items()
        }
        for name, sizes in found.items():
            if any(not 0 <= size <= MOST for size in sizes):
                raise BadSize(f"the input {name} of {self.target} would have the shape {sizes}; choose other sizes.")
        return found

    def _meaning(self, name: str, B: int, T: int) -> str:
        return f"B = {B:,}" if name == self.batch else f"T = {T:,}"

    def _values(self, B: int, T: int) -> dict[str, int]:
        values = {name: 0 if _is(name, _PAST_WORDS) else T for name in self.names}
        for name, wanted in ((self.batch, B), (self.length, T)):
            if name is not None:
                values[name] = self._solved(name, wanted, values)
        return values

    def _solved(self, name: str, wanted: int, values: Mapping[str, int]) -> int:
        """What a name has to be so that the first axis that holds it has the size wanted: `2*s0` is T."""
        sizes = [size for shape in self.shapes.values() for size in shape]
        if name in sizes:
            return wanted
        first = next(size for size in sizes if name in _names_in(size))
        start, after = (_value(first, {**values, name: n}, self.target) for n in (0, 1))
        step = after - start
        found = (wanted - start) // step if step > 0 else -1
        if found < 0 or _value(first, {**values, name: found}, self.target) != wanted:
            raise BadSize(
                f"{wanted:,} was asked of {self.target}, of which {first} is that size; choose one that {first} can be."
            )
        return found

    @property
    def conventions(self) -> dict[str, str]:
        """What was taken as T and as B, a sentence each, and what became of other names."""
        said = {"T": self._place(self.length, "length", self._fixed_place(), 1, self.fixed_length)}
        first = next((name for name, shape in self.shapes.items() if len(shape) > 1), None)
        said["B"] = self._place(self.batch, "batch", first if self.fixed_batch is not None else None, 0,
                                self.fixed_batch)  # fmt: skip
        past = [name for name in self.names if _is(name, _PAST_WORDS) and name not in (self.length, self.batch)]
        others = [name for name in self.names if name not in (self.length, self.batch, *past)]
        if past:
            said["past"] = f"{', '.join(past)} = 0: no tokens were read before"
        if others:
            said["other axes"] = f"{', '.join(others)} = T"
        return said

    def _place(self, name: str | None, what: str, fixed: str | None, axis: int, size: int | None) -> str:
        if name is not None:
            for input_name, shape in self.shapes.items():
                for place, given in enumerate(shape):
                    if name in _names_in(given):
                        return f"axis {place} of {input_name}, called {given}"
        if fixed is not None and size is not None:
            if what == "batch" and self.length in _names_in(self.shapes[fixed][0]):
                axis = 1
            return f"axis {axis} of {fixed}, exported for {size:,} alone"
        return f"no axis of an input is the {what}"


def _is(name: str, words: tuple[str, ...], letters: tuple[str, ...] = ()) -> bool:
    plain = name.lower()
    return plain in letters or any(word in plain for word in words)


def _is_length(name: str) -> bool:
    return _is(name, _LENGTH_WORDS, _LENGTH_LETTERS) and not _is(name, _BATCH_WORDS)


def _names_in(size: Size) -> tuple[str, ...]:
    return () if isinstance(size, int) else tuple(dict.fromkeys(re.findall(r"[^\W\d][\w.]*", size)))


_OPERATIONS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
}  # fmt: skip


def _value(size: Size, values: Mapping[str, int], target: str) -> int:
    if isinstance(size, int):
        return size
    if size in values:
        return values[size]

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.Name | ast.Attribute) and (name := ast.unparse(node)) in values:
            return values[name]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](value(node.left), value(node.right))
        raise ValueError(ast.unparse(node))

    try:
        return value(ast.parse(size.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        raise BadTarget(
            f"an axis of {target} has the size {size[:80]!r}; a number, a name, or names joined by + - * // is allowed."
        ) from None
