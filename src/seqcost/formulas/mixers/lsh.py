"""Reformer's LSH attention: a token attends to those that random rotations put into its bucket.

Queries are keys (shared QK; as keys they have length 1), so tokens that attend to each other strongly point the same
way, and a hash finds them: each round turns them by a random rotation and takes the nearest axis. Tokens are sorted by
bucket and attend within chunks of the sorted order. What a token reaches, a round:

  bucket   itself and the C tokens of its bucket before it. No later token changes that, so the sequence may come in
           any pieces, or token by token
  chunk    those of its bucket in its chunk of the sorted order and in the chunk before, as in the paper. Later tokens
           move the borders of the chunks: even with the causal mask, what a token reaches depends on the future

Both execute the same chunks. Dropout is not covered, nor are hierarchical buckets.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.lsh import LONG, bucket_attention, hashed, latest, read_latest
from seqcost.formulas.parts.heads import fill_heads

Reach = Literal["bucket", "chunk"]


@dataclass(frozen=True, kw_only=True)
class LshAttention(Component):
    """Attention among the tokens of a bucket, over R rounds of hashing into E buckets, in chunks of C tokens.

    D width · H heads · K width of a query head (default D/H) · V width of a value head (default K) · R hashing rounds ·
    E buckets, an even number (the paper takes about 2·T/C) · C tokens per chunk. `reach` is "bucket" where causal, else
    "chunk", unless said otherwise. `seed` draws the rotations, which are not trained.
    """

    SOURCE: ClassVar[str] = "Kitaev, Kaiser & Levskaya 2020, arXiv 2001.04451, section 2 and appendix A"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"q = x W_{qk},\quad k_j = q_j / \lVert q_j \rVert,\quad v = x W_v",
        r"h^{(r)}(q) = \mathrm{argmax}(q A^{(r)},\, -q A^{(r)}),\quad"
        r" A^{(r)} \in \mathbb{R}^{K \times E/2},\quad r = 1, \dots, R",
        r"P_i^{(r)} = \{j \le i : h^{(r)}(q_j) = h^{(r)}(q_i)\},\ \mathrm{of\ these\ the\ last}\ C + 1",
        r"y_i = \sum_{j \in P_i} \exp\left(q_i \cdot k_j - 10^5 \delta_{ij} - z_i\right) v_j W_o,\quad"
        r" P_i = P_i^{(1)} \cup \dots \cup P_i^{(R)}",
    )

    D: Size
    H: Size
    K: Size = None
    V: Size = None
    R: Size = 4
    E: Size = 64
    C: Size = 64
    causal: bool = True
    reach: Reach | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H", "R", "E", "C")
        fill_heads(self)
        assert self.axes is not None  # refuses an odd number of buckets
        if self.reach is None:
            object.__setattr__(self, "reach", "bucket" if self.causal else "chunk")
        if self.reach not in ("bucket", "chunk"):
            raise BadSize(f"LshAttention: reach = {self.reach!r} was given; choose 'bucket' or 'chunk'.")
        if self.reach == "bucket" and not self.causal:
            raise BadSize(
                "LshAttention: reach='bucket' with causal=False was given, but it reaches earlier tokens only; "
                "choose reach='chunk'."
            )

    @property
    def axes(self) -> Size:
        """Axes of a rotation, each of which gives a bucket and its opposite."""
        return exact_div(self.E, 2, "buckets E of axes and their opposites")

    @property
    def aligned(self) -> bool:
        """Whether a token's reach is counted within its bucket, wherever the chunks begin."""
        return self.reach == "bucket"

    @property
    def decodes(self) -> bool:
        return self.causal and self.aligned

    def pairs(self, T: Size) -> Size:
        """Query-key pairs, a head and a sequence, whose scores are computed: R·⌈T/C⌉ chunks of C queries and 2·C keys.

        How many of them are attended to depends on the buckets: at most C + 1 a token and a round, each pair once.
        """
        return self.R * ceil_div(T, self.C) * 2 * self.C**2

    @property
    def multiplies_masked(self) -> bool:
        return self.causal

    def params(self) -> Bill:
        D, H, K, V = self.D, self.H, self.K, self.V
        return Bill.of(
            Kind.PARAMETERS,
            query_key=(D * H * K, "W_qk: queries and keys alike"),
            value=(D * H * V, "W_v"),
            output=(H * V * D, "W_o"),
        )

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        (B, T, _), H, V = x.shape, self.H, self.V
        if t.run.stepping:
            new = self._hashed(t, x)
            q, v, buckets = self._joined(t, new)
            t.carry(q, v, buckets)
            found = latest(t, buckets, self.C)
            read = read_latest(t, new[0], q, v, found)
        else:
            q, v, buckets = self._hashed(t, x)
            if not (isinstance(t.run.P, int) and t.run.P == 0):
                q, v, buckets = self._joined(t, (q, v, buckets))
            t.carry(q, v, buckets)
            read = bucket_attention(t, q, v, buckets, self.C, aligned=self.aligned, causal=self.causal, fresh=T)
        return t.linear("output", t.view(read, B, T, H * V), self.D, bias=False, note="y [B,T,H·V] @ W_o [H·V,D]")

    def _hashed(self, t: Tape, x: Value) -> tuple[Value, Value, Value]:
        (B, T, _), H, K, V = x.shape, self.H, self.K, self.V
        q = t.view(t.linear("query_key", x, H * K, bias=False, note="x [B,T,D] @ W_qk [D,H·K]"), B, T, H, K)
        v = t.view(t.linear("value", x, H * V, bias=False, note="x [B,T,D] @ W_v [D,H·V]"), B, T, H, V)
        return q, v, hashed(t, q, t.buffer(H, K, self.R * self.axes), self.R, self.E)

    def _joined(self, t: Tape, new: tuple[Value, Value, Value]) -> tuple[Value, Value, Value]:
        (B, T, H, K), V, R, P = new[0].shape, self.V, self.R, t.run.P
        q, v = t.carried("past_query", B, P, H, K), t.carried("past_value", B, P, H, V)
        buckets = t.carried("past_bucket", B, H, R, P, itemsize=LONG)
        return (
            t.cat("join_query", [q, new[0]], B, P + T, H, K),
            t.cat("join_value", [v, new[1]], B, P + T, H, V),
            t.cat("join_bucket", [buckets, new[2]], B, H, R, P + T),
        )

    def state_bytes(self, run: Workload) -> Bill:
        if not self.decodes:
            return Bill()
        heads = run.B * (run.P + run.T) * self.H
        return Bill.of(
            Kind.STATE,
            queries=(heads * self.K * run.itemsize, "q of every token seen; its key is q/‖q‖"),
            values=(heads * self.V * run.itemsize, "v of every token seen"),
            buckets=(heads * self.R * LONG, "of every token seen, in every round"),
        )

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(
            Kind.PATH,
            attend=(
                ceil_div(run.T, self.C),
                "C tokens of a bucket at a time, at worst all in one; else none joins them",
            ),
        )
