"""Products of matrices: by a weight, and of batches of matrices with each other."""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.buffers import blas_reads, is_tiny
from seqcost.formulas.core.elementwise import Elementwise
from seqcost.formulas.core.values import Value, product, same, stretches


class Products(Elementwise):
    """What BLAS computes: see `Tape`."""

    def linear(
        self,
        name: str,
        x: Value,
        n_out: Size,
        *,
        bias: bool = True,
        weight: Value | None = None,
        shift: Value | None = None,
        note: str = "",
    ) -> Value:
        """x W + b over the last axis: nn.Linear; `weight` and `shift` where they are used more than once."""
        *front, n_in = x.shape
        rows = product(front)
        flops = 2 * rows * n_in * n_out
        weight = self.transpose(self.weight(n_out, n_in) if weight is None else weight, 1, 0)
        itemsize = x.storage.itemsize
        flat = x if len(front) == 1 else self.view(x, rows, n_in, name=name)
        inputs = [flat, weight]
        if bias:  # in this order gradients go on
            inputs.insert(0, self.weight(n_out) if shift is None else shift)

        def backward(t: Products, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            kept_x, kept_weight = kept
            *wanted_shift, wanted_x, wanted_weight = wanted

            def to_input() -> Value:
                return t.kernel(
                    f"{name}_dx", Kernel.PRODUCT, [g, kept_weight], (rows, n_in), operator="mm",
                    sizes=(rows, n_out, n_in), contraction=flops, buffer=t._matrix_bytes(g), itemsize=itemsize,
                    note="g Wᵀ",
                )  # fmt: skip

            def to_weight() -> Value:
                found = t.kernel(
                    f"{name}_dw", Kernel.PRODUCT, [g, kept_x], (n_out, n_in), operator="mm",
                    sizes=(n_out, rows, n_in), contraction=flops, buffer=t._matrix_bytes(g), itemsize=itemsize,
                    note="gᵀ x",
                )  # fmt: skip
                return t.transpose(found, 1, 0)

            dx = to_input() if wanted_x and bias else None  # addmm begins with the input, mm with the weight
            dw = to_weight() if wanted_weight else None
            if wanted_x and not bias:
                dx = to_input()
            db = [t.reduced(f"{name}_db", g, (n_out,), "Σ g") if want else None for want in wanted_shift]
            return [*db, dx, dw]

        first = 1 if bias else 0
        y = self.kernel(
            name, Kernel.PRODUCT, inputs, (rows, n_out), operator="addmm" if bias else "mm", sizes=(rows, n_in, n_out),
            contraction=flops, pointwise=rows * n_out if bias else 0, backward=backward,
            keeps=[(flat, first + 1), (weight, first)], itemsize=itemsize, note=note or ("x W + b" if bias else "x W"),
        )  # fmt: skip
        return y if len(front) == 1 else self.view(y, *front, n_out)

    def matmul(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """a [...,m,k] @ b [...,k,n] over equal batch axes, transposed views included: torch.bmm."""
        return self._product(name, None, a, b, note or "[m,k] @ [k,n]")

    def add_matmul(self, name: str, c: Value, a: Value, b: Value, note: str = "") -> Value:
        """c + a @ b in one kernel, c broadcast: torch.baddbmm."""
        return self._product(name, c, a, b, note or "c + [m,k] @ [k,n]")

    def _product(self, name: str, c: Value | None, a: Value, b: Value, note: str) -> Value:
        *batch, m, k = a.shape
        n = b.shape[-1]
        sizes = (product(batch), m, k, n)
        flops = 2 * product(sizes)
        shape = (*batch, m, n)
        summed = c is not None and not same(c.shape, shape)
        c_shape: tuple[Size, ...] = () if c is None else c.shape
        itemsize = a.storage.itemsize

        def backward(t: Products, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            kept_a, kept_b = kept
            dc = da = db = None
            *wanted_c, wanted_a, wanted_b = wanted

            def second() -> Value:
                return t.product(f"{name}_db", t.swapped(kept_a), g, itemsize, "aᵀ g")

            if wanted_b and not wanted_c:  # as bmm does it; baddbmm begins with the other
                db = second()
            if wanted_a:
                da = t.product(f"{name}_da", g, t.swapped(kept_b), itemsize, "g bᵀ")
            if wanted_b and wanted_c:
                db = second()
            if wanted_c and wanted_c[0]:
                happens = stretches(c_shape, shape)
                dc = t.reduced(f"{name}_dc", g, c_shape, "Σ g", happens=happens) if summed else g
            return [dc, da, db] if wanted_c else [da, db]

        first = 0 if c is None else 1
        return self.kernel(
            name, Kernel.BATCHED_PRODUCT, [a, b] if c is None else [c, a, b], shape,
            operator="bmm" if c is None else "baddbmm", sizes=sizes, contraction=flops,
            pointwise=0 if c is None else product(shape), buffer=self._batched_bytes(a, b), backward=backward,
            keeps=[(a, first + 1), (b, first)], itemsize=itemsize, note=note,
        )  # fmt: skip

    def product(self, name: str, a: Value, b: Value, itemsize: Size | None, note: str) -> Value:
        """a [...,m,k] @ b [...,k,n] without a way back."""
        *batch, m, k = a.shape
        sizes = (product(batch), m, k, b.shape[-1])
        return self.kernel(
            name, Kernel.BATCHED_PRODUCT, [a, b], (*batch, m, b.shape[-1]), operator="bmm", sizes=sizes,
            contraction=2 * product(sizes), buffer=self._batched_bytes(a, b), itemsize=itemsize, note=note,
        )  # fmt: skip

    def swapped(self, x: Value) -> Value:
        """The last two axes exchanged: the transposed matrices."""
        order = [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]
        return self.transpose(x, *order)

    def _batched_bytes(self, a: Value, b: Value) -> Size:
        """One matrix at a time is copied where it cannot be read as it lies."""
        if is_tiny(a.shape[-2], a.shape[-1], b.shape[-1]):
            return 0
        return sum((self._matrix_bytes(x) for x in (a, b)), start=0)

    def _matrix_bytes(self, x: Value) -> Size:
        """Of a copy of one matrix of x, where it is copied."""
        if x.strides is None:
            return 0
        (rows, columns), (by_row, by_column) = x.shape[-2:], x.strides[-2:]
        if blas_reads(rows, columns, by_row, by_column):
            return 0
        return rows * columns * self.bytes_of(x.storage.itemsize)
