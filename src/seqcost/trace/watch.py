"""The cost of any code, as it runs: `with watch() as seen:` books every operator inside the block.

Nothing is faked: the code computes, on whatever device it computes on, and the numbers are those of this one run.
Modules that are called inside are named after their class; what runs outside of any is named "code".
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from seqcost.algebra import Bill, Kind, Line
from seqcost.trace.answer.result import Coverage, Uncounted
from seqcost.trace.book.ledger import Entry, Key, Ledger, tensors_among
from seqcost.trace.book.memory import Memory
from seqcost.trace.book.paths import BACKWARD, Paths

_OUTSIDE = "code"


class Watched:
    """What ran inside the block up to now; also where the block was left by an exception."""

    def __init__(self, entries: Mapping[Key, Entry]) -> None:
        self._entries = entries

    @property
    def flops(self) -> Bill:
        """Contractions and pointwise operations by module and operator; forward and backward apart."""
        lines = []
        for key, entry in self._entries.items():
            for kind, amount in ((Kind.CONTRACTION, entry.contraction), (Kind.POINTWISE, entry.pointwise)):
                if amount:
                    lines.append(Line(_name(key), amount, kind))
        return Bill(lines)

    @property
    def traffic(self) -> Bill:
        """Bytes read and written."""
        return Bill(Line(_name(key), e.moved_bytes, Kind.TRAFFIC) for key, e in self._entries.items() if e.moved_bytes)

    @property
    def uncounted(self) -> tuple[Uncounted, ...]:
        """Operators without a formula."""
        unknown = ((key, entry) for key, entry in self._entries.items() if not entry.known)
        return tuple(Uncounted(key[2], key[1], entry.calls, entry.moved_bytes) for key, entry in unknown)

    @property
    def coverage(self) -> Coverage:
        """Shares of operators and bytes that were counted."""
        calls, moved = (sum(getattr(e, name) for e in self._entries.values()) for name in ("calls", "moved_bytes"))
        missing = sum(u.calls for u in self.uncounted), sum(u.moved_bytes for u in self.uncounted)
        return Coverage(1 - missing[0] / calls if calls else 1.0, 1 - missing[1] / moved if moved else 1.0)

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
    >>> with watch() as seen:
    ...     _ = torch.randn(2, 3) @ torch.randn(3, 4)
    >>> seen.flops.total(Kind.CONTRACTION)
    48

    """
    paths = _NamedAsCalled()
    ledger = _Onlooker(paths, Memory(), [])
    with paths.following(), ledger:
        yield Watched(ledger.entries)


def _name(key: Key) -> str:
    direction, path, operator = key
    where = _OUTSIDE if path in ("", "loss") else path
    return ".".join((*((direction,) if direction == BACKWARD else ()), where, operator.split("::")[-1]))
