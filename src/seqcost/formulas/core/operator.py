"""One operator as an implementation executes it: the unit in which formulas are written.

A component lists its operators in order; its FLOPs, traffic and depth are three readings of that one list. Views
(transpose, reshape of a contiguous tensor) move nothing and do not appear. `reads` and `writes` count elements of
the working dtype; `other_bytes` is the traffic of tensors that have a dtype of their own (token ids, angles).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from seqcost.algebra.expr import Size

ID_BYTES = 8  # int64 token ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A launched kernel, or the share of one that a line of the paper names.

    `steps` is its length on the longest chain of dependent operators: 1, or 0 for an operator that runs beside
    another one, or T for one that is repeated for every token.
    """

    name: str
    contraction: Size = 0  # FLOPs of matrix products
    pointwise: Size = 0  # element-wise operations
    reads: Size = 0  # elements
    writes: Size = 0  # elements
    other_bytes: Size = 0
    steps: Size = 1
    note: str = ""

    def repeated(self, factor: Size, *, chained: Size | None = None) -> "Operator":
        """The operator executed `factor` times, one after the other; `chained` of them on the longest chain."""
        return replace(
            self,
            contraction=self.contraction * factor,
            pointwise=self.pointwise * factor,
            reads=self.reads * factor,
            writes=self.writes * factor,
            other_bytes=self.other_bytes * factor,
            steps=self.steps * (factor if chained is None else chained),
        )

    def beside(self) -> "Operator":
        """The operator off the critical path."""
        return replace(self, steps=0)

    def moved_bytes(self, itemsize: Size) -> Size:
        """Bytes read and written."""
        return (self.reads + self.writes) * itemsize + self.other_bytes


def under(prefix: str, operators: Iterable[Operator]) -> Iterator[Operator]:
    """The operators with their names moved below a prefix."""
    return (replace(operator, name=joined(prefix, operator.name)) for operator in operators)


def joined(prefix: str, name: str) -> str:
    """`prefix.name`, or the name alone below an empty prefix."""
    return f"{prefix}.{name}" if prefix else name


def matmul(name: str, batch: Size, m: Size, k: Size, n: Size, note: str = "") -> Operator:
    """`batch` products [m,k] @ [k,n]: 2·batch·m·k·n FLOPs."""
    return Operator(
        name=name,
        contraction=2 * batch * m * k * n,
        reads=batch * (m * k + k * n),
        writes=batch * m * n,
        note=note or "[m,k] @ [k,n]",
    )


def linear(name: str, rows: Size, n_in: Size, n_out: Size, *, bias: bool, note: str = "") -> Operator:
    """X W + b on `rows` tokens: 2·rows·n_in·n_out FLOPs; the bias adds are pointwise."""
    shift = 1 if bias else 0
    return Operator(
        name=name,
        contraction=2 * rows * n_in * n_out,
        pointwise=shift * rows * n_out,
        reads=rows * n_in + n_in * n_out + shift * n_out,
        writes=rows * n_out,
        note=note,
    )


def linear_backward(
    name: str, rows: Size, n_in: Size, n_out: Size, *, bias: bool, needs_input: bool = True
) -> Iterator[Operator]:
    """Dx = g Wᵀ, dW = xᵀ g, db = Σ g; without `needs_input` the first is not executed."""
    if needs_input:
        yield Operator(name=f"{name}_dx", contraction=2 * rows * n_out * n_in, note="g [rows,out] @ Wᵀ [out,in]")
    yield Operator(name=f"{name}_dw", contraction=2 * n_out * rows * n_in, note="gᵀ [out,rows] @ x [rows,in]")
    if bias:
        yield Operator(name=f"{name}_db", pointwise=rows * n_out, note="Σ g")


def elementwise(name: str, elements: Size, per_element: int, *, operands: int = 1, note: str = "") -> Operator:
    """`per_element` operations on each of `elements`, from `operands` tensors of that size into a new one."""
    return Operator(
        name=name,
        pointwise=per_element * elements,
        reads=operands * elements,
        writes=elements,
        note=note,
    )


def copy(name: str, elements: Size, note: str = "") -> Operator:
    """Elements moved from one layout to another: no operation, only traffic."""
    return Operator(name=name, reads=elements, writes=elements, note=note)
