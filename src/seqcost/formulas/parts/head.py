"""What stands at the end of a model: output head, pooler, cross-entropy.

The head counts as the contraction it is, tied or not; a tied head owns no weight.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.operator import ID_BYTES, Operator, elementwise, linear, linear_backward
from seqcost.formulas.core.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Head(Component):
    """Features → logits over U classes: x W + b. A tied head reads the embedding's table and owns no weight."""

    SOURCE: ClassVar[str] = "Press & Wolf 2017, arXiv 1608.05859 (tied weights)"
    EQUATIONS: ClassVar[tuple[str, ...]] = (r"\mathrm{logits}_t = W x_t + b",)

    D: Size
    U: Size
    bias: bool = False
    tied: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, "D", "U")

    @property
    def gives_logits(self) -> bool:
        return True

    @property
    def keeps_input(self) -> bool:
        return True

    @property
    def width_out(self) -> Size:
        return self.U

    def params(self) -> Bill:
        bias = Bill.of(Kind.PARAMETERS, bias=(self.U, "b")) if self.bias else Bill()
        weight = Bill() if self.tied else Bill.of(Kind.PARAMETERS, weight=(self.D * self.U, "W"))
        return weight + bias

    def forward(self, run: Workload) -> Iterator[Operator]:
        yield linear("logits", run.B * run.T, self.D, self.U, bias=self.bias, note="x [B,T,D] @ W [D,U]")

    def backward(self, run: Workload) -> Iterator[Operator]:
        yield from linear_backward("logits", run.B * run.T, self.D, self.U, bias=self.bias)
        if self.tied:
            yield Operator(name="tie", pointwise=self.D * self.U, note="both gradients of E added")

    def kept_bytes(self, run: Workload) -> Bill:
        return Bill()


@dataclass(frozen=True, kw_only=True)
class Pooler(Component):
    """tanh(W x_1 + b) of the first token only: B rows, not B·T."""

    SOURCE: ClassVar[str] = "Devlin et al. 2018, arXiv 1810.04805, section 3.1 and the released code"
    EQUATIONS: ClassVar[tuple[str, ...]] = (r"y = \tanh(W x_1 + b)",)

    D: Size

    def __post_init__(self) -> None:
        check_sizes(self, "D")

    @property
    def pools(self) -> bool:
        return True

    @property
    def keeps_input(self) -> bool:
        return True

    def params(self) -> Bill:
        return Bill.of(Kind.PARAMETERS, weight=(self.D * self.D, "W"), bias=(self.D, "b"))

    def forward(self, run: Workload) -> Iterator[Operator]:
        yield linear("dense", run.B, self.D, self.D, bias=True, note="x_1 [B,D] @ W [D,D]")
        yield elementwise("tanh", run.B * self.D, pointwise.TANH)

    def backward(self, run: Workload) -> Iterator[Operator]:
        yield Operator(name="tanh_backward", pointwise=pointwise.TANH_BACKWARD * run.B * self.D)
        yield from linear_backward("dense", run.B, self.D, self.D, bias=True)

    def kept_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.SAVED, pooled=(run.B * self.D * run.itemsize, "y, the result of tanh"))


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Component):
    """Mean negative log-likelihood of the next token: log-softmax over U, then the target's entry."""

    SOURCE: ClassVar[str] = "torch.nn.functional.cross_entropy"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"\ell = -\frac{1}{BT}\sum_t \log \mathrm{softmax}(\mathrm{logits}_t)_{y_t}",
    )

    U: Size

    @property
    def width_in(self) -> Size:
        return self.U

    @property
    def width_out(self) -> Size:
        return 0

    def params(self) -> Bill:
        return Bill()

    def forward(self, run: Workload) -> Iterator[Operator]:
        rows = run.B * run.T
        n = rows * self.U
        yield Operator(name="log_softmax", pointwise=pointwise.LOG_SOFTMAX * n, reads=n, writes=n, note="log softmax")
        yield Operator(
            name="pick",
            pointwise=rows,
            reads=rows,
            writes=2,
            other_bytes=rows * ID_BYTES,
            note="mean of the targets' entries",
        )

    def backward(self, run: Workload) -> Iterator[Operator]:
        rows = run.B * run.T
        n = rows * self.U
        yield Operator(name="pick_backward", pointwise=rows, note="−1/BT at the targets")
        yield Operator(
            name="log_softmax_backward", pointwise=pointwise.LOG_SOFTMAX_BACKWARD * n, note="g − softmax · Σ g"
        )

    def kept_bytes(self, run: Workload) -> Bill:
        rows = run.B * run.T
        return Bill.of(
            Kind.SAVED,
            log_probabilities=(rows * self.U * run.itemsize, "log softmax"),
            targets=(rows * ID_BYTES, "target ids, int64"),
            weight=(run.itemsize, "number of targets"),
        )
