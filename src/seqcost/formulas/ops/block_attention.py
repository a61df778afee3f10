"""Attention in blocks, on a tape: blocks of C queries, each beside the key blocks that it may see.

Twin of `layers.ops.block_attention`. A band (sliding window) takes the neighbours of a block, as overlapping views of
one padded tensor, copied only where a window is dilated; a plan looks any blocks up. What stands in a gathered block
and is not in the pattern is masked, and executed.
"""

from dataclasses import dataclass

from seqcost.algebra import Size, ceil_div
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.component import exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product
from seqcost.formulas.core.workload import ID_BYTES
from seqcost.formulas.ops.fused_attention import fused_attention
from seqcost.formulas.ops.pieces import looked_up, overlapping


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

    def tokens(self, T: Size) -> Size:
        """Queries once filled up, of all the interleaved sequences."""
        return self.blocks(T) * self.C * self.dilation

    @property
    def dilated(self) -> bool:
        """Whether tokens in between are left out."""
        return not (isinstance(self.dilation, int) and self.dilation == 1)


def band_attention(t: Tape, q: Value, k: Value, v: Value, band: Band, *, pairs: Size = None) -> Value:
    """softmax(q kᵀ/√K) v of q [B,T,H,K] over the window of k, v [B,S,G,K]; the last T of S tokens ask: [B,T,H·K].

    `pairs` a head and a sequence are counted, those of whole blocks where not given.
    """
    B, T, H, _ = q.shape
    S, G = k.shape[1:3]
    mask = band_mask(t, band, S, T, exact_div(H, G, "query heads H over key/value heads G"))
    y = fused_attention(
        t,
        "attend",
        band_queries(t, "query", q, band, G),
        band_keys(t, "key", k, band, T),
        band_keys(t, "value", v, band, T),
        mask,
        note="q kᵀ, softmax and its product with v, block by block",
        pairs=None if pairs is None else B * H * pairs,
    )
    return band_tokens(t, y, band, B, T, G)


def band_queries(t: Tape, name: str, q: Value, band: Band, G: Size) -> Value:
    """[B,T,H,K] → [B·G, d·n·H/G, C, K]."""
    B, T, H, K = q.shape
    n, C, d, group = band.blocks(T), band.C, band.dilation, exact_div(H, G, "query heads H over key/value heads G")
    filled = t.view(t.pad(f"{name}_fill", q, B, band.tokens(T), H, K), B, n, C, d, G, group, K)
    blocks = t.copy(f"{name}_blocks", t.transpose(filled, 0, 4, 3, 1, 5, 2, 6), note="block by block")
    return t.view(blocks, B * G, d * n * group, C, K)


def band_keys(t: Tape, name: str, x: Value, band: Band, T: Size, *, copied: bool = False) -> Value:
    """[B,S,G,K] → [B·G, d·n, keys, K]: what each block of the last T tokens sees, overlapping in memory if d = 1."""
    B, _, G, K = x.shape
    note = "heads first, filled up with zeros"
    filled = t.pad(f"{name}_fill", t.transpose(x, 0, 2, 1, 3), B, G, band.filled(T), K, note=note)
    filled = t.view(filled, B * G, band.filled(T), K)
    windows = t.transpose(_windows(t, f"{name}_windows", filled, band, T), 0, 1, 2, 4, 3)
    if copied or band.dilated:
        windows = t.copy(f"{name}_windows", windows, note="windows copied")
    return t.view(windows, B * G, band.dilation * band.blocks(T), band.keys, K)


def _windows(t: Tape, name: str, x: Value, band: Band, T: Size) -> Value:
    """[Z,U,K] → [Z, d, n, K, keys], a view."""
    Z, U, K = x.shape
    d = band.dilation
    apart = t.transpose(t.view(x, Z, exact_div(U, d, "filled keys over the dilation"), d, K), 0, 2, 1, 3)
    return overlapping(t, name, apart, 2, band.blocks(T), band.keys, band.C)


def band_mask(t: Tape, band: Band, S: Size, T: Size, group: Size = 1) -> Value:
    """[1, d·n·group, C, keys]: 0 in the window, the least number out of it and where keys were filled up."""
    n, C, keys, d = band.blocks(T), band.C, band.keys, band.dilation
    filled = t.pad("mask", t.constant("mask", ONE, S), ONE, band.filled(T), note="")
    windows = _windows(t, "mask", t.view(filled, ONE, band.filled(T), 1), band, T)
    valid = t.copy("mask", t.view(windows, ONE, d, n, keys))
    outside = t.constant("mask", C, keys, operator="full")
    late = t.upper("mask", outside)
    t.triangle_into("mask", outside, "tril")
    inside = t.pointwise("mask", [late, outside], 1, operator="minimum")
    del late
    shape = (ONE, d, n, group, C, keys)
    mask = t.kernel(
        "mask", Kernel.ELEMENTWISE, [inside, valid], shape, operator="minimum", pointwise=product(shape),
        note="0 or −∞, for each block; shared by batch and heads",
    )  # fmt: skip
    return t.view(mask, ONE, d * n * group, C, keys)


def band_tokens(t: Tape, y: Value, band: Band, B: Size, T: Size, G: Size) -> Value:
    """[B·G, d·n·H/G, C, K] → [B,T,H·K]."""
    n, d = band.blocks(T), band.dilation
    heads, C, K = y.shape[1:]
    group = exact_div(heads, d * n, "query heads of all blocks over the blocks")
    parts = t.transpose(t.view(y, B, G, d, n, group, C, K), 0, 3, 5, 2, 1, 4, 6)
    merged = t.view(t.copy("merge_heads", parts, note="blocks to tokens"), B, n * C * d, G * group * K)
    return t.copy("cut", t.part(merged, B, T, G * group * K, name="cut"), note="without what was filled up")


def planned_attention(
    t: Tape, q: Value, k: Value, v: Value, masked: Value, at: Value, note: str = "q kᵀ, softmax, times v"
) -> Value:
    """Of q [B,H,n,C,K] over the key blocks of k, v [B,H,m,C,K] that a plan [H·n·slots] names: [B,H·n,C,K]."""
    B, H, n, C, K = q.shape
    m, slots = k.shape[2], exact_div(at.numel, H * n, "looked-up blocks over blocks of queries")

    def gathered(name: str, x: Value) -> Value:
        return t.view(looked_up(t, name, t.view(x, B, H * m, C, K), 1, at, "blocks looked up"), B, H * n, slots * C, K)

    mask = t.view(looked_up(t, "mask", masked, 1, _of_any_head(t, at)), ONE, H * n, ONE, slots * C)
    return fused_attention(
        t,
        "attend_blocks",
        t.view(t.copy("query_middle", q, note="block by block"), B, H * n, C, K),
        gathered("key_blocks", k),
        gathered("value_blocks", v),
        mask,
        note=note,
    )


def _of_any_head(t: Tape, at: Value) -> Value:
    """Numbers of blocks within their head."""
    return t.kernel(
        "plan", Kernel.ELEMENTWISE, [at], at.shape, operator="remainder", pointwise=at.numel, itemsize=ID_BYTES,
        buffer=ID_BYTES, note="of any head",
    )  # fmt: skip
