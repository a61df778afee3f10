"""Linear attention: softmax replaced by a product of features, so that a sum over the past is all that is carried.

Three forms of the causal one compute the same and cost differently: "chunked" (the pairs of C tokens at a time, and the
state from chunk to chunk), "parallel" (all T² pairs at once, no state) and "recurrent" (token by token). Without
causality there is one form: a sum over the whole sequence that every token reads.

Feature maps: elu(x) + 1 as in the paper, relu, identity, and "favor", the positive orthogonal random features of the
Performer, whose product is softmax's kernel in expectation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.chunks import Values, walk
from seqcost.formulas.ops.gated_linear_attention import (
    gated_linear_attention,
    gated_linear_attention_step,
    masked_attention,
    summed_attention,
)
from seqcost.formulas.parts.chunk import check_chunks
from seqcost.formulas.parts.heads import fill_heads

Feature = Literal["elu", "relu", "identity", "favor"]
Form = Literal["chunked", "parallel", "recurrent"]
FAVOR_FEATURES = 4  # random features a key feature; the Performer's K·ln K is that many at K ≈ 55


@dataclass(frozen=True, kw_only=True)
class LinearAttention(Component):
    """φ(q)ᵀ Σ φ(k) vᵀ over φ(q)ᵀ Σ φ(k), the sums over the tokens seen.

    D width · H heads · K, V widths of a query/key and of a value head (default D/H, K) · C tokens in a chunk · R random
    features of a head for feature="favor" (default 4·K). `form` is that of a causal layer. `normalise` divides by the
    sum of the similarities plus `normaliser_epsilon`.
    """

    SOURCE: ClassVar[str] = (
        "Katharopoulos et al. 2020, arXiv 2006.16236, eqs. 4–12 and 16–20; favor: Choromanski et al. 2020, "
        "arXiv 2009.14794, eq. 5 and section 2.4"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"q = \phi(x W_q),\quad k = \phi(x W_k),\quad v = x W_v,\quad \phi(x) = \mathrm{elu}(x) + 1",
        r"S_t = S_{t-1} + k_t v_t^\top,\quad z_t = z_{t-1} + k_t",
        r"y_t = \frac{S_t^\top q_t}{z_t^\top q_t + \epsilon}\, W_o",
        r"\phi_\mathrm{favor}(x) = \frac{1}{\sqrt{R}} \exp\!\left(\Omega x' - \frac{\lVert x' \rVert^2}{2}\right),"
        r"\quad x' = x / K^{1/4}",
    )

    D: Size
    H: Size
    K: Size = None
    V: Size = None
    C: Size = 64
    R: Size = None
    feature: Feature = "elu"
    form: Form = "chunked"
    causal: bool = True
    normalise: bool = True
    normaliser_epsilon: float | None = (
        None  # 1e-6, or 1e-30 with "favor", whose features may all be small and are never 0
    )
    bias: bool = False  # on q, k, v and output alike

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H")
        check_chunks(self, "C")
        fill_heads(self)
        if self.normaliser_epsilon is None:
            object.__setattr__(self, "normaliser_epsilon", 1e-30 if self.feature == "favor" else 1e-6)
        if self.feature == "favor" and self.R is None:
            object.__setattr__(self, "R", FAVOR_FEATURES * self.K)
        if self.feature == "favor":
            check_sizes(self, "R")
        if self.feature == "identity" and self.normalise:
            raise BadSize(
                "linear attention: feature='identity' was given with normalise=True; similarities that may be negative "
                "can sum to 0, so set normalise=False or choose 'elu', 'relu' or 'favor'."
            )
        if self.feature == "favor" and not self.normalise:
            raise BadSize(
                "linear attention: feature='favor' was given with normalise=False; random features estimate a softmax, "
                "which is a ratio: set normalise=True."
            )

    @property
    def decodes(self) -> bool:
        return self.causal

    @property
    def features(self) -> Size:
        """Features of a head: φ(q) and φ(k) are that wide."""
        return self.R if self.feature == "favor" else self.K

    @property
    def multiplies_masked(self) -> bool:
        return self.causal and self.form != "recurrent"

    def params(self) -> Bill:
        D, H, K, V = self.D, self.H, self.K, self.V
        weights = {
            "query": (D * H * K, "W_q"),
            "key": (D * H * K, "W_k"),
            "value": (D * H * V, "W_v"),
            "output": (H * V * D, "W_o"),
        }
        if self.bias:
            weights |= {
                "query_bias": (H * K, "b_q"),
                "key_bias": (H * K, "b_k"),
                "value_bias": (H * V, "b_v"),
                "output_bias": (D, "b_o"),
            }
        return Bill.of(Kind.PARAMETERS, **weights)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, H, R, V = t.run.B, self.H, self.features, self.V
        if not self.causal:
            return self._unmasked(t, x)
        if self.form == "parallel" and not t.run.started:
            return self._parallel(t, x)
        S = t.state("state", B, H, R, V, itemsize=t.wide)
        z = t.state("normaliser_state", B, H, R, itemsize=t.wide) if self.normalise else None
        if t.run.stepping:
            x = t.view(x, B, self.D)
            y, after = self._token(t, *self._features(t, x), (S, z))
            t.carry(*_tensors(*after))
            return t.view(self._joined(t, y), B, t.run.T, self.D)
        if self.form == "recurrent":
            y, after = self._steps(t, x, S, z)
            t.carry(*_tensors(*after))
            return self._joined(t, y)
        return self._extended(t, x, S, z)

    def _unmasked(self, t: Tape, x: Value) -> Value:
        q, k, v = self._features(t, x)
        y = summed_attention(t, q, k, v)
        if not self.normalise:
            return self._joined(t, y)
        return self._joined(t, self._over(t, y, q, t.sum("normaliser_sum", k, 1, keep=True, note="z = Σ k")))

    def _parallel(self, t: Tape, x: Value) -> Value:
        q, k, v = self._features(t, x)
        y, _ = masked_attention(t, q, k, v)
        if not self.normalise:
            return self._joined(t, y)
        return self._joined(t, self._over(t, y, q, t.cumsum("normaliser_sum", k, 1, "z = Σ k")))

    def _extended(self, t: Tape, x: Value, S: Value, z: Value | None) -> Value:
        q, k, v = self._features(t, x)
        B, _, H, R = q.shape
        if self.form == "parallel":
            y, after = masked_attention(t, q, k, v, S)
        else:
            y, after = gated_linear_attention(t, q, k, v, S, C=self.C)
        assert after is not None
        if z is None:
            t.carry(after)
            return self._joined(t, y)
        z_BTHK = t.add(
            "normaliser_carried", t.view(z, B, ONE, H, R), t.cumsum("normaliser_sum", k, 1, "Σ k"), "z = z_0 + Σ k"
        )  # fmt: skip
        last = t.copy("normaliser_after", t.select(z_BTHK, 1), note="the last z")
        t.carry(after, last)
        return self._joined(t, self._over(t, y, q, z_BTHK))

    def _features(self, t: Tape, x: Value) -> tuple[Value, Value, Value]:
        """φ(q), φ(k) and v of x by heads, in float32 at least."""
        front = x.shape[:-1]

        def heads(name: str, width: Size) -> Value:
            y = t.linear(f"project_{name}", x, self.H * width, bias=self.bias, note=f"x W_{name[0]}")
            return t.float32(f"{name}_float32", t.view(y, *front, self.H, width))

        q, k, v = heads("query", self.K), heads("key", self.K), heads("value", self.V)
        random = t.buffer(self.R, self.K, itemsize=t.wide) if self.feature == "favor" else None
        return self._feature(t, "query", q, random), self._feature(t, "key", k, random), v

    def _feature(self, t: Tape, name: str, x: Value, random: Value | None) -> Value:
        if self.feature == "identity":
            return x
        if self.feature == "relu":
            return t.unary(f"feature_{name}", x, "relu")
        if self.feature == "elu":
            return t.unary(f"feature_{name}_one", t.unary(f"feature_{name}", x, "elu"), "shift-whole", "+ 1")
        assert random is not None
        return self._favor(t, name, x, random)

    def _favor(self, t: Tape, name: str, x: Value, random: Value) -> Value:
        label = f"feature_{name}"
        scaled = t.unary(f"{label}_scale", x, "scale", "x / K^¼")
        dots = t.linear(f"{label}_project", scaled, self.R, bias=False, weight=random, note="x' [K] @ Ω [K,R]")
        half = t.unary(
            f"{label}_half",
            t.sum(f"{label}_norm", t.unary(f"{label}_square", scaled, "square"), -1, keep=True, note="‖x'‖²"),
            "divide-whole",
            "/ 2",
        )
        exponent = t.subtract(f"{label}_exponent", dots, half)
        del dots, half
        if name == "query":
            exponent = t.subtract(
                f"{label}_stable", exponent, t.largest(f"{label}_most", t.detach(exponent), "greatest exponent"),
                "cancels in the ratio",
            )  # fmt: skip
        return t.unary(f"{label}_ratio", t.unary(label, exponent, "exp"), "scale", "/ √R")

    def _over(self, t: Tape, y: Value, q: Value, z: Value) -> Value:
        """y over q·z + ε."""
        total = t.sum("normaliser", t.multiply("normaliser_product", q, z), -1, keep=True, note="q · z")
        total = t.unary("normaliser_epsilon", total, "shift", "+ ε")
        return t.divide("normalise", y, total, "y / (q · z + ε)")

    def _token(
        self, t: Tape, q: Value, k: Value, v: Value, state: Sequence[Value | None]
    ) -> tuple[Value, tuple[Value, Value | None]]:
        before, z = state
        assert before is not None
        y, S = gated_linear_attention_step(t, q, k, v, before)
        if z is None:
            return y, (S, None)
        z = t.add("normaliser_sum", z, k, "z + k")
        return self._over(t, y, q, z), (S, z)

    def _steps(self, t: Tape, x: Value, S: Value, z: Value | None) -> tuple[Value, tuple[Value, Value | None]]:
        x_TBD = t.copy("time_first", t.transpose(x, 1, 0, 2), note="[B,T,D] to [T,B,D]")

        def token(before: Values, signals: Values) -> tuple[Values, Values]:
            q, k, v = signals
            y, after = self._token(t, q, k, v, before if z is not None else (*before, None))
            return _tensors(*after), (y,)

        state, (y,) = walk(
            t, "join", token, _tensors(S, z), self._features(t, x_TBD), 0, into=1, note="the tokens' outputs"
        )
        return y, (state[0], state[1] if z is not None else None)

    def _joined(self, t: Tape, y: Value) -> Value:
        """Heads side by side, through the output projection, in the working dtype."""
        y = t.view(y, *y.shape[:-2], self.H * self.V)
        return t.linear("project_output", t.working("output_cast", y), self.D, bias=self.bias, note="y W_o")

    def state_bytes(self, run: Workload) -> Bill:
        if not self.causal:
            return Bill()
        size = run.B * self.H * self.features * run.state_itemsize
        lines = {"state": (size * self.V, "S = Σ φ(k) vᵀ")}
        if self.normalise:
            lines["normaliser"] = (size, "z = Σ φ(k)")
        return Bill.of(Kind.STATE, **lines)

    def path_length(self, run: Workload) -> Bill:
        if self.causal and self.form == "recurrent":
            return Bill.of(Kind.PATH, tokens=(run.T, "the state passes through every token"))
        if self.causal and self.form == "chunked":
            return Bill.of(Kind.PATH, chunks=(ceil_div(run.T, self.C), "the state passes through every chunk"))
        return Bill.of(Kind.PATH, attend=(1, "every position reads every other one that it may see"))


def _tensors(S: Value, z: Value | None) -> tuple[Value, ...]:
    return (S,) if z is None else (S, z)
