"""Sequences whose length an exporter leaves open: `torch.export.export` with a dynamic T.

A Python loop over chunks would fix how many there are. In its place stands PyTorch's `scan` operator, which a program
carries as a loop: see `walk`. What an exporter cannot prove of all lengths it turns into a restriction of T, so there
is one form of each size that it can prove: see `num_chunks` and `cut`.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.errors import BadSize

Tensors = tuple[Tensor, ...]
Turn = tuple[Tensors, Tensors]  # of a loop: the state after it, and its results


def is_open(T: Any) -> bool:
    """Whether T is a size that stands for many; where the compiler of a strict export hides it, it may be."""
    return is_exporting() and (torch.compiler.is_dynamo_compiling() or not isinstance(T, int))


def is_exporting() -> bool:
    """Whether `torch.export` looks on. Before PyTorch 2.13 the compiler says yes to PyTorch's own question, always."""
    return torch.compiler._is_exporting_flag


def num_chunks(tokens: int, C: int) -> int:
    """⌈T/C⌉; one more where T is open, so that it is 2 at least and a plain symbol in all that follows."""
    if is_open(tokens) and C > 1:
        return (tokens + 2 * C - 1) // C
    return -(-tokens // C)


def cut(x: Tensor, T: int, dim: int = 1) -> Tensor:
    """The first T along an axis, a view; where T is open by padding with less than nothing, which makes exactly T."""
    if not is_open(T):
        return x.narrow(dim, 0, T)
    return F.pad(x, (0, 0) * (x.dim() - 1 - dim) + (0, T - x.shape[dim]))


def walk(
    step: Callable[[Tensors, Tensors], Turn], state: Tensors, pieces: Tensors, dim: int, into: int | None = None
) -> Turn:
    """`state, results = step(state, piece)` over the pieces along an axis, of which there is one at least.

    Returns
    -------
        The last state, and the results stacked along the axis, or along `into`. A step makes a new state; a result may
        be what it was given, or part of the state.

    """
    into = dim if into is None else into
    if is_open(pieces[0].shape[dim]):
        state, stacked = _scanned(step, state, pieces, dim)
        return state, stacked if into == dim else tuple(results.movedim(dim, into) for results in stacked)
    turns = []
    for piece in zip(*(x.unbind(dim) for x in pieces), strict=True):
        state, results = step(state, piece)
        turns.append(results)
    return state, tuple(torch.stack(results, into) for results in zip(*turns, strict=True))


def _scanned(step: Callable[[Tensors, Tensors], Turn], state: Tensors, pieces: Tensors, dim: int) -> Turn:
    """The walk as one operator of the program, along the first axis: before PyTorch 2.13 results lie along no other."""
    from torch._higher_order_ops.scan import scan  # loads the compiler, which nothing else here needs

    def apart(before: Tensors, piece: Tensors) -> Turn:
        after, results = step(before, piece)
        known = (*before, *piece, *after)  # the operator returns no tensor twice
        return after, tuple(x.clone() if any(x is y for y in known) else x for x in results)

    last, results = scan(apart, state, tuple(x.movedim(dim, 0) for x in pieces), dim=0)
    return last, tuple(result.movedim(0, dim).contiguous() for result in results)


def refuse_open(T: int, layer: str, why: str) -> None:
    """Raise BadSize for a length that is open in a layer that needs to know it."""
    if is_open(T):
        raise BadSize(f"{layer} was exported with an open number of tokens; {why}: export it with fixed sizes.")
