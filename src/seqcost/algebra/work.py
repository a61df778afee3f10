"""Rows of work: what a model executes, as groups of equal kernel launches. The waist of the whole program.

A formula writes rows, a trace writes rows; Bills, explanations and predictions of time are readings of them and do not
ask where a row came from. A row keeps what a Bill forgets: which kernel, of which sizes, launched how often.

Amounts are those of all launches together, so rows add. A line of the paper may be a share of a kernel (the input's
product inside a fused recurrence): then one row of that kernel has its launch, and the others have none.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from seqcost.algebra.bill import Bill
from seqcost.algebra.expr import Size, is_array
from seqcost.algebra.line import Kind, Line


class Direction(StrEnum):
    """When a row runs."""

    FORWARD = "forward"
    BACKWARD = "backward"
    OPTIMIZER = "optimizer"


class Kernel(StrEnum):
    """What kind of kernel a row launches, and the sizes of one launch that go with it, in this order."""

    PRODUCT = "product"  # m, k, n of [m,k] @ [k,n]
    BATCHED_PRODUCT = "batched product"  # b, m, k, n
    ATTENTION = "attention"  # fused: sequences, heads, queries, keys, width of a key, width of a value
    CONVOLUTION = "convolution"  # sequences, channels in (of one group), channels out, taps, positions out
    FFT = "FFT"  # transforms, length
    RECURRENCE = "recurrence"  # fused: steps, sequences, width in, hidden width
    FACTORISATION = "factorisation"  # matrices, rows, columns
    ELEMENTWISE = "elementwise"  # elements
    REDUCTION = "reduction"  # rows, length of a row
    SCAN = "scan"  # rows, length of a row
    SOFTMAX = "softmax"  # rows, length of a row
    NORM = "norm"  # rows, length of a row
    SORT = "sort"  # rows, length of a row
    COPY = "copy"  # elements
    GATHER = "gather"  # elements taken
    SCATTER = "scatter"  # elements put
    FILL = "fill"  # elements, of memory that is left as it is too (`empty`)
    RANDOM = "random"  # elements
    OTHER = "other"  # elements written


Shown = tuple[tuple[int, ...], int]  # a tensor: its shape, and the bytes of one element


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Equal launches of one kernel.

    `path` is the place in the model and `name` the line of the paper, or PyTorch's own name of the operator.
    `operator` is what PyTorch launches, by formula as by trace: the name without namespace, overload and the
    underscore of an operator in place ("add" of `aten::add_.Tensor`); other namespaces keep theirs ("mylib::scan").
    `steps` are those of its launches that lie on the longest chain of dependent operators; a fused recurrence has as
    many as tokens. `itemsize` is the bytes of an element that the kernel computes with. `fresh` are those of results
    that are new memory: none in place, nor of a view. An operator without a formula is not `counted`: its FLOPs are
    unknown, its bytes and launches are not. Launches without `sizes` are of sizes that are not known: of a run that
    was derived from shorter ones, or of launches that are not alike.
    """

    name: str
    kernel: Kernel
    operator: str = ""
    path: str = ""
    direction: Direction = Direction.FORWARD
    sizes: tuple[Size, ...] = ()  # of one launch; see Kernel
    launches: Size = 1
    contraction: Size = 0  # FLOPs of matrix products, convolutions and FFTs
    pointwise: Size = 0  # element-wise operations
    bytes: Size = 0  # read and written
    fresh: Size = 0  # bytes allocated for results
    steps: Size = 0
    itemsize: Size = 4
    counted: bool = True
    note: str = ""
    operands: tuple[Shown, ...] = ()  # tensors of one launch, where they were noted
    results: tuple[Shown, ...] = ()

    @property
    def line(self) -> str:
        """Path and name: the line of a Bill."""
        return joined(self.path, self.name)

    def times(self, factor: Size, *, chained: Size | None = None) -> "Row":
        """The row `factor` times, one after the other; `chained` of them (None: all) on the longest chain."""
        return replace(
            self,
            launches=self.launches * factor,
            contraction=self.contraction * factor,
            pointwise=self.pointwise * factor,
            bytes=self.bytes * factor,
            fresh=self.fresh * factor,
            steps=self.steps * (factor if chained is None else chained),
        )

    def under(self, prefix: str) -> "Row":
        """The row at a place below `prefix`."""
        return replace(self, path=joined(prefix, self.path)) if prefix else self


@dataclass(frozen=True, slots=True)
class Beside:
    """What a run makes its caller do beside launches, for each launch of a direction: it costs a host time, no device.

    Views are operators that give what is there another shape; modules are called in the forward pass alone. `inner` is
    the share of forward launches that one call of PyTorch makes in a loop of its own (nn.RNN on a CPU): the caller
    does nothing beside those.
    """

    views_forward: float
    views_backward: float
    modules: float
    inner: float = 0.0


def joined(prefix: str, name: str) -> str:
    """`prefix.name`, or the one alone where the other is empty."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


def flops_of(rows: Iterable[Row], named: Callable[[Row], str] | None = None) -> Bill:
    """Contractions and pointwise operations, a line each."""
    return Bill(_flop_lines(rows, named or _line))


def traffic_of(rows: Iterable[Row], named: Callable[[Row], str] | None = None) -> Bill:
    """Bytes read and written."""
    name = named or _line
    return Bill(Line(name(row), row.bytes, Kind.TRAFFIC, row.note) for row in rows if not is_zero(row.bytes))


def depth_of(rows: Iterable[Row], named: Callable[[Row], str] | None = None) -> Bill:
    """Steps on the longest chain of dependent operators."""
    name = named or _line
    return Bill(Line(name(row), row.steps, Kind.DEPTH, row.note) for row in rows if not is_zero(row.steps))


def is_zero(amount: Size) -> bool:
    """Whether an amount is 0; a sweep never is, so that all its points have the same lines."""
    return not is_array(amount) and bool(amount == 0)


def _line(row: Row) -> str:
    return row.line


def _flop_lines(rows: Iterable[Row], name: Callable[[Row], str]) -> Iterator[Line]:
    for row in rows:
        if not is_zero(row.contraction):
            yield Line(name(row), row.contraction, Kind.CONTRACTION, row.note)
        if not is_zero(row.pointwise):
            yield Line(name(row), row.pointwise, Kind.POINTWISE, row.note)
