"""What is tried, and how it is told: a module with its input and output, the ways to call it, one row per invariant.

Errors are relative: the largest difference over the largest number of the whole sequence's output. Positions count
from 0.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from seqcost.errors import FOREIGN_ERRORS, one_line
from seqcost.progress import tell
from seqcost.questions.invariants.carriers import Carrier
from seqcost.questions.invariants.ids import random_like, special_ids

Verdict = Literal["holds", "fails", "raises", "not asked"]
FURTHER, STEP = "further tokens", "a step"
NOT_FINITE = "numbers that are not finite"


@dataclass(frozen=True)
class Row:
    """One invariant, and what came of it."""

    what: str
    verdict: Verdict
    error: float | None = None
    position: int | None = None  # the first wrong one
    remark: str = ""


def all_hold(rows: Iterable[Row]) -> bool:
    """Whether nothing fails or raises."""
    return all(row.verdict in ("holds", "not asked") for row in rows)


@dataclass(frozen=True)
class Way:
    """A call of a module: tokens `at` … `stop` − 1, after what is carried by then; or all of them at once."""

    name: str
    at: int
    stop: int
    whole: bool = False


@dataclass(frozen=True)
class Bench:
    """A module, an input x [B,T] or [B,T,D], the whole sequence's output, and how closely things must agree."""

    carrier: Carrier
    x: Tensor
    y: Tensor
    tolerance: float
    every_cut: bool = True  # else some, where it was tried at every one before
    refused: tuple[str, ...] = ()  # names of ways that raise, which the rows of splits tell

    @property
    def T(self) -> int:
        """Tokens."""
        return self.x.shape[self.carrier.time_axis]

    @property
    def B(self) -> int:
        """Sequences."""
        return self.x.shape[1 - self.carrier.time_axis]

    def cut(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Tokens start … stop − 1."""
        return x.narrow(self.carrier.time_axis, start, stop - start)

    def row_of(self, x: Tensor, row: int) -> Tensor:
        """One sequence of a batch, as a batch of one."""
        return x.narrow(1 - self.carrier.time_axis, row, 1)

    def alone(self) -> "list[Bench]":
        """A bench for each sequence."""
        return [replace(self, x=self.row_of(self.x, row), y=self.row_of(self.y, row)) for row in range(self.B)]

    def other(self, seed: int, *, scale: float = 1.0) -> Tensor:
        """Another input of the same shape."""
        return random_like(self.x, seed, special_ids(self.carrier.module), scale=scale)

    def whole(self, x: Tensor) -> Tensor:
        """The output on a whole sequence, which is left as it is."""
        return self.carrier.whole(x.clone())

    def carried(self, x: Tensor, pieces: Sequence[int], keep: Tensor | None = None) -> tuple[Tensor, Any]:
        """The outputs of all pieces, and what is carried at the end."""
        state, outputs, at = self.carrier.start(self.B), [], 0
        for tokens in pieces:
            seen = None if keep is None else keep[:, : at + tokens]
            # x itself, not a copy of it, must reach the module where gradients are asked for.
            so_far = self.cut(x, 0, at + tokens)
            y, state = self.carrier.go_on(so_far if x.requires_grad else so_far.clone(), at, state, keep=seen)
            outputs.append(y)
            at += tokens
        return torch.cat(outputs, dim=self.carrier.time_axis), state

    def without_what_raises(self) -> "Bench":
        """The bench without the ways in which the module cannot be called at all."""
        refused = []
        for way in self.ways():
            try:
                self.call(way, self.x.clone(), None if way.whole else self.state_at(way.at))
            except FOREIGN_ERRORS:
                refused.append(way.name)
        return replace(self, refused=tuple(refused))

    def ways(self) -> Iterator[Way]:
        """All ways in which it can be called: the whole, further tokens, a step, and a first step."""
        return (way for way in self._ways() if way.name not in self.refused)

    def _ways(self) -> Iterator[Way]:
        half = self.T // 2
        yield Way("the whole", 0, self.T, whole=True)
        if self.carrier.carries and not self.carrier.hidden:
            if self.carrier.pieces:
                yield Way(FURTHER, half, self.T)
            yield Way(STEP, half, half + 1)
            yield Way("the first step", 0, 1)

    def state_at(self, at: int) -> Any:
        """What is carried after so many tokens."""
        return self.carried(self.x, [at])[1] if at else self.carrier.start(self.B)

    def call(self, way: Way, x: Tensor, state: Any) -> Tensor:
        """The output of a call, on x itself and the state itself."""
        if way.whole:
            return self.carrier.whole(x)
        return self.carrier.go_on(self.cut(x, 0, way.stop), way.at, state)[0]

    def few_pieces(self) -> list[int]:
        """A prefill, further tokens and some steps, as far as either can follow."""
        third, names = self.T // 3, {way.name for way in self.ways()}
        further = [third] if FURTHER in names or (self.carrier.hidden and self.carrier.pieces) else []
        steps = [1, 1, 1] if STEP in names or self.carrier.hidden else []
        return [third, *further, *steps]

    def row(self, what: str, ours: Tensor, theirs: Tensor, remark: str = "") -> Row:
        """Whether two outputs agree."""
        if ours.shape != theirs.shape:
            return Row(what, "fails", remark=f"output of shape {tuple(ours.shape)} instead of {tuple(theirs.shape)}")
        error, position = self.difference(ours, theirs)
        verdict: Verdict = "holds" if error <= self.tolerance else "fails"
        if error == float("inf"):
            return Row(what, verdict, None, position, remark or NOT_FINITE)
        return Row(what, verdict, error, position if verdict == "fails" else None, remark)

    def difference(self, ours: Tensor, theirs: Tensor) -> tuple[float, int]:
        """Relative error, and the first position that is wrong by more than the tolerance."""
        scale = float(self.y.detach().abs().max().clamp_min(1e-30))
        gap = (ours - theirs).detach().abs().nan_to_num(nan=float("inf")) / scale
        rest = [axis for axis in range(gap.dim()) if axis != self.carrier.time_axis]
        by_position = gap.amax(rest) if gap.dim() > 1 else gap
        wrong = (by_position > self.tolerance).nonzero()
        return float(gap.max()) if gap.numel() else 0.0, int(wrong[0]) if len(wrong) else 0


def worst(rows: Iterator[Row]) -> Row:
    """The first row that does not hold, else the one of the largest error."""
    seen = list(rows)
    bad = next((row for row in seen if row.verdict in ("fails", "raises")), None)
    return bad or max(seen, key=lambda row: row.error or 0.0)


def tried(what: str, ask: Callable[[], Row]) -> Row:
    """An invariant's row; what a module raises becomes its remark."""
    tell(f"checking: {what}")
    try:
        return ask()
    except FOREIGN_ERRORS as error:  # that is an answer
        return Row(what, "raises", remark=f"{type(error).__name__}: {one_line(error, most=160)}")
