"""What stands at the end of a model: output head, pooler, cross-entropy.

The head counts as the contraction it is, tied or not; a tied head owns no weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, product
from seqcost.formulas.core.workload import ID_BYTES


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
    def width_out(self) -> Size:
        return self.U

    def params(self) -> Bill:
        bias = Bill.of(Kind.PARAMETERS, bias=(self.U, "b")) if self.bias else Bill()
        weight = Bill() if self.tied else Bill.of(Kind.PARAMETERS, weight=(self.D * self.U, "W"))
        return weight + bias

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        weight = t.shared("table", self.U, self.D) if self.tied else None
        return t.linear("logits", x, self.U, bias=self.bias, weight=weight, note="x [B,T,D] @ W [D,U]")

    def loss(self, t: Tape, y: Value) -> Value:
        return CrossEntropy(U=self.U).program(t, y)


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

    def params(self) -> Bill:
        return Bill.of(Kind.PARAMETERS, weight=(self.D * self.D, "W"), bias=(self.D, "b"))

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        first = t.select(x, 1, name="first")
        return t.unary("tanh", t.linear("dense", first, self.D, note="x_1 [B,D] @ W [D,D]"), "tanh")


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

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        rows = product(x.shape[:-1])
        logits = t.view(x, rows, self.U)
        n = rows * self.U
        targets = t.resident("targets", (rows,), belongs="targets", itemsize=ID_BYTES, flows=False, on_chain=True)

        def soften(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            (y,) = kept
            return [t.kernel(
                "log_softmax_backward", Kernel.SOFTMAX, [g, y], y.shape, operator="_log_softmax_backward_data",
                sizes=(rows, self.U), pointwise=pointwise.LOG_SOFTMAX_BACKWARD * n, note="g − softmax · Σ g",
            )]  # fmt: skip

        y = t.kernel(
            "log_softmax", Kernel.SOFTMAX, [logits], (rows, self.U), operator="_log_softmax", sizes=(rows, self.U),
            keeps_result=True, pointwise=pointwise.LOG_SOFTMAX * n, backward=soften, note="log softmax",
        )  # fmt: skip
        loss, count = t.new("loss", ()), t.new("number", ())
        t.launch(
            "pick", Kernel.GATHER, [y, targets], [loss, count], operator="nll_loss_forward", sizes=(rows,),
            reads=[rows, rows], pointwise=rows, note="mean of the targets' entries",
        )  # fmt: skip

        def spread(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [t.kernel(
                "pick_backward", Kernel.SCATTER, [g, *kept], (rows, self.U), operator="nll_loss_backward",
                sizes=(rows,), pointwise=rows, note="−1/BT at the targets",
            ), None]  # fmt: skip

        t.follow("pick", [y, targets], [loss], spread, [(y, None), (targets, None), (count, None)])
        return loss
