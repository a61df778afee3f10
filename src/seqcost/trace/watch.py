"""The cost of any code, as it runs: `with watch() as seen:` books every operator inside the block.

Nothing is faked: the code computes, on whatever device it computes on, and the numbers are those of this one run.
Modules that are called inside are named after their class; what runs outside of any is named "code".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from seqcost.algebra import Bill
from seqcost.algebra.work import Beside, Direction, Row, flops_of, traffic_of
from seqcost.trace.answer.result import Coverage, Uncounted
from seqcost.trace.answer.rows import coverage, rows_of, uncounted
from seqcost.trace.book.ledger import Ledger, tensors_among
from seqcost.trace.book.memory import Memory
from seqcost.trace.book.paths import OUTSIDE, Paths

_OUTSIDE = "code"


class Watched:
    """What ran inside the block up to now; also where the block was left by an exception."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._book = ledger, ledger.book

    @property
    def beside(self) -> Beside:
        """Views and calls of modules, for each launch of a direction."""
        return self._ledger.beside()

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows of work: by direction, module and operator, apart by shapes."""
        return tuple(rows_of(self._book.entries, self._book.steps()))

    @property
    def peak_bytes(self) -> int:
        """Of the tensors that operators met or made, at the fullest moment."""
        return self._book.peak_bytes

    @property
    def flops(self) -> Bill:
        """Contractions and pointwise operations by module and operator; forward and backward apart."""
        return flops_of(self.rows, _name)

    @property
    def traffic(self) -> Bill:
        """Bytes read and written."""
        return traffic_of(self.rows, _name)

    @property
    def uncounted(self) -> tuple[Uncounted, ...]:
        """Operators without a formula."""
        return uncounted(self.rows)

    @property
    def coverage(self) -> Coverage:
        """Shares of operators and bytes that were counted."""
        return coverage(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "flops": self.flops.to_dict(),
            "traffic": self.traffic.to_dict(),
            "uncounted": [vars(u) for u in self.uncounted],
            "coverage": vars(self.coverage),
        }

    def __str__(self) -> str:
        return str(self.flops)


class _NamedAsCalled(Paths):
    """Paths of modules that are met only when they are called."""

    def __init__(self) -> None:
        super().__init__(nn.Module())
        self._counts: dict[str, int] = {}

    def _enter(self, module: nn.Module) -> None:
        if id(module) not in self._names and not self._open:
            kind = type(module).__name__
            self._counts[kind] = self._counts.get(kind, 0) + 1
            top = kind if self._counts[kind] == 1 else f"{kind}-{self._counts[kind]}"
            for name, part in module.named_modules():
                self._names[id(part)] = f"{top}.{name}" if name else top
            for name, parameter in module.named_parameters():
                self._owners[id(parameter)] = f"{top}.{name}".rpartition(".")[0]
        super()._enter(module)


class _Onlooker(Ledger):
    """A ledger that is told of no tensor beforehand: what an operator is given is there already.

    It changes nothing: what runs is the user's own computation.
    """

    rewrites = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tensors_among((args, kwargs or {})):
            self.memory.hold(tensor)
        return super().__torch_dispatch__(func, types, args, kwargs)


@contextmanager
def watch() -> Iterator[Watched]:
    """Book every operator that this thread runs inside the block, forward and backward.

    Examples
    --------
    >>> import torch
    >>> from seqcost.algebra import Kind
    >>> with watch() as seen:
    ...     _ = torch.randn(2, 3) @ torch.randn(3, 4)
    >>> seen.flops.total(Kind.CONTRACTION)
    48

    """
    paths = _NamedAsCalled()
    ledger = _Onlooker(paths, Memory(), [])
    ledger.noting = True
    with paths.following(), ledger:
        yield Watched(ledger)


def _name(row: Row) -> str:
    where = _OUTSIDE if row.path in ("", OUTSIDE) else row.path
    return ".".join(
        (*((row.direction,) if row.direction == Direction.BACKWARD else ()), where, row.name.split("::")[-1])
    )
