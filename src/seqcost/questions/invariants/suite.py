"""Every invariant in turn, with the weights as they are and larger."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from seqcost.questions.invariants.bench import Bench, Row, tried
from seqcost.questions.invariants.carrying import gradients, splits, state_size
from seqcost.questions.invariants.larger import with_larger_weights
from seqcost.questions.invariants.padding import padding
from seqcost.questions.invariants.purity import input_kept, randomness_kept, repeatable, state_kept
from seqcost.questions.invariants.sight import Sees, causality, rows_apart

_TWICE, _STATE, _SIZE = "the same call twice", "the state is not changed by a step", "size of what is carried"
_INPUT, _RANDOM = "the input is not changed", "global random numbers are not touched"


def all_rows(bench: Bench, sees: Sees) -> tuple[tuple[Row, ...], bool]:
    """One row per invariant, and whether larger weights were tried; what fails with those alone says so."""
    with torch.no_grad():
        bench = bench.without_what_raises()
    plain = [*_rows(bench, sees)]
    with with_larger_weights(bench) as larger:
        scaled = {row.what: row for row in _outputs(larger, sees)} if larger else {}
    return tuple(_joined(row, scaled.get(row.what, row)) for row in plain), bool(larger)


def _rows(bench: Bench, sees: Sees) -> Iterator[Row]:
    """In the order in which they are shown: what is computed first, then what is left alone."""
    carries = bench.carrier.carries
    with torch.no_grad():
        yield tried(_TWICE, lambda: repeatable(bench))
    yield from _outputs(bench, sees)
    with torch.no_grad():
        if carries:
            yield tried(_STATE, lambda: state_kept(bench))
            yield tried(_SIZE, lambda: state_size(bench))
        yield tried(_INPUT, lambda: input_kept(bench))
        yield tried(_RANDOM, lambda: randomness_kept(bench))


def _outputs(bench: Bench, sees: Sees) -> Iterator[Row]:
    """The invariants of outputs and gradients."""
    with torch.no_grad():
        yield tried("does not see the future", lambda: causality(bench, sees))
        yield tried("rows of a batch are apart", lambda: rows_apart(bench))
        if bench.carrier.carries:
            yield from splits(bench)
        yield from padding(bench)
    if bench.carrier.carries:
        yield tried("gradients through the state", lambda: gradients(bench))


def _joined(plain: Row, larger: Row) -> Row:
    if plain.verdict in ("fails", "raises") or larger.verdict not in ("fails", "raises"):
        return plain
    return replace(larger, remark="; ".join(part for part in (larger.remark, "with larger weights") if part))
