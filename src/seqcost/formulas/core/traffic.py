"""Bytes that a kernel reads and writes, and those of the memory that it makes: as `trace.operators.traffic` has it."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from seqcost.algebra import Size
from seqcost.formulas.core.comparing import equal
from seqcost.formulas.core.values import Value, same

BytesOf = Callable[[Size | None], Size]  # of an element, by the item size of its storage


def moved_bytes(
    bytes_of: BytesOf,
    inputs: Sequence[Value],
    results: Sequence[Value],
    reads: Sequence[Size] | None,
    into: Value | None,
    writes: Size | None,
) -> Size:
    """Bytes read and written, of inputs that show the same once; see `Recorder.launch`."""
    tensors: list[tuple[Size, Size]] = []  # elements, and bytes of one
    seen: list[Value] = []
    for i, value in enumerate(inputs):
        if any(_show_the_same(value, v) for v in seen):
            continue
        seen.append(value)
        elements = value.elements if reads is None else reads[i]
        tensors.append((elements, bytes_of(value.storage.itemsize)))
    written = [*results] if into is None else [*results, into]
    tensors.extend((v.elements if writes is None else writes, bytes_of(v.storage.itemsize)) for v in written)
    return _sum_of_products(tensors)


def fresh_bytes(bytes_of: BytesOf, results: Sequence[Value]) -> Size:
    """Bytes of results, each of which is new memory."""
    return _sum_of_products([(value.numel, bytes_of(value.storage.itemsize)) for value in results])


def _sum_of_products(pairs: Sequence[tuple[Size, Size]]) -> Size:
    if all(isinstance(size, int) for pair in pairs for size in pair):
        return sum((a * b for a, b in pairs), start=0)
    return _of_formulas(tuple(pairs))  # which recur, as much work as all else


@lru_cache(maxsize=2**14)
def _of_formulas(pairs: tuple[tuple[Size, Size], ...]) -> Size:
    # A number of SymPy's is equal to Python's and is another thing: what is all Python's is not looked up here.
    return sum((a * b for a, b in pairs), start=0)


def _show_the_same(a: Value, b: Value) -> bool:
    """Whether two operands are one to a kernel that reads them: all elements of one storage, in the same order."""
    return a is b or (
        a.storage is b.storage
        and equal(a.elements, a.storage.elements)
        and same(a.shape, b.shape)
        and (a.strides is None) == (b.strides is None)
        and (a.strides is None or b.strides is None or same(a.strides, b.strides))
    )
