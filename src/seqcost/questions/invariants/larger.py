"""The same module with larger weights: as it is initialised, what a mixer adds may be too faint for its faults to show.

A language model of transformers starts with weights of 0.02, whose mixers move the output by less than the tolerance.
Its matrices are scaled up to a standard deviation of g / √fan, as far as rounding lets outputs be compared.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from seqcost.errors import FOREIGN_ERRORS
from seqcost.questions.invariants.bench import Bench

GAINS = (4.0, 2.0, 1.0)  # g; the first that can be compared is taken
_ULP = 2.0**-22  # by which weights are moved to see what rounding does
_SMALL = 0.01  # the part of the tolerance that this may take
_WIDER = 10.0  # more is rounded where weights are larger, and what is wrong there is far off


@contextmanager
def with_larger_weights(bench: Bench) -> Iterator[Bench | None]:
    """The bench with the module's weights scaled up, put back afterwards; None where outputs could not be compared."""
    kept = {matrix: matrix.detach().clone() for matrix in _matrices(bench.carrier.module)}
    try:
        with torch.no_grad():
            found = next(filter(None, (_scaled(bench, kept, gain) for gain in GAINS if kept)), None)
        yield found
    finally:
        with torch.no_grad():
            for matrix, values in kept.items():
                matrix.copy_(values)


def _matrices(module: nn.Module) -> list[nn.Parameter]:
    """Weights that are drawn around zero, but for embeddings; decays and gates' biases are left as they are."""
    embeddings = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    return [
        p
        for p in module.parameters()
        if p.dim() >= 2
        and p.is_floating_point()
        and id(p) not in embeddings
        and float(p.detach().std()) > 0
        and abs(float(p.detach().mean())) < float(p.detach().std()) / 2
    ]


def _scaled(bench: Bench, kept: dict[nn.Parameter, Tensor], gain: float) -> Bench | None:
    for matrix, values in kept.items():
        fan = max(values.shape[-2:]) if values.dim() < 4 else values[0].numel()
        matrix.copy_(values * max(1.0, gain / fan**0.5 / float(values.std())))
    try:
        y = bench.whole(bench.x)
        found = replace(bench, y=y, every_cut=False, tolerance=_WIDER * bench.tolerance)
        return found if bool(y.isfinite().all()) and _steady(found, list(kept)) else None
    except FOREIGN_ERRORS:
        return None


def _steady(bench: Bench, matrices: list[nn.Parameter]) -> bool:
    """Whether weights that are off by their last bits give the same output."""
    generator = torch.Generator().manual_seed(23)
    exact = [matrix.detach().clone() for matrix in matrices]
    for matrix in matrices:
        noise = torch.randn(matrix.shape, generator=generator)
        matrix.mul_(1 + _ULP * noise.to(matrix.dtype))
    moved = bench.whole(bench.x)
    for matrix, values in zip(matrices, exact, strict=True):
        matrix.copy_(values)
    return moved.shape == bench.y.shape and bench.difference(moved, bench.y)[0] <= _SMALL * bench.tolerance
