"""How many elements an ONNX operator makes at most, known before it makes them.

Values that decide shapes are computed for real, so a graph of thirty nodes that each join a value with itself would ask
for all memory. An operator that is not here is not computed.
"""

import math
from collections.abc import Callable
from typing import Any

from seqcost.programs.files.onnx.file import Node

_Given = list[Any]  # NumPy arrays, None for what is left out


def _first(node: Node, given: _Given) -> float:
    return float(given[0].size)


def _broadcast(node: Node, given: _Given) -> float:
    """As many as the longest of each axis gives; shapes that do not fit are refused when they meet."""
    shapes = [value.shape for value in given if value is not None]
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return math.prod(float(max(sizes)) for sizes in zip(*padded, strict=True))


def _joined(node: Node, given: _Given) -> float:
    parts = [part for value in given if value is not None for part in (value if isinstance(value, list) else [value])]
    return float(sum(part.size for part in parts))


def _gathered(node: Node, given: _Given) -> float:
    return float(given[0].size) * float(max(given[1].size, 1))


def _product(node: Node, given: _Given) -> float:
    return math.prod(float(max(value.size, 1)) for value in given if value is not None)


def _range(node: Node, given: _Given) -> float:
    start, limit, step = (float(value.reshape(-1)[0]) for value in given[:3])
    return abs((limit - start) / step) if step else math.inf


def _of_shape(shape: Any) -> float:
    return math.prod(max(abs(float(size)), 1.0) for size in shape.reshape(-1))


def _expanded(node: Node, given: _Given) -> float:
    return _of_shape(given[1]) * max(given[0].size, 1)


def _one_hot(node: Node, given: _Given) -> float:
    return float(max(given[0].size, 1)) * abs(float(given[1].reshape(-1)[0]))


def _padded(node: Node, given: _Given) -> float:
    pads = [abs(float(n)) for n in (node.get("pads") or []) if isinstance(n, int)]
    pads += [] if len(given) < 2 or given[1] is None else [abs(float(n)) for n in given[1].reshape(-1)]
    return math.prod(float(size) + sum(pads) for size in given[0].shape)


_KINDS: dict[Callable[[Node, _Given], float], str] = {
    _first: "Abs Neg Sqrt Exp Log Sin Cos Ceil Floor Round Sign Not BitwiseNot Reciprocal Relu Sigmoid Tanh Identity "
    "IsNaN IsInf Cast CastLike Reshape Flatten Transpose Squeeze Unsqueeze Slice Split ReduceSum ReduceMean ReduceMax "
    "ReduceMin ReduceProd ArgMax ArgMin CumSum TopK Trilu ScatterND ScatterElements Dropout",
    _broadcast: "Add Sub Mul Div Mod Pow And Or Xor BitwiseAnd BitwiseOr BitwiseXor Equal Greater Less GreaterOrEqual "
    "LessOrEqual Where Clip Sum Max Min Mean",
    _joined: "Concat SequenceConstruct SplitToSequence SequenceAt ConcatFromSequence GatherElements",
    _gathered: "Gather GatherND",
    _product: "MatMul Gemm",
    _range: "Range",
    _expanded: "Expand Tile",
    _one_hot: "OneHot",
    _padded: "Pad",
    lambda node, given: _of_shape(given[0]): "ConstantOfShape",
    lambda node, given: float(given[0].size * max(given[0].ndim, 1)): "NonZero",
}
_GROWTH = {kind: growth for growth, kinds in _KINDS.items() for kind in kinds.split()}


def most_elements(node: Node, given: _Given) -> float | None:
    """Elements of all results at most; None for an operator that is not computed beside the run."""
    growth = _GROWTH.get(node.kind)
    return None if growth is None else growth(node, given)
