"""What must hold of a sequence model whatever its formula: one function an invariant, each giving one row.

Errors are relative: the largest difference over the largest number of the whole sequence's output. Positions count
from 0.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from seqcost.errors import FOREIGN_ERRORS
from seqcost.questions.carriers import Carrier, random_like

Verdict = Literal["holds", "fails", "raises", "not asked"]


@dataclass(frozen=True)
class Row:
    """One invariant, and what came of it."""

    what: str
    verdict: Verdict
    error: float | None = None
    position: int | None = None  # the first wrong one
    remark: str = ""


@dataclass(frozen=True)
class Bench:
    """A module, an input x [B,T] or [B,T,D], the whole sequence's output, and how closely things must agree."""

    carrier: Carrier
    x: Tensor
    y: Tensor
    tolerance: float

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

    def carried(self, x: Tensor, pieces: Sequence[int], keep: Tensor | None = None) -> tuple[Tensor, Any]:
        """The outputs of all pieces, and what is carried at the end."""
        state, outputs, at = self.carrier.start(self.B), [], 0
        for tokens in pieces:
            seen = None if keep is None else keep[:, : at + tokens]
            y, state = self.carrier.go_on(self.cut(x, at, at + tokens), state, at=at, keep=seen)
            outputs.append(y)
            at += tokens
        return torch.cat(outputs, dim=self.carrier.time_axis), state

    def row(self, what: str, ours: Tensor, theirs: Tensor, remark: str = "") -> Row:
        """Whether two outputs agree."""
        if ours.shape != theirs.shape:
            return Row(what, "fails", remark=f"output of shape {tuple(ours.shape)} instead of {tuple(theirs.shape)}")
        error, position = self.difference(ours, theirs)
        verdict: Verdict = "holds" if error <= self.tolerance else "fails"
        return Row(what, verdict, error, position if verdict == "fails" else None, remark)

    def difference(self, ours: Tensor, theirs: Tensor) -> tuple[float, int]:
        """Relative error, and the first position that is wrong by more than the tolerance."""
        scale = float(self.y.detach().abs().max().clamp_min(1e-30))
        gap = (ours - theirs).detach().abs().nan_to_num(nan=float("inf")) / scale
        rest = [axis for axis in range(gap.dim()) if axis != self.carrier.time_axis]
        by_position = gap.amax(rest) if gap.dim() > 1 else gap
        wrong = (by_position > self.tolerance).nonzero()
        return float(gap.max()) if gap.numel() else 0.0, int(wrong[0]) if len(wrong) else 0


def splits(bench: Bench) -> Iterator[Row]:
    """Any split of a sequence gives what the whole gives."""
    T = bench.T
    third = T // 3
    cases = {
        "three pieces = whole": [third, third, T - 2 * third],
        "pieces of 7 = whole": [7] * (T // 7) + ([T % 7] if T % 7 else []),
        "one token, then the rest": [1, T - 1],
        "a prefill, then single steps": [third] + [1] * (T - third),
        f"single steps, batch of {bench.B}": [1] * T,
    }
    for what, pieces in cases.items():
        yield _tried(what, lambda what=what, pieces=pieces: bench.row(what, bench.carried(bench.x, pieces)[0], bench.y))


def causality(bench: Bench) -> Row:
    """Later tokens change nothing before them."""
    at = bench.T // 2
    other = torch.cat(
        [bench.cut(bench.x, 0, at), bench.cut(random_like(bench.x, 11), at, bench.T)], dim=bench.carrier.time_axis
    )
    y = bench.carrier.whole(other)
    before = bench.row("does not see the future", bench.cut(y, 0, at), bench.cut(bench.y, 0, at))
    if before.verdict == "fails" and not bench.carrier.carries:
        return Row(before.what, "not asked", before.error, before.position, "it sees both ways and carries nothing")
    return before


def rows_apart(bench: Bench) -> Row:
    """One sequence of a batch does not see another."""
    other = random_like(bench.x, 13)
    batch = 1 - bench.carrier.time_axis
    mixed = torch.cat([bench.x.narrow(batch, 0, 1), other.narrow(batch, 1, bench.B - 1)], dim=batch)
    y = bench.carrier.whole(mixed)
    return bench.row("rows of a batch are apart", y.narrow(batch, 0, 1), bench.y.narrow(batch, 0, 1))


def padding(bench: Bench) -> Iterator[Row]:
    """Masked tokens change nothing."""
    names = ("padding on the right", "padding on the left", "right-padded prefill, then steps")
    if not bench.carrier.takes_mask or bench.carrier.time_axis != 1:
        for what in names:
            yield Row(what, "not asked", remark="it takes no mask")
        return
    extra = 5
    T = bench.T
    noise = bench.cut(random_like(bench.x, 17), 0, extra)
    real, empty = torch.ones(bench.B, T, dtype=torch.bool), torch.zeros(bench.B, extra, dtype=torch.bool)

    def right() -> Row:
        y = bench.carrier.whole(torch.cat([bench.x, noise], 1), keep=torch.cat([real, empty], 1))
        return bench.row(names[0], y[:, :T], bench.y)

    def left() -> Row:
        y = bench.carrier.whole(torch.cat([noise, bench.x], 1), keep=torch.cat([empty, real], 1))
        return bench.row(names[1], y[:, extra:], bench.y)

    def steps() -> Row:
        half = T // 2
        x = torch.cat([bench.x[:, :half], noise, bench.x[:, half:]], 1)
        keep = torch.cat([real[:, :half], empty, real[:, half:]], 1)
        y, _ = bench.carried(x, [half + extra] + [1] * (T - half), keep)
        return bench.row(names[2], torch.cat([y[:, :half], y[:, half + extra :]], 1), bench.y)

    yield _tried(names[0], right)
    yield _tried(names[1], left)
    if not bench.carrier.carries or type(bench.carrier).__name__ == "OurLayer":
        yield Row(names[2], "not asked", remark="it is carried on without a mask")
    else:
        yield _tried(names[2], steps)


def untouched(bench: Bench) -> Iterator[Row]:
    """Inputs, what is carried and the global random numbers are left as they were."""
    before = bench.x.clone()
    seeds = (torch.get_rng_state(), np.random.get_state(), random.getstate())  # noqa: NPY002 - the global one is meant
    bench.carrier.whole(bench.x)
    same = torch.equal(before, bench.x)
    yield Row("the input is not changed", "holds" if same else "fails")
    after = (torch.get_rng_state(), np.random.get_state(), random.getstate())  # noqa: NPY002
    touched = [
        name
        for name, moved in zip(
            ("torch", "numpy", "python"),
            (not torch.equal(seeds[0], after[0]), not _same_numpy(seeds[1], after[1]), seeds[2] != after[2]),
            strict=True,
        )
        if moved
    ]
    yield Row("global random numbers are not touched", "fails" if touched else "holds", remark=", ".join(touched))


def state_kept(bench: Bench) -> Row:
    """What was carried can be carried on twice: a step does not change it."""
    what = "the state is not changed by a step"
    if not bench.carrier.functional:
        return Row(what, "not asked", remark="its cache is filled in place by design")
    half = bench.T // 2
    _, state = bench.carried(bench.x, [half])
    following = bench.cut(bench.x, half, bench.T)
    first, _ = bench.carrier.go_on(following, state, at=half)
    again, _ = bench.carrier.go_on(following, state, at=half)
    return bench.row(what, again, first)


def state_size(bench: Bench) -> Row:
    """How large what is carried is, and how it grows."""
    half = bench.T // 2
    sizes = [bench.carrier.nbytes(bench.carried(bench.x, [tokens])[1]) for tokens in (half, bench.T)]
    if None in sizes:
        return Row("size of what is carried", "not asked", remark="it is hidden inside the module")
    small, large = (size or 0 for size in sizes)
    growth = (large - small) / (bench.T - half) / bench.B
    words = f"{large:,} bytes after {bench.T} tokens, " + (f"{growth:,.6g} a token" if growth else "constant")
    return Row("size of what is carried", "holds", remark=words)


def gradients(bench: Bench) -> Row:
    """Gradients reach earlier tokens through what is carried."""
    what = "gradients through the state"
    if not bench.x.is_floating_point():
        weights = [p for p in bench.carrier.module.parameters() if p.requires_grad]
    else:
        weights = []
    seed = torch.randn(bench.y.shape, generator=torch.Generator().manual_seed(5), dtype=bench.y.dtype)
    third = bench.T // 3
    found = []
    for pieces in (None, [third, bench.T - third]):
        x = bench.x.detach().clone().requires_grad_(bench.x.is_floating_point())
        y = bench.carrier.whole(x) if pieces is None else bench.carried(x, pieces)[0]
        asked = [x] if x.is_floating_point() else weights
        found.append(torch.autograd.grad((y * seed).sum(), asked, allow_unused=True, materialize_grads=True))
    scale = max(float(g.abs().max()) for g in found[0]) or 1.0
    error = max(float((a - b).abs().max()) for a, b in zip(*found, strict=True)) / scale
    return Row(what, "holds" if error <= 10 * bench.tolerance else "fails", error)


def repeatable(bench: Bench) -> Row:
    """The same call gives the same output."""
    return bench.row("the same call twice", bench.carrier.whole(bench.x), bench.y)


def all_rows(bench: Bench) -> Iterator[Row]:
    """Every invariant in turn; what a module raises becomes its row's remark."""
    with torch.no_grad():
        yield _tried("the same call twice", lambda: repeatable(bench))
        yield _tried("does not see the future", lambda: causality(bench))
        if bench.B > 1:
            yield _tried("rows of a batch are apart", lambda: rows_apart(bench))
        if bench.carrier.carries:
            yield from splits(bench)
            yield _tried("the state is not changed by a step", lambda: state_kept(bench))
            yield _tried("size of what is carried", lambda: state_size(bench))
        yield from padding(bench)
        yield from untouched(bench)
    if bench.carrier.carries:
        yield _tried("gradients through the state", lambda: gradients(bench))


def _tried(what: str, ask: Any) -> Row:
    try:
        row: Row = ask()
    except FOREIGN_ERRORS as error:  # that is an answer
        text = " ".join(str(error).split())
        return Row(what, "raises", remark=f"{type(error).__name__}: {text[:160]}")
    return row


def _same_numpy(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a[1], b[1]) and a[2:] == b[2:])
