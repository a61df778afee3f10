"""Layers that are alike, shown once: `layers.0`, … `layers.31` of equal costs become `layers.0…31`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Amounts = tuple[int | None, ...]


@dataclass
class Node:
    """A module, or several that are alike; `amounts` are of all of them, with what is below."""

    label: str
    amounts: Amounts
    times: int = 1
    children: list["Node"] = field(default_factory=list)


def tree(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Node:
    """Rows `name` and amounts, parents before children, as a tree; the row "" is its root."""
    nodes = {row["name"]: Node(row["name"].rpartition(".")[2], tuple(row[key] for key in keys)) for row in rows}
    for name, node in nodes.items():
        if name:
            nodes[name.rpartition(".")[0]].children.append(node)
    return folded(nodes[""])


def folded(node: Node) -> Node:
    """Equal numbered neighbours as one, and modules that hold nothing but one other named together with it."""
    children: list[Node] = []
    for run in _runs(node.children):
        first, last = run[0], run[-1]
        if len(run) > 1:
            first = _times(first, len(run))
            first.label = f"{first.label}…{last.label}"
        children.append(_joined(folded(first)))
    return Node(node.label, node.amounts, node.times, children)


def _runs(nodes: Iterable[Node]) -> list[list[Node]]:
    runs: list[list[Node]] = []
    for node in nodes:
        last = runs[-1][-1] if runs else None
        follows = last is not None and last.label.isdecimal() and node.label.isdecimal()
        if last is not None and follows and int(node.label) == int(last.label) + 1 and _alike(node, last):
            runs[-1].append(node)
        else:
            runs.append([node])
    return runs


def _alike(a: Node, b: Node) -> bool:
    return (
        a.amounts == b.amounts
        and len(a.children) == len(b.children)
        and all(x.label == y.label and _alike(x, y) for x, y in zip(a.children, b.children, strict=True))
    )


def _times(node: Node, times: int) -> Node:
    amounts = tuple(None if amount is None else times * amount for amount in node.amounts)
    return Node(node.label, amounts, times * node.times, [_times(child, times) for child in node.children])


def _joined(node: Node) -> Node:
    """`h` with the only child `0…11` as `h.0…11`."""
    if len(node.children) != 1 or node.children[0].amounts != node.amounts:
        return node
    child = node.children[0]
    return Node(f"{node.label}.{child.label}", node.amounts, child.times, child.children)


def numbers_apart(path: str) -> tuple[str, int | None]:
    """A path with its first number taken out: `h.3.attn` → h.*.attn, 3."""
    parts = path.split(".")
    at = next((i for i, part in enumerate(parts) if part.isdecimal()), None)
    if at is None:
        return path, None
    return ".".join([*parts[:at], "*", *parts[at + 1 :]]), int(parts[at])


def spans(numbers: Iterable[int]) -> str:
    """`0…3,5` of 0, 1, 2, 3 and 5."""
    out: list[list[int]] = []
    for number in sorted(set(numbers)):
        if out and number == out[-1][-1] + 1:
            out[-1].append(number)
        else:
            out.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}…{run[-1]}" for run in out)
