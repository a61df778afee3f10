"""ONNX operators that are whole layers: recurrences, convolutions, norms, attention, as torch has them."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from seqcost.errors import BadTarget
from seqcost.programs.files.onnx.file import DTYPES, Node

MOST_STEPS = 1_000_000  # of a recurrence, each of which may be operators of its own
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def recurrent(
    node: Node, x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, lengths: Tensor | None = None,
    h: Tensor | None = None, c: Tensor | None = None, peepholes: Tensor | None = None, *, kind: str,
) -> tuple[Tensor, ...]:  # fmt: skip
    """LSTM, GRU and RNN by torch's fused layers; sequences are taken at their full length.

    x is (T, B, I), or (B, T, I) with layout 1; w (directions, gates·N, I), r (directions, gates·N, N),
    b (directions, 2·gates·N).
    """
    if peepholes is not None:
        raise BadTarget(f"{node.kind} {node.name} has peepholes, which torch's layer has not; export it without.")
    names = [str(name).lower() for name in node.get("activations") or ()]
    if kind == "rnn" and any(name not in ("tanh", "relu") for name in names):
        raise BadTarget(f"RNN {node.name} has the activation {names[0]}; tanh and relu can be followed.")
    if w.shape[0] > 2 or max(x.shape[:2]) > MOST_STEPS:
        raise BadTarget(
            f"{node.kind} {node.name} has {w.shape[0]} directions and {max(x.shape[:2]):,} steps; at most 2 and "
            f"{MOST_STEPS:,} can be followed."
        )
    batch_first, directions, size = bool(node.get("layout", 0)), w.shape[0], r.shape[-1]
    if node.get("direction", "forward") == "reverse":
        x = x.flip(1 if batch_first else 0)
    rows = _GATES[kind] * size
    weights = []
    for one in range(directions):
        weights += [w[one], r[one]] + ([] if b is None else [b[one, :rows], b[one, rows:]])
    B = x.shape[0 if batch_first else 1]

    def start(given: Tensor | None) -> Tensor:
        if given is None:
            return torch.zeros(directions, B, size, dtype=x.dtype)
        return given.transpose(0, 1) if batch_first else given

    options = (b is not None, 1, 0.0, False, directions == 2, batch_first)
    if kind == "lstm":
        y, *last = torch._VF.lstm(x, (start(h), start(c)), weights, *options)
    else:
        layer = getattr(torch._VF, {"gru": "gru", "rnn": "rnn_relu" if "relu" in names else "rnn_tanh"}[kind])
        y, *last = layer(x, start(h), weights, *options)
    y = y.unflatten(-1, (directions, size))  # (T, B, directions, N), ONNX has the directions second
    return (y if batch_first else y.transpose(1, 2), *(s.transpose(0, 1) if batch_first else s for s in last))


def _padded(node: Node, x: Tensor, kernel: list[int], value: float = 0.0) -> Tensor:
    """The input with the zeros around it that a convolution or a pool asks for."""
    rank = x.dim() - 2
    strides, dilations = node.get("strides") or [1] * rank, node.get("dilations") or [1] * rank
    pads = list(node.get("pads") or [0] * (2 * rank))
    auto = node.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(rank):
            reach = (kernel[i] - 1) * dilations[i] + 1
            total = max((-(-x.shape[2 + i] // strides[i]) - 1) * strides[i] + reach - x.shape[2 + i], 0)
            less, more = total // 2, total - total // 2
            pads[i], pads[rank + i] = (less, more) if auto == "SAME_UPPER" else (more, less)
    if not any(pads):
        return x
    return functional.pad(x, [n for i in reversed(range(rank)) for n in (pads[i], pads[rank + i])], value=value)


def conv(node: Node, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """Conv of one to three dimensions; even padding is left to torch's own layer."""
    rank = x.dim() - 2
    run = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    strides, dilations = list(node.get("strides") or [1] * rank), list(node.get("dilations") or [1] * rank)
    pads = list(node.get("pads") or [0] * (2 * rank))
    if node.get("auto_pad", "NOTSET") == "NOTSET" and pads[:rank] == pads[rank:]:
        return run(x, w, b, strides, pads[:rank], dilations, node.get("group", 1))
    return run(_padded(node, x, list(w.shape[2:])), w, b, strides, 0, dilations, node.get("group", 1))


def conv_transpose(node: Node, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """ConvTranspose with padding that is even on both sides."""
    rank = x.dim() - 2
    pads = list(node.get("pads") or [0] * (2 * rank))
    if node.get("auto_pad", "NOTSET") != "NOTSET" or pads[:rank] != pads[rank:] or node.get("output_shape"):
        raise BadTarget(f"ConvTranspose {node.name} has uneven or automatic padding; export it with even padding.")
    run = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)[rank - 1]
    strides, dilations = list(node.get("strides") or [1] * rank), list(node.get("dilations") or [1] * rank)
    more = list(node.get("output_padding") or [0] * rank)
    return run(x, w, b, strides, pads[:rank], more, node.get("group", 1), dilations)


def max_pool(node: Node, x: Tensor) -> Tensor:
    """MaxPool, without the indices."""
    rank, kernel = x.dim() - 2, list(node.get("kernel_shape"))
    run = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[rank - 1]
    strides, dilations = list(node.get("strides") or [1] * rank), list(node.get("dilations") or [1] * rank)
    padded = _padded(node, x, kernel, -math.inf)
    return run(padded, kernel, strides, 0, dilations, bool(node.get("ceil_mode", 0)))


def average_pool(node: Node, x: Tensor) -> Tensor:
    """AveragePool."""
    rank, kernel = x.dim() - 2, list(node.get("kernel_shape"))
    run = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[rank - 1]
    strides = list(node.get("strides") or [1] * rank)
    return run(_padded(node, x, kernel), kernel, strides, 0, bool(node.get("ceil_mode", 0)))


def batch_norm(node: Node, x: Tensor, scale: Tensor, b: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """BatchNormalization with the statistics that are stored."""
    return functional.batch_norm(x, mean, variance, scale, b, False, 0.1, node.get("epsilon", 1e-5))


def instance_norm(node: Node, x: Tensor, scale: Tensor, b: Tensor) -> Tensor:
    """InstanceNormalization."""
    return functional.instance_norm(x, None, None, scale, b, True, 0.1, node.get("epsilon", 1e-5))


def group_norm(node: Node, x: Tensor, scale: Tensor, b: Tensor) -> Tensor:
    """GroupNormalization; before opset 21 scale and bias had one number per group."""
    if scale.shape[0] != x.shape[1]:
        per = x.shape[1] // scale.shape[0]
        scale, b = scale.repeat_interleave(per), b.repeat_interleave(per)
    return functional.group_norm(x, node.get("num_groups"), scale, b, node.get("epsilon", 1e-5))


def layer_norm(node: Node, x: Tensor, scale: Tensor, b: Tensor | None = None) -> tuple[Tensor, ...]:
    """LayerNormalization over the axes from `axis` on; mean and inverse deviation where they are asked for."""
    axis = node.get("axis", -1) % x.dim()
    shape = list(x.shape[axis:])
    scale, bias = scale.expand(shape), None if b is None else b.expand(shape)
    if len([name for name in node.outputs if name]) > 1:
        return torch.native_layer_norm(x, shape, scale, bias, node.get("epsilon", 1e-5))
    return (functional.layer_norm(x, shape, scale, bias, node.get("epsilon", 1e-5)),)


def rms_norm(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    """RMSNormalization over the axes from `axis` on."""
    shape = list(x.shape[node.get("axis", -1) % x.dim() :])
    return functional.rms_norm(x, shape, scale.expand(shape), node.get("epsilon", 1e-5))


def lp_norm(node: Node, x: Tensor) -> Tensor:
    """LpNormalization."""
    return functional.normalize(x, p=node.get("p", 2), dim=node.get("axis", -1))


def attention(
    node: Node, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, lengths: Tensor | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Attention (opset 23) by torch's fused one; q, k, v with heads (B, H, T, K) or without (B, T, H·K)."""
    if node.get("softcap", 0.0):
        raise BadTarget(f"Attention {node.name} has a softcap, which torch's fused attention has not.")
    if len(node.outputs) > 3 and node.outputs[3]:
        raise BadTarget(f"Attention {node.name} gives its scores out; export it without that output.")
    flat = q.dim() == 3

    def heads(x: Tensor, name: str) -> Tensor:
        return x.unflatten(-1, (node.get(name), -1)).transpose(1, 2) if flat else x

    q, k, v = heads(q, "q_num_heads"), heads(k, "kv_num_heads"), heads(v, "kv_num_heads")
    k = k if past_key is None else torch.cat([past_key, k], 2)
    v = v if past_value is None else torch.cat([past_value, v], 2)
    causal = bool(node.get("is_causal", 0))
    if causal and mask is not None:
        mask = mask & torch.ones(mask.shape[-2:], dtype=torch.bool).tril() if mask.dtype == torch.bool else mask
        causal = False
    y = functional.scaled_dot_product_attention(
        q, k, v, mask, 0.0, causal, scale=node.get("scale"), enable_gqa=q.shape[1] != k.shape[1]
    )
    return (y.transpose(1, 2).flatten(2) if flat else y, k, v)


def rotary(node: Node, x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None = None) -> Tensor:
    """RotaryEmbedding (opset 23): halves, or neighbours where it is interleaved, turned by angles."""
    flat = x.dim() == 3
    x = x.unflatten(-1, (node.get("num_heads"), -1)) if flat else x.transpose(1, 2)
    width = node.get("rotary_embedding_dim", 0) or x.shape[-1]
    turned, kept = x[..., :width], x[..., width:]
    if positions is not None:
        cos, sin = functional.embedding(positions, cos), functional.embedding(positions, sin)
    cos, sin = cos[..., : width // 2].unsqueeze(2), sin[..., : width // 2].unsqueeze(2)
    a, b = (turned[..., ::2], turned[..., 1::2]) if node.get("interleaved", 0) else turned.chunk(2, -1)
    first, second = cos * a - sin * b, sin * a + cos * b
    if node.get("interleaved", 0):
        turned = torch.stack([first, second], -1).flatten(-2)
    else:
        turned = torch.cat([first, second], -1)
    y = torch.cat([turned, kept], -1) if kept.shape[-1] else turned
    return y.flatten(2) if flat else y.transpose(1, 2)


def _beside(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    """A scale for each entry of an axis, so that it lies beside x."""
    if scale.dim() != 1 or scale.shape[0] == 1:
        return scale
    axis = node.get("axis", 1) % x.dim()
    return scale.reshape([-1 if i == axis else 1 for i in range(x.dim())])


def dequantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """DequantizeLinear, one scale for all or one for each entry of an axis."""
    scale = _beside(node, x, scale)
    shifted = x.to(scale.dtype)
    return (shifted if zero is None else shifted - _beside(node, x, zero).to(scale.dtype)) * scale


def quantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """QuantizeLinear, one scale for all or one for each entry of an axis."""
    dtype = DTYPES[node.get("output_dtype", 0) or 2] if zero is None else zero.dtype
    limits = torch.iinfo(dtype)
    rounded = torch.round(x / _beside(node, x, scale))
    rounded = rounded if zero is None else rounded + _beside(node, x, zero).to(x.dtype)
    return rounded.clamp(limits.min, limits.max).to(dtype)


def resize(node: Node, x: Tensor, region: Any = None, scales: Any = None, sizes: Any = None) -> Tensor:
    """Resize of the axes after batch and channels: nearest or linear."""
    given = None if sizes is None or not sizes.size else [int(n) for n in sizes.reshape(-1)][-(x.dim() - 2) :]
    if given is None:
        factors = [float(n) for n in scales.reshape(-1)][-(x.dim() - 2) :]
        given = [math.floor(size * factor) for size, factor in zip(x.shape[2:], factors, strict=True)]
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}
    modes = {"nearest": "nearest", "linear": linear[x.dim() - 2], "cubic": "bicubic"}
    return functional.interpolate(x, size=given, mode=modes[node.get("mode", "nearest")])
