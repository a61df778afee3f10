"""Sequences cut into chunks of C tokens, on a tape, and walks over them: twins of `seqcost.layers.ops.chunks`."""

from collections.abc import Callable, Sequence

from seqcost.algebra import Size, ceil_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value

Values = Sequence[Value]


def chunked(t: Tape, name: str, x_BTHK: Value, C: Size) -> Value:
    """[B,T,H,K] → [B·H, n, C, K], the last chunk filled up with zeros: two copies."""
    B, T, H, K = x_BTHK.shape
    n = ceil_div(T, C)
    filled = t.pad(f"{name}_fill", x_BTHK, B, n * C, H, K, note="the last chunk filled up")
    return t.view(heads_first(t, name, filled), B * H, n, C, K)


def heads_first(t: Tape, name: str, x_BTHK: Value) -> Value:
    """[B,T,H,K] → [B,H,T,K]: always a copy."""
    return t.copy(f"{name}_heads", t.transpose(x_BTHK, 0, 2, 1, 3), note="[B,T,H] to [B,H,T]")


def joined(t: Tape, name: str, y_ZnCV: Value, B: Size, T: Size, H: Size) -> Value:
    """[B·H, n, C, V] → [B,T,H,V] without what was filled up: a copy."""
    _, n, C, V = y_ZnCV.shape
    tokens_first = t.transpose(t.view(y_ZnCV, B, H, n * C, V, name=name), 0, 2, 1, 3)
    return t.copy(name, t.part(tokens_first, B, T, H, V, name=name), note="[B,H,T] to [B,T,H]")


def pair_decays(t: Tape, log_ZnC1: Value) -> Value:
    """[Z,n,C,C]: in row j and column i the product of the decays of the tokens after j up to i; 0 below."""
    Z, n, C, _ = log_ZnC1.shape
    rows = t.expand("decay_rows", t.transpose(log_ZnC1, 0, 1, 3, 2), Z, n, C, C)
    later = t.cumsum("decay_sum", t.upper("decay_later", rows, "log decays of the tokens after each one"))
    del rows
    decay = t.unary("decay", later, "exp", "summed up from token to token")
    del later
    return t.upper("decay_causal", decay, "nothing later than the query")


def walk(
    t: Tape,
    name: str,
    step: Callable[[Values, Values], tuple[Values, Values]],
    state: Values,
    pieces: Values,
    axis: int,
    into: int | None = None,
    note: str = "",
) -> tuple[Values, Values]:
    """`state, results = step(state, piece)` over the pieces along an axis: the last state, the results stacked.

    Twin of `seqcost.layers.core.open_length.walk`.
    """
    n = pieces[0].shape[axis]
    unbound = [t.every(x, axis, name=name) for x in pieces]
    turns = []
    for i in t.loop(n):
        state, results = step(state, [each[i] for each in unbound])
        turns.append(results)
    into = axis if into is None else into
    return state, [t.stack(name, each, n, axis=into, note=note) for each in zip(*turns, strict=True)]


def carried(
    t: Tape, name: str, after: Callable[..., Value], pieces: Values, state: Value, axis: int, note: str = ""
) -> tuple[Value, Value]:
    """From chunk to chunk, `state = after(state, *piece)`: the states before each, along an axis, and the last one."""

    def chunk(before: Values, piece: Values) -> tuple[Values, Values]:
        return (after(*before, *piece),), before

    (last,), (before,) = walk(t, name, chunk, (state,), pieces, axis, note=note)
    return before, last
