"""ONNX operators as torch functions: one literal table, name to function of the node and its inputs.

A function gets a tensor for every input, None for one that is left out, and a NumPy array at the places in `VALUES_AT`,
whose values decide a shape. It returns a tensor or a tuple. Only shapes, types and operators matter, since no tensor
here has values: gates of a recurrent layer keep ONNX's order, scales of a resize are rounded as torch rounds them.

Semantics: https://onnx.ai/onnx/operators. Recurrent layers and fused ones are in `onnx_layers`.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from seqcost.errors import BadTarget
from seqcost.programs.files.onnx import layers
from seqcost.programs.files.onnx.file import DTYPES, Node

MOST_PIECES = 100_000  # of a tensor that is taken apart

Operator = Callable[..., Any]

# Which inputs of an operator must be known for its result to have a shape.
VALUES_AT: dict[str, tuple[int, ...]] = {
    "Reshape": (1,), "Expand": (1,), "Slice": (1, 2, 3, 4), "Tile": (1,), "Range": (0, 1, 2), "ConstantOfShape": (0,),
    "Unsqueeze": (1,), "Squeeze": (1,), "Split": (1,), "Pad": (1, 2, 3), "TopK": (1,), "OneHot": (1,),
    "Resize": (2, 3), "CumSum": (1,), "Trilu": (1,), "Dropout": (1, 2), "SplitToSequence": (1,),
    "SequenceAt": (1,),
} | {f"Reduce{kind}": (1,) for kind in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp",
                                        "SumSquare")}  # fmt: skip


def _ints(value: Any) -> list[int]:
    return [int(n) for n in value.reshape(-1)]


def _axes(node: Node, value: Any) -> list[int] | None:
    """Axes as an attribute (older releases) or as an input."""
    found = node.get("axes")
    return None if found is None and value is None else [int(a) for a in (found if found is not None else value.flat)]


def _unary(function: Callable[[Tensor], Any]) -> Operator:
    return lambda node, x: function(x)


def _binary(function: Callable[[Tensor, Tensor], Any]) -> Operator:
    return lambda node, x, y: function(x, y)


def _folded(function: Callable[[Tensor, Tensor], Any]) -> Operator:
    return lambda node, *xs: reduce(function, xs)


def _div(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _mod(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return torch.fmod(x, y) if node.get("fmod", 0) else torch.remainder(x, y)


def _reduced(function: Callable[..., Tensor]) -> Operator:
    def run(node: Node, x: Tensor, axes: Any = None) -> Tensor:
        found = _axes(node, axes)
        if not found and node.get("noop_with_empty_axes", 0):
            return x
        return function(x, found or list(range(x.dim())), bool(node.get("keepdims", 1)))

    return run


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _extreme(name: str) -> Operator:
    def run(node: Node, x: Tensor) -> Tensor:
        return getattr(torch, name)(x, dim=node.get("axis", 0), keepdim=bool(node.get("keepdims", 1)))

    return run


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.t() if node.get("transA", 0) else a
    b = b.t() if node.get("transB", 0) else b
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if c is None:
        return a @ b if alpha == 1 else (a @ b) * alpha
    return torch.addmm(c, a, b, beta=beta, alpha=alpha)


def _matmul_integer(node: Node, a: Tensor, b: Tensor, *zeros: Tensor | None) -> Tensor:
    return torch.matmul(a.to(torch.int32), b.to(torch.int32))


def _reshape(node: Node, x: Tensor, shape: Any) -> Tensor:
    wanted = _ints(shape)
    if not node.get("allowzero", 0):
        wanted = [x.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return x.reshape(wanted)


def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    axis += x.dim() if axis < 0 else 0
    first = 1
    for size in x.shape[:axis]:
        first *= size
    return x.reshape(first, -1)


def _expand(node: Node, x: Tensor, shape: Any) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(_ints(shape))))


def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(node.get("perm") or tuple(reversed(range(x.dim()))))


def _squeeze(node: Node, x: Tensor, axes: Any = None) -> Tensor:
    found = _axes(node, axes)
    return x.squeeze() if found is None else x.squeeze(tuple(found))


def _unsqueeze(node: Node, x: Tensor, axes: Any = None) -> Tensor:
    found = _axes(node, axes) or []
    rank = x.dim() + len(found)
    for axis in sorted(axis % rank for axis in found):
        x = x.unsqueeze(axis)
    return x


def _slice(node: Node, x: Tensor, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Tensor:
    begin = list(node.get("starts") or []) if starts is None else _ints(starts)
    end = list(node.get("ends") or []) if ends is None else _ints(ends)
    along = _axes(node, axes) or list(range(len(begin)))
    pace = [1] * len(begin) if steps is None else _ints(steps)
    for axis, low, high, step in zip(along, begin, end, pace, strict=True):
        size = x.shape[axis]
        if step > 0:
            x = x[(slice(None),) * (axis % x.dim()) + (slice(low, high, step),)]
        else:
            kept = range(size)[slice(low, None if high < -size else high, step)]
            x = x.flip(axis).narrow(axis, 0, len(kept)) if step == -1 else x.index_select(
                axis, torch.empty(len(kept), dtype=torch.int64)
            )  # fmt: skip
    return x


def _split(node: Node, x: Tensor, sizes: Any = None) -> tuple[Tensor, ...]:
    axis, given = node.get("axis", 0), node.get("split")
    if sizes is not None or given is not None:
        return torch.split(x, list(given) if sizes is None else _ints(sizes), axis)
    parts = len(node.outputs)
    return torch.split(x, -(-x.shape[axis] // parts), axis)


def _split_to_sequence(node: Node, x: Tensor, sizes: Any = None) -> tuple[list[Tensor]]:
    axis = node.get("axis", 0)
    each = 1 if sizes is None or sizes.ndim else max(int(sizes), 1)
    if -(-x.shape[axis] // each) > MOST_PIECES:
        raise BadTarget(f"{node.kind} {node.name} makes over {MOST_PIECES:,} pieces; export the graph without it.")
    if sizes is not None:
        return ([*torch.split(x, _ints(sizes) if sizes.ndim else int(sizes), axis)],)
    return ([*(torch.split(x, 1, axis) if node.get("keepdims", 1) else x.unbind(axis))],)


def _from_sequence(node: Node, xs: list[Tensor]) -> Tensor:
    return (torch.stack if node.get("new_axis", 0) else torch.cat)(xs, node.get("axis"))


def _pad(node: Node, x: Tensor, pads: Any = None, value: Any = None, axes: Any = None) -> Tensor:
    given = list(node.get("pads") or node.get("paddings") or []) if pads is None else _ints(pads)
    along = list(range(x.dim())) if axes is None else [axis % x.dim() for axis in _ints(axes)]
    before, after = given[: len(along)], given[len(along) :]
    wanted = [0] * (2 * x.dim())
    for axis, low, high in zip(along, before, after, strict=True):
        wanted[2 * (x.dim() - 1 - axis)], wanted[2 * (x.dim() - 1 - axis) + 1] = low, high
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}[
        node.get("mode", "constant")
    ]
    if mode != "constant":
        while len(wanted) > 2 and wanted[-2:] == [0, 0]:
            wanted = wanted[:-2]
        return functional.pad(x, wanted, mode)
    return functional.pad(x, wanted)


def _gather(node: Node, x: Tensor, index: Any) -> Tensor:
    axis = node.get("axis", 0)
    if not torch.is_tensor(index):
        return x.select(axis, int(index))
    if axis == 0 and x.dim() == 2:
        return functional.embedding(index, x)
    axis %= x.dim()
    found = x.index_select(axis, index.reshape(-1))
    return found.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _places(node: Node, x: Tensor, index: Tensor) -> tuple[Tensor, ...]:
    if index.shape[-1] > x.dim():
        raise BadTarget(f"{node.kind} {node.name} has {index.shape[-1]:,} indices into {x.dim()} axes; export it anew.")
    return tuple(index.unbind(-1))


def _gather_nd(node: Node, x: Tensor, index: Tensor) -> Tensor:
    along = node.get("batch_dims", 0)
    if along:
        raise BadTarget(f"GatherND {node.name} has batch_dims = {along}; only 0 can be followed.")
    return x[_places(node, x, index)]


def _scatter_nd(node: Node, x: Tensor, index: Tensor, new: Tensor) -> Tensor:
    return x.index_put(_places(node, x, index), new, accumulate=node.get("reduction", "none") == "add")


def _scatter(node: Node, x: Tensor, index: Tensor, new: Tensor) -> Tensor:
    axis = node.get("axis", 0)
    return x.scatter_add(axis, index, new) if node.get("reduction") == "add" else x.scatter(axis, index, new)


def _one_hot(node: Node, index: Tensor, depth: Any, values: Tensor) -> Tensor:
    places = torch.arange(int(depth.reshape(-1)[0]), dtype=index.dtype)
    hot = index.unsqueeze(-1) == places
    found = torch.where(hot, values[1], values[0])
    axis = node.get("axis", -1)
    return found if axis in (-1, index.dim()) else found.movedim(-1, axis)


def _range(node: Node, start: Any, limit: Any, step: Any) -> Tensor:
    return torch.arange(start.item(), limit.item(), step.item(), dtype=getattr(torch, str(start.dtype)))


def _constant_of_shape(node: Node, shape: Any) -> Tensor:
    value = node.get("value")
    return torch.full(_ints(shape), 0, dtype=torch.float32 if value is None else DTYPES[value.data_type])


def _cast(node: Node, x: Tensor) -> Tensor:
    return x.to(DTYPES[node.get("to")])


def _clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    lowest, highest = (node.get(name) if given is None else given for name, given in (("min", low), ("max", high)))
    return x if lowest is None and highest is None else torch.clamp(x, lowest, highest)


def _dropout(node: Node, x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    return (x, torch.ones_like(x, dtype=torch.bool)) if len(node.outputs) > 1 else (x,)


def _top_k(node: Node, x: Tensor, k: Any = None) -> tuple[Tensor, Tensor]:
    many = node.get("k") if k is None else int(k.reshape(-1)[0])
    return torch.topk(x, many, node.get("axis", -1), bool(node.get("largest", 1)), bool(node.get("sorted", 1)))


def _trilu(node: Node, x: Tensor, k: Any = None) -> Tensor:
    diagonal = 0 if k is None else int(k.reshape(-1)[0])
    return x.triu(diagonal) if node.get("upper", 1) else x.tril(diagonal)


def _where(node: Node, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition, x, y)


def _cumsum(node: Node, x: Tensor, axis: Any) -> Tensor:
    return x.cumsum(int(axis.reshape(-1)[0]))


def _softmax(function: Callable[..., Tensor]) -> Operator:
    return lambda node, x: function(x, dim=node.get("axis", -1 if node.opset >= 13 else 1))


_UNARY: dict[str, Callable[[Tensor], Any]] = {
    "Abs": torch.abs, "Neg": torch.neg, "Sqrt": torch.sqrt, "Exp": torch.exp, "Log": torch.log, "Sin": torch.sin,
    "Cos": torch.cos, "Tan": torch.tan, "Asin": torch.asin, "Acos": torch.acos, "Atan": torch.atan, "Sinh": torch.sinh,
    "Cosh": torch.cosh, "Erf": torch.erf, "Ceil": torch.ceil, "Floor": torch.floor, "Round": torch.round,
    "Sign": torch.sign, "Not": torch.logical_not, "BitwiseNot": torch.bitwise_not, "Reciprocal": torch.reciprocal,
    "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Softplus": functional.softplus,
    "Softsign": functional.softsign, "Mish": functional.mish, "HardSwish": functional.hardswish,
    "Swish": functional.silu, "IsNaN": torch.isnan, "IsInf": torch.isinf, "Identity": lambda x: x,
}  # fmt: skip
_BINARY: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Pow": torch.pow, "And": torch.logical_and,
    "Or": torch.logical_or, "Xor": torch.logical_xor, "BitwiseAnd": torch.bitwise_and, "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor, "Equal": torch.eq, "Greater": torch.gt, "Less": torch.lt,
    "GreaterOrEqual": torch.ge, "LessOrEqual": torch.le, "MatMul": torch.matmul,
    "CastLike": lambda x, y: x.to(y.dtype), "PRelu": lambda x, slope: torch.where(x < 0, slope * x, x),
}  # fmt: skip
_REDUCED: dict[str, Callable[..., Tensor]] = {
    "Sum": torch.sum, "Mean": torch.mean, "Max": torch.amax, "Min": torch.amin, "Prod": _product,
    "LogSumExp": torch.logsumexp, "SumSquare": lambda x, axes, keep: (x * x).sum(axes, keep),
    "L1": lambda x, axes, keep: x.abs().sum(axes, keep), "L2": lambda x, axes, keep: (x * x).sum(axes, keep).sqrt(),
    "LogSum": lambda x, axes, keep: x.sum(axes, keep).log(),
}  # fmt: skip

OPERATORS: dict[str, Operator] = (
    {name: _unary(function) for name, function in _UNARY.items()}
    | {name: _binary(function) for name, function in _BINARY.items()}
    | {f"Reduce{name}": _reduced(function) for name, function in _REDUCED.items()}
    | {
        "Sum": _folded(torch.add), "Max": _folded(torch.maximum), "Min": _folded(torch.minimum),
        "Mean": lambda node, *xs: reduce(torch.add, xs) / len(xs), "Div": _div, "Mod": _mod, "Gemm": _gemm,
        "MatMulInteger": _matmul_integer, "Einsum": lambda node, *xs: torch.einsum(node.get("equation"), *xs),
        "ArgMax": _extreme("argmax"), "ArgMin": _extreme("argmin"), "TopK": _top_k, "CumSum": _cumsum,
        "Reshape": _reshape, "Flatten": _flatten, "Expand": _expand, "Transpose": _transpose, "Squeeze": _squeeze,
        "Unsqueeze": _unsqueeze, "Slice": _slice, "Split": _split, "Pad": _pad, "Trilu": _trilu, "Where": _where,
        "SplitToSequence": _split_to_sequence, "ConcatFromSequence": _from_sequence,
        "SequenceConstruct": lambda node, *xs: ([*xs],), "SequenceAt": lambda node, xs, at: xs[int(at)],
        "Concat": lambda node, *xs: torch.cat(xs, node.get("axis")),
        "Tile": lambda node, x, times: x.tile(tuple(_ints(times))),
        "Gather": _gather, "GatherND": _gather_nd, "ScatterND": _scatter_nd, "Scatter": _scatter,
        "ScatterElements": _scatter, "OneHot": _one_hot,
        "GatherElements": lambda node, x, index: x.gather(node.get("axis", 0), index),
        "Range": _range, "ConstantOfShape": _constant_of_shape, "Cast": _cast, "Clip": _clip, "Dropout": _dropout,
        "Softmax": _softmax(torch.softmax), "LogSoftmax": _softmax(torch.log_softmax),
        "Gelu": lambda node, x: functional.gelu(x, approximate=node.get("approximate", "none")),
        "Elu": lambda node, x: functional.elu(x, node.get("alpha", 1.0)),
        "Celu": lambda node, x: functional.celu(x, node.get("alpha", 1.0)), "Selu": _unary(functional.selu),
        "LeakyRelu": lambda node, x: functional.leaky_relu(x, node.get("alpha", 0.01)),
        "ThresholdedRelu": lambda node, x: functional.threshold(x, node.get("alpha", 1.0), 0.0),
        "HardSigmoid": _unary(functional.hardsigmoid),
        "LSTM": partial(layers.recurrent, kind="lstm"), "GRU": partial(layers.recurrent, kind="gru"),
        "RNN": partial(layers.recurrent, kind="rnn"), "Conv": layers.conv, "ConvTranspose": layers.conv_transpose,
        "MaxPool": layers.max_pool, "AveragePool": layers.average_pool,
        "GlobalAveragePool": lambda node, x: x.mean(tuple(range(2, x.dim())), keepdim=True),
        "GlobalMaxPool": lambda node, x: x.amax(tuple(range(2, x.dim())), keepdim=True),
        "BatchNormalization": layers.batch_norm, "InstanceNormalization": layers.instance_norm,
        "GroupNormalization": layers.group_norm, "LayerNormalization": layers.layer_norm,
        "RMSNormalization": layers.rms_norm, "LpNormalization": layers.lp_norm, "Attention": layers.attention,
        "RotaryEmbedding": layers.rotary, "DequantizeLinear": layers.dequantize, "QuantizeLinear": layers.quantize,
        "Resize": layers.resize,
    }
)  # fmt: skip
