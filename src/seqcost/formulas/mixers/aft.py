"""AFT-simple: each feature is a softmax average of its values over the prefix, weighed by its own keys, then gated.

Attention of D heads one feature wide whose query is 1, so a scan of (m, u, w) computes every prefix at once
(`formulas.ops.prefix_attention`). As the paper prints it, without a product behind the gate. Not covered: position
biases (AFT-full, AFT-local, AFT-conv) and the sum over both sides.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.prefix_attention import prefix_attention, prefix_attention_step
from seqcost.formulas.ops.scan import check_chunk


@dataclass(frozen=True, kw_only=True)
class Aft(Component):
    """D width, of queries, keys and values alike · C tokens of a chunk of the scan."""

    SOURCE: ClassVar[str] = "Zhai et al. 2021, arXiv 2105.14103, section 3: AFT-simple, causal"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"q_t = W_q x_t + b_q,\quad k_t = W_k x_t + b_k,\quad v_t = W_v x_t + b_v",
        r"y_t = \sigma(q_t) \odot \frac{\sum_{i \le t} e^{k_i} \odot v_i}{\sum_{i \le t} e^{k_i}}",
    )

    D: Size
    C: int = 32
    bias: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, "D")
        check_chunk("Aft", self.C)

    def params(self) -> Bill:
        lines = {}
        for name, letter in (("query", "q"), ("key", "k"), ("value", "v")):
            lines[name] = (self.D**2, f"W_{letter}")
            if self.bias:
                lines[f"{name}_bias"] = (self.D, f"b_{letter}")
        return Bill.of(Kind.PARAMETERS, **lines)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, T, D = x.shape
        m_BD = t.state("start_largest", B, D, operator="full", itemsize=t.wide)
        wu_BD2 = t.state("start_sums", B, D, 2, operator="full", itemsize=t.wide)
        q, k, v = self._projected(t, t.view(x, B, D) if t.run.stepping else x)
        if t.run.stepping:
            o, *after = prefix_attention_step(t, k, v, m_BD, wu_BD2)
        else:
            o, *after = prefix_attention(t, k, v, m_BD, wu_BD2, self.C)
        t.carry(*after)
        averaged = t.view(o, *o.shape[:-1])
        y = t.multiply(
            "output", t.unary("gate", q, "sigmoid", "σ(q)"), t.working("working", averaged), "σ(q) ⊙ w / u"
        )  # fmt: skip
        return t.view(y, B, T, D)

    def _projected(self, t: Tape, x: Value) -> tuple[Value, Value, Value]:
        D = self.D
        q = t.linear("query", x, D, bias=self.bias, note="x W_q")
        k = t.float32("key_float32", t.linear("key", x, D, bias=self.bias, note="x W_k"))
        v = t.float32("value_float32", t.linear("value", x, D, bias=self.bias, note="x W_v"))
        return q, k, t.view(v, *v.shape, ONE)

    def state_bytes(self, run: Workload) -> Bill:
        numbers = run.B * self.D * run.state_itemsize
        return Bill.of(Kind.STATE, largest=(numbers, "m, the largest key so far"), sums=(2 * numbers, "w and u"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, attention=(1, "every position averages over all before it"))
