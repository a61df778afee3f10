"""What the recurrent cells share: the sequence with time first, its projection at once, and the walk over the tokens.

As torch.nn.RNN and GRU execute it on a CPU: W x + b of all tokens in one product, then a token at a time.
"""

from collections.abc import Callable
from typing import Any

from seqcost.algebra import Size
from seqcost.formulas.core.component import check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value

Product = Callable[[Value], Value]  # h_{t−1} → U h_{t−1} + b'
Cell = Callable[[Tape, Value, Value, Product], Value]  # tape, W x_t + b, h_{t−1}, that product → h_t


def check_cell(cell: Any) -> None:
    """Hidden width N defaults to the input width D."""
    check_sizes(cell, "D")
    if cell.N is None:
        object.__setattr__(cell, "N", cell.D)
    check_sizes(cell, "N")


def recurrent(t: Tape, x: Value, N: Size, gates: int, cell: Cell, words: str) -> Value:
    """[B,T,D] → [B,T,N], a cell step after the other; `words` say how many products a token needs."""
    y, last = _time_first(t, time_first(t, x), N, gates, cell, words)
    t.carry(last)
    return batch_first(t, y)


def _time_first(t: Tape, x: Value, N: Size, gates: int, cell: Cell, words: str) -> tuple[Value, Value]:
    """All outputs [T,B,N] and the last state [1,B,N]."""
    start = t.state("start", x.shape[1], N)  # held by the caller until all is done
    outputs, last = _walk(t, x, start, gates * N, cell, words)
    return outputs, t.stacked("last", last)


def _walk(t: Tape, x: Value, state: Value, width: Size, cell: Cell, words: str) -> tuple[Value, Value]:
    T, N = x.shape[0], state.shape[-1]
    inputs = t.every(t.linear("input", x, width, note=f"W x_t + b: {words}"), 0, name="inputs")
    weight, shift = t.weight(width, N), t.weight(width)

    def hidden(h: Value) -> Value:
        return t.linear("hidden", h, width, weight=weight, shift=shift, note=f"U h + b': {words}")

    outputs = []
    for i in t.loop(T):
        state = cell(t, inputs[i], state, hidden)
        outputs.append(state)
    return t.stack("stack", outputs, T, axis=0, note="h_1 … h_T to [T,B,N]"), state


def time_first(t: Tape, x: Value) -> Value:
    """[B,T,D] → [T,B,D], copied."""
    return t.copy("time_first", t.transpose(x, 1, 0, 2), note="[B,T,D] to [T,B,D]")


def batch_first(t: Tape, y: Value) -> Value:
    """[T,B,N] → [B,T,N], copied."""
    return t.copy("batch_first", t.transpose(y, 1, 0, 2), note="[T,B,N] to [B,T,N]")
