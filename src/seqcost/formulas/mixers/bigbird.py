"""BigBird: attention in blocks to a window, to a few random blocks, and to and from two global blocks.

The internal construction (ITC) with the sizes of the released code: the first and the last block are global (they see
and are seen by all), a block between sees itself and its two neighbours, and R random blocks besides, drawn for each
head. Blocks that come up twice count once; where a sequence has no more than R + 4 blocks, everything is seen.

The two global blocks are multiplied with all keys; every other one with 5 + R gathered blocks, of which the second and
the last but one mask the neighbour that is global already. A sequence is filled up to whole blocks, three at least.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size, ceil_div, maximum, minimum
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import ID_BYTES, Workload
from seqcost.formulas.ops.block_attention import planned_attention
from seqcost.formulas.ops.fused_attention import fused_attention
from seqcost.formulas.parts.heads import fill_heads

LEAST_BLOCKS = 3  # two global ones, and one that looks blocks up
OWN_SLOTS = 5  # the two global blocks, and a window of three


@dataclass(frozen=True, kw_only=True)
class BigBird(Component):
    """softmax(q kᵀ/√K) v over global, neighbouring and random blocks; sees both ways.

    D width · H heads · K head width (default D/H) · C tokens per block · R random blocks that a block sees · seed of
    the random blocks, which depend on it, on the head and on the number of blocks.
    """

    SOURCE: ClassVar[str] = (
        "Zaheer et al. 2020, arXiv 2007.14062, section 2 (ITC); github.com/google-research/bigbird, core/attention.py "
        "(blocks)"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"q = x W_q,\quad k = x W_k,\quad v = x W_v",
        r"\mathcal{N}(i) = \{1,\, i-1,\, i,\, i+1,\, n\} \cup \mathrm{random}_R(i)\;\text{(blocks)},\quad"
        r"\mathcal{N}(1) = \mathcal{N}(n) = \{1, \dots, n\},\quad n = \lceil T/C \rceil",
        r"y_t = \sum_{s \in \mathcal{N}(t)} \mathrm{softmax}_s\!\left(\frac{q_t \cdot k_s}{\sqrt{K}}\right) v_s\, W_o",
    )

    D: Size
    H: Size
    K: Size = None
    C: Size = 64
    R: Size = 3
    seed: int = 0
    bias: bool = True  # on q, k, v and output alike

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H", "C")
        if type(self.R) is not int or self.R != 0:  # none is allowed
            check_sizes(self, "R")
        fill_heads(self)

    @property
    def decodes(self) -> bool:
        return False

    def params(self) -> Bill:
        D, inner = self.D, self.H * self.K
        weights = {
            "query": (D * inner, "W_q"),
            "key": (D * inner, "W_k"),
            "value": (D * inner, "W_v"),
            "output": (inner * D, "W_o"),
        }
        if self.bias:
            weights |= {
                "query_bias": (inner, "b_q"),
                "key_bias": (inner, "b_k"),
                "value_bias": (inner, "b_v"),
                "output_bias": (D, "b_o"),
            }
        return Bill.of(Kind.PARAMETERS, **weights)

    def blocks(self, T: Size) -> Size:
        """Blocks of T tokens once they are filled up."""
        return maximum(ceil_div(T, self.C), LEAST_BLOCKS)

    def pairs(self, T: Size) -> Size:
        """Query-key pairs that the pattern holds among T tokens, a head and a sequence."""
        n, C = ceil_div(T, self.C), self.C
        last = T - (n - 1) * C  # tokens in the last block
        at_edge = minimum(self.R, maximum(n - 4, 0))  # random blocks that are left to draw
        inside = minimum(self.R, maximum(n - 5, 0))
        # The second block and the last but one see four blocks, those between them five; always the last one.
        edges = minimum(maximum(n - 2, 0), 2) * C * (minimum(n - 1, 3 + at_edge) * C + last)
        between = maximum(n - 4, 0) * C * ((4 + inside) * C + last)
        dense = minimum(T, C + last) * T
        return dense + edges + between

    def executed_pairs(self, T: Size) -> Size:
        """Query-key pairs that are multiplied, a head and a sequence."""
        n, C = self.blocks(T), self.C
        return 2 * C * n * C + (n - 2) * C * (OWN_SLOTS + self.R) * C

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        q, k, v = (self._projected(t, name, x) for name in ("query", "key", "value"))
        return t.linear(
            "project_output", self._attend(t, q, k, v), self.D, bias=self.bias, note="y [B,T,H·K] @ W_o [H·K,D]"
        )

    def _projected(self, t: Tape, name: str, x: Value) -> Value:
        (B, T, _), H, K = x.shape, self.H, self.K
        note = f"x [B,T,D] @ W_{name[0]} [D,H·K]"
        return t.view(t.linear(f"project_{name}", x, H * K, bias=self.bias, note=note), B, T, H, K)

    def _attend(self, t: Tape, query: Value, key: Value, value: Value) -> Value:
        (B, T, H, K), C = query.shape, self.C
        n = self.blocks(T)
        # One block more than there are: what a slot without a block of its own looks up.
        q, k, v = (
            t.view(
                t.pad(f"{name}_fill", t.transpose(z, 0, 2, 1, 3), B, H, (n + 1) * C, K,
                    note="heads first, filled up with zeros",
                ),
                B, H, n + 1, C, K,
            )
            for name, z in (("query", query), ("key", key), ("value", value))
        )  # fmt: skip
        masked = t.pad("mask", t.constant("mask", ONE, T), ONE, (n + 1) * C)
        first, middle, last, _ = t.parts(q, *((B, H, m, C, K) for m in (1, n - 2, 1, 1)), name="query_split")
        of_keys, of_values = (t.view(t.part(z, B, H, n, C, K), B, H, n * C, K) for z in (k, v))
        edges = fused_attention(
            t,
            "attend_global",
            t.view(t.cat("query_global", [first, last], B, H, 2, C, K, note="the two global blocks"), B, H, 2 * C, K),
            of_keys,
            of_values,
            t.part(t.view(masked, ONE, ONE, ONE, (n + 1) * C), ONE, ONE, ONE, n * C),
            note="the global blocks see all keys",
        )
        at = t.constant("plan", H * (n - 2) * (OWN_SLOTS + self.R), itemsize=ID_BYTES, operator=None)  # made of numbers
        note = "each other block sees 5 + R gathered ones"
        between = planned_attention(t, middle, k, v, t.view(masked, ONE, n + 1, C), at, note)
        ends = t.parts(t.view(edges, B, H, 2, C, K), (B, H, 1, C, K), (B, H, 1, C, K), name="global_split")
        blocks = [ends[0], t.view(between, B, H, n - 2, C, K), ends[1]]
        tokens = [t.transpose(y, 0, 2, 3, 1, 4) for y in blocks]
        y = t.view(t.cat("merge_heads", tokens, B, n, C, H, K, note="blocks to tokens"), B, n * C, H * K)
        return t.copy("cut", t.part(y, B, T, H * K, name="cut"), note="without what was filled up")

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, attend=(2, "by way of a global block"))
