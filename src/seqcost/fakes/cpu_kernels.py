"""Where the CPU does something else than the fake kernel or the functional operator says.

- nn.LSTM: the fake kernels return an empty workspace and one bias gradient for both biases; the real ones return a
  workspace of known size and a copy (aten/src/ATen/native/mkldnn/RNN.cpp).
- nn.MultiheadAttention and nn.TransformerEncoderLayer in eval() without gradients are one operator each, whose inside
  no dispatch mode sees; it is spelled out here as in aten/src/ATen/native/transformers/{attention,transformer}.cpp.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from seqcost.fakes.fourier import transform
from seqcost.fakes.higher_order import follow, is_higher_order
from seqcost.fakes.recall import Recall
from seqcost.fakes.trees import tensors_in
from seqcost.formulas.ops.onednn.lstm import lstm_workspace_bytes

_ATEN = torch.ops.aten
_DEVICE = torch.ops.prim.device.default


def lstm_layer(func: Any, args: Any, kwargs: Any) -> Any:
    """The fused LSTM with the workspace that autograd keeps."""
    y, h, c, workspace = func(*args, **kwargs)
    if torch.is_grad_enabled():
        x, state_width = args[0], args[5].shape[-1]
        size = lstm_workspace_bytes(B=x.shape[1], T=x.shape[0], D=x.shape[2], N=state_width, itemsize=x.element_size())
        workspace = torch.empty(size, dtype=torch.uint8, device=x.device)
    return y, h, c, workspace


def lstm_layer_backward(func: Any, args: Any, kwargs: Any) -> Any:
    """Its backward with a gradient for each of the two biases."""
    dx, dw_input, dw_state, dbias, _, dh, dc = func(*args, **kwargs)
    return dx, dw_input, dw_state, dbias, torch.empty_like(dbias), dh, dc


def grouped_mm(func: Any, args: Any, kwargs: Any) -> Tensor:
    """Products of groups of rows; the rule for fake tensors refuses all but bfloat16 in the strides of CUDA."""
    a, b, offsets = (*args, kwargs.get("offs"))[:3]
    gradient = a.dim() == b.dim() == 2  # rows on both sides: one product per group
    sizes = (offsets.shape[0], a.shape[0], b.shape[1]) if gradient else (*a.shape[b.dim() == 2 : -1], b.shape[-1])
    dtype = kwargs.get("out_dtype") or a.dtype
    return torch.empty(sizes, dtype=dtype, device=a.device)


def embedding_bag(func: Any, args: Any, kwargs: Any) -> Any:
    """Bags of embeddings; the bag of each index lies in memory of one index more (EmbeddingBag.cpp)."""
    y, bags, *others = func(*args, **kwargs)
    if bags.numel():
        bags = bags.new_empty(bags.numel() + 1)[:-1]
    return (y, bags, *others)


def lies_as_gradient(func: Any, args: Any, kwargs: Any) -> Tensor:
    """Derivatives whose result lies as the gradient does; as fake tensors they are composed in another order."""
    gradient, result = args[0], func(*args, **kwargs)
    return torch.empty_like(gradient) if gradient.shape == result.shape else result


def changes_in_place(func: Any, args: Any, kwargs: Any) -> None:
    """An operator that changes its arguments, returns nothing, and has no rule for fake tensors."""


# Booked as the operator itself.
SUBSTITUTES: dict[Any, Callable[[Any, Any, Any], Any]] = {
    _ATEN._grouped_mm.default: grouped_mm,
    _ATEN._embedding_bag.default: embedding_bag,
    _ATEN.elu_backward.default: lies_as_gradient,
    _ATEN.softplus_backward.default: lies_as_gradient,
    _ATEN._fft_c2c.default: transform,
    _ATEN._fft_r2c.default: transform,
    _ATEN._fft_c2r.default: transform,
    _ATEN._fused_sgd_.default: changes_in_place,
    _ATEN._fused_adagrad_.default: changes_in_place,
    _ATEN.mkldnn_rnn_layer.default: lstm_layer,
    _ATEN.mkldnn_rnn_layer_backward.default: lstm_layer_backward,
}


@cache
def has_cpu_kernel(func: Any) -> bool:
    """Whether the CPU runs an operator as one kernel, even if PyTorch can spell it out by others."""
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CPU"))


def detaches_a_real_one(func: Any, args: Any) -> bool:
    """Whether a real tensor is detached, as a generator does with its state, which is never fake."""
    return func is _ATEN.detach.default and not isinstance(args[0], FakeTensor)


class Substituting(TorchDispatchMode):
    """Only the substitutes on fake tensors, where nothing is booked."""

    supports_higher_order_operators = True

    def __init__(self, recall: Recall | None = None) -> None:
        super().__init__()
        self._recall = recall or Recall()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as of the book: nothing is compiled in here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _DEVICE:
            return getattr(args[0], "fake_device", None) or args[0].device
        if is_higher_order(func):
            with self:
                return follow(func, args, kwargs or {})
        substitute = SUBSTITUTES.get(func)
        if substitute is not None and any(isinstance(tensor, FakeTensor) for tensor in tensors_in(args)):
            return substitute(func, args, kwargs or {})
        if detaches_a_real_one(func, args):
            with unset_fake_temporarily():
                return func(*args)
        return self._recall(func, args, kwargs or {})


def multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    mask: Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """`_native_multi_head_attention`: projections, scores, softmax, all without gradients."""
    B, T, D = query.shape
    S, K = key.shape[1], embed_dim // num_heads
    heads = query.new_empty((3, B, num_heads, T, K)) if S == T else None
    if query is key and key is value and heads is not None:
        qkv = torch.mm(query.reshape(B * T, D), qkv_weight.t()).view(B, T, 3, num_heads, K)
        torch.add(qkv.permute(2, 0, 3, 1, 4), qkv_bias.view(3, 1, num_heads, 1, K), out=heads)
        del qkv
        q, k, v = heads.unbind(0)
    else:
        weights, biases = qkv_weight.chunk(3), qkv_bias.chunk(3)
        q, k, v = (
            torch.nn.functional.linear(x, w, b).view(B, -1, num_heads, K).transpose(1, 2).contiguous()
            for x, w, b in zip((query, key, value), weights, biases, strict=True)
        )
    q = q.mul_(K**-0.5).reshape(B * num_heads, T, K)
    weights_BHTS = torch.bmm(q, k.reshape(B * num_heads, S, K).transpose(1, 2)).view(B, num_heads, T, S)
    if mask is not None:
        weights_BHTS.masked_fill_(mask.view(_mask_shape(mask, mask_type, B, T, S)), float("-inf"))
    _ATEN._softmax.out(weights_BHTS, -1, False, out=weights_BHTS)
    torch.bmm(weights_BHTS.view(B * num_heads, T, S), v.reshape(B * num_heads, S, K), out=q)
    averaged = None
    if not need_weights:
        del weights_BHTS
    y = q.view(B, num_heads, T, K).permute(0, 2, 1, 3).contiguous().view(B * T, D)
    y = torch.addmm(proj_bias, y, proj_weight.t()).view(B, T, D)
    if need_weights:
        averaged = weights_BHTS.sum(1).div_(num_heads) if average_attn_weights else weights_BHTS
    return y, averaged


def _mask_shape(mask: Tensor, mask_type: int | None, B: int, T: int, S: int) -> tuple[int, ...]:
    if mask_type == 1:  # key padding
        return (B, 1, 1, S)
    return (1, 1, T, S) if mask.dim() == 2 else tuple(mask.shape)


def encoder_layer(
    src: Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: Tensor,
    norm_bias_1: Tensor,
    norm_weight_2: Tensor,
    norm_bias_2: Tensor,
    ffn_weight_1: Tensor,
    ffn_bias_1: Tensor,
    ffn_weight_2: Tensor,
    ffn_bias_2: Tensor,
    mask: Tensor | None = None,
    mask_type: int | None = None,
) -> Tensor:
    """`_transformer_encoder_layer_fwd`: attention, add, norm, two products, add, norm."""

    def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.native_layer_norm(x, [embed_dim], weight, bias, eps)[0]

    x = norm(src, norm_weight_1, norm_bias_1) if norm_first else src
    x = multi_head_attention(
        x, x, x, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, mask, False, True, mask_type
    )[0]
    x.add_(src)
    if not norm_first:
        x = norm(x, norm_weight_1, norm_bias_1)
    before = x
    if norm_first:
        x = norm(x, norm_weight_2, norm_bias_2)
    rows = x.reshape(-1, embed_dim)
    hidden = _ATEN._addmm_activation(ffn_bias_1, rows, ffn_weight_1.t(), use_gelu=use_gelu)
    x = torch.addmm(ffn_bias_2, hidden, ffn_weight_2.t()).view(src.shape)
    del hidden, rows
    x.add_(before)
    return x if norm_first else norm(x, norm_weight_2, norm_bias_2)


# Booked operator by operator.
DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    _ATEN._native_multi_head_attention.default: multi_head_attention,
    _ATEN._transformer_encoder_layer_fwd.default: encoder_layer,
}
