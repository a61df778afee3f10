"""Attention in blocks, on a tape: blocks of C queries, each beside the key blocks that it may see.

Twin of `layers.ops.block_attention`. A band (sliding window) takes the neighbours of a block, as overlapping views of
one padded tensor, copied only where a window is dilated; a plan looks any blocks up. What stands in a gathered block
and is not in the pattern is masked, and executed.
"""

from dataclasses import dataclass

from seqcost.algebra import Size, ceil_div
from seqcost.formulas.core.operator import ID_BYTES, Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Node, Value, product
from seqcost.formulas.ops.fused_attention import fused_attention


@dataclass(frozen=True)
class Band:
    """The keys of a query: `reach` tokens on a side, itself included, `dilation` apart; the later side too or not.

    It is computed in blocks of C queries, dilation of them interleaved.
    """

    reach: Size
    C: Size
    causal: bool
    dilation: Size = 1

    @property
    def side(self) -> Size:
        """Key blocks beside a block's own, on a side: ⌈reach/C⌉."""
        return ceil_div(self.reach, self.C)

    @property
    def keys(self) -> Size:
        """Keys that a block of queries is multiplied with."""
        return self.C * (1 + (self.side if self.causal else 2 * self.side))

    def blocks(self, T: Size) -> Size:
        """Blocks of C queries, in each of the interleaved sequences."""
        return ceil_div(T, self.C * self.dilation)

    def filled(self, T: Size) -> Size:
        """Keys once filled up, of all the interleaved sequences."""
        return (self.blocks(T) * self.C + self.keys - self.C) * self.dilation

    @property
    def dilated(self) -> bool:
        """Whether tokens in between are left out."""
        return not (isinstance(self.dilation, int) and self.dilation == 1)


def overlapping(t: Tape, name: str, x: Value, *shape: Size) -> Value:
    """Windows that overlap, as a view (`Tensor.unfold`): nothing is copied; backward their gradients are added."""
    out = Value(shape, x.storage, product(shape), x.needs_gradient, x.depth, x.chain)
    if x.needs_gradient:
        back = [Operator(name=f"{name}_backward", pointwise=out.numel, note="gradients of windows that overlap")]
        t.nodes.append(Node((x,), (out,), lambda _: back))
    return out


def band_keys(t: Tape, name: str, x: Value, band: Band, T: Size, *, copied: bool = False) -> Value:
    """[B,S,G,K] → [B·G, dilation·n, keys, K]: what each block of the last T tokens sees."""
    B, _, G, K = x.shape
    filled = t.moved(f"{name}_fill", [x], B, G, band.filled(T), K, note="heads first, filled up with zeros")
    shape = (B * G, band.dilation * band.blocks(T), band.keys, K)
    windows = overlapping(t, f"{name}_windows", filled, *shape)
    if copied or band.dilated:
        windows = t.moved(f"{name}_windows", [windows], *shape, note="windows copied")
    return windows


def band_queries(t: Tape, name: str, q: Value, band: Band, G: Size, group: Size) -> Value:
    """[B,T,H,K] → [B·G, dilation·n·H/G, C, K]."""
    B, T, H, K = q.shape
    n = band.blocks(T)
    filled = t.moved(f"{name}_fill", [q], B, n * band.C * band.dilation, H, K, note="filled up with zeros")
    return t.moved(f"{name}_blocks", [filled], B * G, band.dilation * n * group, band.C, K, note="block by block")


def band_mask(t: Tape, band: Band, S: Size, T: Size, group: Size = 1) -> Value:
    """[dilation·n·H/G, C, keys]: 0 in the window, the least number out of it and where keys were filled up."""
    heads, C, keys = band.dilation * band.blocks(T), band.C, band.keys
    valid = t.moved("mask", [t.constant("mask", S)], band.filled(T))
    valid = t.moved("mask", [t.part(valid, heads, keys)], heads, keys)
    outside = t.constant("mask", C, keys, fills=2)
    late = t.moved("mask", [outside], C, keys)
    inside = t.operator("mask", [late, outside], (C, keys), pointwise=C * keys)
    shape = (heads * group, C, keys)
    note = "0 or −∞, for each block; shared by batch and heads"
    return t.operator("mask", [inside, valid], shape, pointwise=product(shape), note=note)


def band_tokens(t: Tape, y: Value, band: Band, B: Size, T: Size, width: Size) -> Value:
    """[B·G, dilation·n·H/G, C, K] → [B,T,H·K]."""
    tokens = band.blocks(T) * band.C * band.dilation
    merged = t.moved("merge_heads", [y], B, tokens, width, note="blocks to tokens")
    return t.moved("cut", [t.part(merged, B, T, width)], B, T, width, note="without what was filled up")


def band_attention(t: Tape, q: Value, k: Value, v: Value, band: Band, group: Size, *, pairs: Size = None) -> Value:
    """softmax(q kᵀ/√K) v of q [B,T,H,K] over the window of k, v [B,S,G,K]; the last T of S tokens ask: [B,T,H·K].

    `pairs` a head and a sequence are counted, those of whole blocks where not given.
    """
    B, T, H, K = q.shape
    S, G = k.shape[1:3]
    mask = band_mask(t, band, S, T, group)
    y = fused_attention(
        t,
        "attend",
        band_queries(t, "query", q, band, G, group),
        band_keys(t, "key", k, band, T),
        band_keys(t, "value", v, band, T),
        mask,
        note="q kᵀ, softmax and its product with v, block by block",
        pairs=None if pairs is None else B * H * pairs,
    )
    return band_tokens(t, y, band, B, T, H * K)


def planned_attention(
    t: Tape, q: Value, k: Value, v: Value, masked: Value, slots: Size, note: str = "q kᵀ, softmax, times v"
) -> Value:
    """Of q [B,H,n,C,K] over `slots` key blocks each, looked up in k, v [B,H,m,C,K] by a plan: [B,H·n,C,K]."""
    B, H, n, C, K = q.shape
    at = t.constant("plan", H * n * slots, itemsize=ID_BYTES, fills=0)  # made of numbers, by no operator

    def gathered(name: str, x: Value) -> Value:
        return look_up(t, name, x, at, B, H * n, slots * C, K)

    plan = t.operator("plan", [at], at.shape, pointwise=at.numel, itemsize=ID_BYTES, note="of any head")
    mask = look_up(t, "mask", masked, plan, ONE, H * n, ONE, slots * C)
    middle = t.moved("query_middle", [q], B, H * n, C, K, note="block by block")
    return fused_attention(
        t, "attend_blocks", middle, gathered("key_blocks", k), gathered("value_blocks", v), mask, note=note
    )


def look_up(t: Tape, name: str, x: Value, at: Value, *shape: Size) -> Value:
    """Pieces of x copied by their number: `index_select`; backward they are added where they came from."""
    n = product(shape)
    return t.operator(
        name, [x, at], shape, reads=[n, at.elements], keeps=[(at, 0)], note="blocks looked up",
        backward=lambda _: [Operator(name=f"{name}_backward", pointwise=n, note="added where they came from")],
    )  # fmt: skip
