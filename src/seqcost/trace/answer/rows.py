"""The book of a run as rows of work: by direction, module and operator, apart by shapes where those were noted."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seqcost.algebra.work import Direction, Row, Shown
from seqcost.trace.answer.result import Coverage, Uncounted
from seqcost.trace.book import book
from seqcost.trace.book.book import Entry, Key, Shapes

Steps = Mapping[tuple[Key, Shapes | None], int]


def rows_of(entries: Mapping[Key, Entry], steps: Steps) -> Iterator[Row]:
    """The rows; `steps` are those of the longest chain."""
    for key, entry in entries.items():
        if entry.by_shapes:
            for shapes, amounts in entry.by_shapes.items():
                yield _row(key, entry, amounts, steps.get((key, shapes), 0), shapes)
        else:
            amounts = [entry.launches, entry.contraction, entry.pointwise, entry.bytes, entry.fresh]
            yield _row(key, entry, amounts, steps.get((key, None), 0))


def _row(key: Key, entry: Entry, amounts: list[Any], steps: int, shapes: Shapes | None = None) -> Row:
    direction, path, name = key
    launches, contraction, pointwise, moved, fresh = (int(amount) for amount in amounts)
    operands, results = ((), ()) if shapes is None else (_shown(shapes[0]), _shown(shapes[1]))
    return Row(
        name=name,
        kernel=entry.kernel,
        operator=name.removeprefix("aten::"),
        path=path,
        direction=Direction(direction),
        sizes=() if shapes is None else tuple(int(size) for size in shapes[2]),
        launches=launches,
        contraction=contraction,
        pointwise=pointwise,
        bytes=moved,
        fresh=fresh,
        steps=int(steps),
        itemsize=next((size for _, size in (*results, *operands)), 4),
        counted=entry.known,
        operands=operands,
        results=results,
    )


def _shown(tensors: book.Shown) -> tuple[Shown, ...]:
    return tuple((tuple(int(n) for n in shape), dtype.itemsize) for shape, dtype in tensors)


def uncounted(rows: Iterable[Row], where: Mapping[str, str] | None = None) -> tuple[Uncounted, ...]:
    """Operators without a formula, all launches of one by one module in one."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        if not row.counted:
            sums = found.setdefault((row.direction, row.path, row.name), [0, 0])
            sums[0] += int(row.launches)
            sums[1] += int(row.bytes)
    told = where or {}
    return tuple(
        Uncounted(name, ".".join(part for part in (told.get(direction, ""), path) if part), *sums)
        for (direction, path, name), sums in found.items()
    )


def coverage(rows: Iterable[Row]) -> Coverage:
    """Shares of operators and bytes that have a formula."""
    rows = list(rows)

    def share(column: str) -> float:
        whole = sum(getattr(row, column) for row in rows)
        return 1 - sum(getattr(row, column) for row in rows if not row.counted) / whole if whole else 1.0

    return Coverage(share("launches"), share("bytes"))
