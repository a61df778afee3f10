"""Sequences cut into chunks of C tokens, on a tape: twins of `seqcost.layers.ops.chunks`."""

from seqcost.algebra import Size, ceil_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value


def chunked(t: Tape, name: str, x_BTHK: Value, C: Size) -> Value:
    """[B,T,H,K] → [B·H, n, C, K], the last chunk filled up with zeros: two copies."""
    B, T, H, K = x_BTHK.shape
    n = ceil_div(T, C)
    filled = t.moved(f"{name}_fill", [x_BTHK], B, n * C, H, K, note="the last chunk filled up")
    heads = t.moved(f"{name}_heads", [t.view(filled, B, H, n * C, K)], B, H, n * C, K, note="[B,T,H] to [B,H,T]")
    return t.view(heads, B * H, n, C, K)


def pair_decays(t: Tape, log: Value) -> Value:
    """[Z,n,C,C]: in row j and column i the product of the decays of the tokens after j up to i."""
    Z, n, C, _ = log.shape
    rows = t.expand("decay_rows", t.view(log, Z, n, ONE, C), Z, n, C, C)
    later = t.moved("decay_later", [rows], Z, n, C, C, note="log decays of the tokens after each one")
    decay = t.unary("decay", t.cumsum("decay_sum", later, note="summed up from token to token"), "exp")
    return t.moved("decay_causal", [decay], Z, n, C, C, note="nothing later than the query")


def joined(t: Tape, name: str, y_ZnCV: Value, B: Size, T: Size, H: Size) -> Value:
    """[B·H, n, C, V] → [B,T,H,V] without what was filled up: a copy."""
    _, n, C, V = y_ZnCV.shape
    y = t.part(t.view(y_ZnCV, B, n * C, H, V), B, T, H, V)
    return t.moved(name, [y], B, T, H, V, note="[B,H,T] to [B,T,H]")
