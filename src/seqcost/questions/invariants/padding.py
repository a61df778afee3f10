"""Masked tokens change nothing: the sequences of a batch, of different lengths, are compared with themselves alone."""

from collections.abc import Iterator

import torch
from torch import Tensor

from seqcost.questions.invariants.bench import Bench, Row, tried
from seqcost.questions.invariants.ids import padding_id

RIGHT, LEFT = "padding on the right", "padding on the left"
RIGHT_STEPS, LEFT_STEPS = "right-padded prefill, then steps", "left-padded prefill, then steps"
_LEAST, _MORE, _KINDS = 3, 2, 3  # tokens of padding: 3, 5, 7, 3 …


def padding(bench: Bench) -> Iterator[Row]:
    """On either side, in one call and before single steps."""
    if not bench.carrier.takes_mask or bench.carrier.time_axis != 1:
        for what in (RIGHT, LEFT, RIGHT_STEPS, LEFT_STEPS):
            yield Row(what, "not asked", remark="it takes no mask")
        return
    yield tried(RIGHT, lambda: _at_once(bench, RIGHT, left=False))
    yield tried(LEFT, lambda: _at_once(bench, LEFT, left=True))
    for what, left in ((RIGHT_STEPS, False), (LEFT_STEPS, True)):
        if bench.carrier.carries and bench.carrier.steps_take_mask:
            yield tried(what, lambda what=what, left=left: _then_steps(bench, what, left=left))  # type: ignore[misc]
        else:
            yield Row(what, "not asked", remark="it is carried on without a mask")


def _padded(bench: Bench, x: Tensor, *, left: bool) -> tuple[Tensor, Tensor, list[int]]:
    """The first tokens of every sequence, padded to the length of x; what is to be kept; how many are real."""
    B, T = x.shape[:2]
    real = [T - _LEAST - _MORE * (row % _KINDS) for row in range(B)]
    filling = _filling(bench, x)
    keep = torch.arange(T) < torch.tensor(real)[:, None]
    padded = torch.where(keep.view(B, T, *[1] * (x.dim() - 2)), x, filling)
    if left:
        padded = torch.stack([row.roll(T - num, 0) for row, num in zip(padded, real, strict=True)])
        keep = keep.flip(1)
    return padded, keep, real


def _filling(bench: Bench, x: Tensor) -> Tensor:
    """The padding id, as every tokenizer fills up, where there is one; else anything."""
    pad = None if x.is_floating_point() else padding_id(bench.carrier.module)
    return bench.cut(bench.other(17), 0, x.shape[1]) if pad is None else torch.full_like(x, pad)


def _at_once(bench: Bench, what: str, *, left: bool) -> Row:
    x, keep, real = _padded(bench, bench.x, left=left)
    y = bench.carrier.whole(x, keep=keep)
    wanted = y.clone()
    for row, num in enumerate(real):
        start = bench.T - num if left else 0
        wanted[row, start : start + num] = bench.whole(bench.x[row : row + 1, :num])[0]
    return bench.row(what, y, wanted)


def _then_steps(bench: Bench, what: str, *, left: bool) -> Row:
    half, steps = bench.T // 2, bench.T // 4
    prefill, kept, real = _padded(bench, bench.x[:, :half], left=left)
    following = torch.stack([bench.x[row, num : num + steps] for row, num in enumerate(real)])
    x = torch.cat([prefill, following], 1)
    keep = torch.cat([kept, torch.ones(bench.B, steps, dtype=torch.bool)], 1)
    y, _ = bench.carried(x, [half] + [1] * steps, keep)
    wanted = y.clone()
    for row, num in enumerate(real):
        start = half - num if left else 0
        wanted[row, start : start + num] = bench.y[row, :num]
        wanted[row, half:] = bench.y[row, num : num + steps]
    return bench.row(what, y, wanted)
