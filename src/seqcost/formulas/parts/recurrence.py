"""What the recurrent cells share: the product with the carried state, step by step, forward and backward."""

from collections.abc import Iterator
from typing import Any

from seqcost.algebra import Size
from seqcost.formulas.core.component import check_sizes
from seqcost.formulas.core.operator import Operator, copy, linear


def check_cell(cell: Any) -> None:
    """Hidden width N defaults to the input width D."""
    check_sizes(cell, "D")
    if cell.N is None:
        object.__setattr__(cell, "N", cell.D)
    check_sizes(cell, "N")


def hidden_product(B: Size, T: Size, N: Size, gates: int, note: str) -> Operator:
    """U h_{t−1} + b' for T tokens in turn; the first needs no earlier step, so T − 1 of them are on the chain."""
    one = linear("hidden", B, N, gates * N, bias=True, note=note)
    return one.repeated(T, chained=T - 1)


def hidden_backward(B: Size, T: Size, N: Size, gates: int) -> Iterator[Operator]:
    """DU at every step; dh at every step but the first, whose h_0 = 0 needs no gradient."""
    product = 2 * B * N * gates * N
    yield Operator(name="hidden_dh", contraction=product * (T - 1), note="g_t Uᵀ, t = 2 … T")
    yield Operator(name="hidden_du", contraction=product * T, note="h_{t−1}ᵀ g_t, t = 1 … T")
    sums = B * gates * N * T + (gates * N * N + gates * N + B * N) * (T - 1)
    yield Operator(name="hidden_sums", pointwise=sums, note="biases; gradients of all steps added up")


def join_steps(B: Size, T: Size, N: Size) -> Iterator[Operator]:
    """The T outputs stacked, the last one copied as the new state, and the batch put first again."""
    yield copy("stack", T * B * N, "h_1 … h_T to [T,B,N]")
    yield copy("last", B * N, "h_T").beside()
    yield copy("batch_first", B * T * N, "[T,B,N] to [B,T,N]")
