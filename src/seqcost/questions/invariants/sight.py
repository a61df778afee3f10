"""What an output may depend on: tokens up to its own, of its own sequence. Every cut, every row, every way is tried.

Inputs are changed and outputs compared: gradients would miss what passes through a rounding, a sort or a `detach`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from seqcost.questions.invariants.bench import FURTHER, Bench, Row, worst
from seqcost.questions.invariants.direction import says_causal

Sees = Literal["auto", "past", "both"]
_FUTURE, _ROWS = "does not see the future", "rows of a batch are apart"
_LOUD = 4.0  # every other change is of loud features, so that what depends on the largest number shows
_SOME = 5  # cuts are this far apart where not all are tried; blocks are of other sizes
_ALIKE = 2.0  # how much stronger one direction may be where both are meant; encoders were seen at 0.9 … 1.13


def causality(bench: Bench, sees: Sees = "auto") -> Row:
    """Later tokens change nothing before them, wherever the cut is; not asked of what sees both ways by design."""
    carries = bench.carrier.carries
    says = {"past": True, "both": False, "auto": carries or says_causal(bench.carrier.module)}[sees]
    if says is False:
        return Row(_FUTURE, "not asked", remark="it sees both ways by design")
    found = worst(_futures(bench))
    if found.verdict != "fails" or says:
        return found
    if _both_ways_alike(bench):
        return Row(_FUTURE, "not asked", found.error, None, "it sees as far ahead as back, and carries nothing")
    return Row(_FUTURE, "fails", found.error, found.position, f"{found.remark}; --sees both if that is meant")


def _futures(bench: Bench) -> Iterator[Row]:
    """In the whole, and among tokens that follow at once; each cut in one sequence, alone, taken in turn."""
    third = bench.T // 3
    yield _future(bench, bench.alone(), 0, bench.T)
    if any(way.name == FURTHER for way in bench.ways()):
        yield _future(bench, bench.alone(), third, 2 * third)


def _future(bench: Bench, alone: list[Bench], start: int, stop: int) -> Row:
    """Tokens start … stop − 1 at once, changed from each cut on: the largest error, the first wrong position."""
    runs = [_run(one, start, stop) for one in alone]
    plain = [run(bench.cut(one.x, 0, stop)) for run, one in zip(runs, alone, strict=True)]
    worst_error, first, ahead = 0.0, bench.T, 0
    for cut in range(start + 1, stop, 1 if bench.every_cut else _SOME):
        row = cut % len(alone)
        other = bench.row_of(bench.other(11, scale=_LOUD if cut % 2 else 1.0), row)
        parts = [bench.cut(alone[row].x, 0, cut), bench.cut(other, cut, stop)]
        y = runs[row](torch.cat(parts, bench.carrier.time_axis))
        before = cut - start
        error, position = bench.difference(bench.cut(y, 0, before), bench.cut(plain[row], 0, before))
        worst_error = max(worst_error, error)
        if error > bench.tolerance:
            first, ahead = min(first, start + position), max(ahead, before - position)
    if worst_error <= bench.tolerance:
        return Row(_FUTURE, "holds", worst_error)
    remark = f"sees {ahead} token{'s' * (ahead > 1)} ahead" + (" among further tokens" if start else "")
    return Row(_FUTURE, "fails", worst_error if worst_error < float("inf") else None, first, remark)


def _run(one: Bench, start: int, stop: int) -> Callable[[Tensor], Tensor]:
    if not start:
        return one.whole
    state = one.state_at(start)
    return lambda x: one.carrier.go_on(x.clone(), start, one.carrier.copy(state))[0]


def _both_ways_alike(bench: Bench) -> bool:
    """Whether every position sees as far ahead as back, up to the ends, and about as strongly."""
    other, axis = bench.other(19), bench.carrier.time_axis
    columns = []
    for at in range(bench.T):
        parts = [bench.cut(bench.x, 0, at), bench.cut(other, at, at + 1), bench.cut(bench.x, at + 1, bench.T)]
        gap = (bench.whole(torch.cat(parts, axis)) - bench.y).abs()
        columns.append(gap.amax([a for a in range(gap.dim()) if a != axis]))
    effect = torch.stack(columns, dim=1)  # [output, input]
    output, source = effect.nonzero(as_tuple=True)
    reach = int((output - source).abs().max()) if len(output) else 0
    back, ahead = effect.tril(-1), effect.triu(1)
    here = torch.arange(bench.T)
    far_ahead = (torch.where(ahead > 0, here, 0).amax(1) - here).clamp_min(0)
    far_back = (here - torch.where(back > 0, here, bench.T).amin(1)).clamp_min(0)
    # Half of what the widest view leaves, because what is faint is rounded away.
    even = bool((2 * far_ahead >= (bench.T - 1 - here).clamp_max(reach)).all()) and bool(
        (2 * far_back >= here.clamp_max(reach)).all()
    )
    ratio = float(ahead.sum() / back.sum().clamp_min(1e-30))
    return even and 1 / _ALIKE < ratio < _ALIKE


def rows_apart(bench: Bench) -> Row:
    """One sequence of a batch does not see another, whichever is changed, however it is called."""
    if bench.B < 2:
        return Row(_ROWS, "not asked", remark="a batch of one")
    return worst(_neighbours(bench))


def _neighbours(bench: Bench) -> Iterator[Row]:
    batch, other, pieces = 1 - bench.carrier.time_axis, bench.other(13, scale=_LOUD), bench.few_pieces()
    trials = [("", bench.whole)]
    if len(pieces) > 1 and bench.carrier.carries:
        trials.append((" when carried on", lambda x: bench.carried(x, pieces)[0]))
    for where, run in trials:
        y = run(bench.x)
        for row in range(bench.B):
            changed = [bench.row_of(other if r == row else bench.x, r) for r in range(bench.B)]
            mixed, others = run(torch.cat(changed, batch)), torch.arange(bench.B) != row
            if mixed.shape != y.shape or y.shape[batch] != bench.B:
                yield Row(_ROWS, "fails", remark=f"outputs of shape {tuple(y.shape)} and {tuple(mixed.shape)}")
                return
            kept = others.nonzero()[:, 0]
            found = bench.row(_ROWS, mixed.index_select(batch, kept), y.index_select(batch, kept))
            yield found if found.verdict == "holds" else replace(found, remark=f"row {row} is seen{where}")
