"""Weights that are held packed: layers with the tensors that GPTQ, AWQ, bitsandbytes, fp8 and MXFP4 store of them.

A packed layer is one operator, `seqcost::packed_linear`: 2·K·N FLOPs per row as any linear layer, every stored tensor
read once as it is stored, unpacked while it multiplies (so many pointwise operations per weight as its formula has),
and no copy of the weights in another format. Kernels that unpack first take that copy's memory in addition. The
gradient goes to the input alone. A packed weight has a shape and a type and no values: it is traced, never run.

Sources of the layouts: Frantar et al. 2022 (arXiv 2210.17323) and AutoGPTQ's QuantLinear; Lin et al. 2023 (arXiv
2306.00978) and AutoAWQ's WQLinear_GEMM; Dettmers et al. 2022 (arXiv 2208.07339), 2023 (arXiv 2305.14314) and
bitsandbytes' Linear8bitLt and Linear4bit; DeepSeek-AI 2024 (arXiv 2412.19437, section 3.3) for fp8 in blocks.

Experts of a mixture that lie in one tensor are packed by fp8 and MXFP4: see `quantised_experts`. Not covered: such
experts under GPTQ, AWQ and fbgemm_fp8, and every other method: refused.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqcost.errors import BadSize, BadTarget, TraceFailed
from seqcost.programs.hugging_face.quantised_experts import (
    Stored,
    StoredExperts,
    can_be_packed,
    holds_experts,
    pack_experts,
)

_MX_BLOCK = 32  # numbers with a scale of 8 bits
_LEAVE_OUT = "leave quantization_config out to count the model in its own dtype"


@dataclass(frozen=True)
class Scheme:
    """A method: how the weight [N, K] of a linear layer is stored (None: as it is), and in which layers.

    `unpacking` are the pointwise operations that make one weight of what is stored; `inside` says that only layers in
    the model's stacks of blocks are packed; `only` and `never` are patterns of paths. `experts` tells how a stack of
    experts' weights is stored, in modules of the class `experts_of` alone, if there is one.
    """

    words: str
    stored: Callable[[int, int], Stored] | None
    unpacking: int
    inside: bool = False
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    mixtures: bool = False  # whether experts in one tensor are left as they are, where they have no form of their own
    experts: StoredExperts | None = None
    experts_of: str | None = None


def scheme_of(settings: Any) -> Scheme | None:
    """The scheme of a `quantization_config`; raises BadTarget for a method that is not known, BadSize for odd sizes."""
    if not settings:
        return None
    if not isinstance(settings, Mapping):
        raise BadTarget(f"quantization_config of type {type(settings).__name__} was given; an object is allowed.")
    old = any(settings.get(name) for name in ("load_in_8bit", "load_in_4bit"))
    method = str(settings.get("quant_method") or ("bitsandbytes" if old else ""))
    if method not in _SCHEMES:
        raise BadTarget(
            f"quantization_config of the method {method!r} was given; {', '.join(_SCHEMES)} are counted as they are "
            f"stored: {_LEAVE_OUT}."
        )
    never = settings.get("modules_to_not_convert") or settings.get("llm_int8_skip_modules")
    return _SCHEMES[method](settings, tuple(str(name) for name in never or ()))


def pack(model: nn.Module, scheme: Scheme) -> None:
    """Put packed layers in the place of linear ones; BadTarget where there is none, or where experts are one tensor."""
    kept = scheme.never or ("lm_head", *_output_of(model))
    packed = 0
    for path, part in list(model.named_modules()):
        if holds_experts(part):
            packed += _pack_experts(model, scheme, path, part, kept)
        sizes = _sizes(part)
        if scheme.stored is None or sizes is None or not _wanted(path, scheme, kept):
            continue
        above, _, name = path.rpartition(".")
        setattr(model.get_submodule(above), name, Packed(scheme, *sizes, getattr(part, "bias", None)))
        packed += 1
    if not packed:
        raise BadTarget(f"{scheme.words} was asked of {type(model).__name__}, which has no layer for it; {_LEAVE_OUT}.")


def _pack_experts(model: nn.Module, scheme: Scheme, path: str, part: nn.Module, kept: Sequence[str]) -> int:
    """How many stacks were packed; BadTarget for experts that no packed form is known of."""
    if scheme.mixtures:
        return 0
    ours = scheme.experts_of in (None, type(part).__name__) and can_be_packed(part)
    if scheme.experts is None or not ours or (scheme.experts_of is None and getattr(part, "has_bias", False)):
        raise BadTarget(
            f"{scheme.words} was asked of {type(model).__name__}, whose experts lie in one tensor ({path}), for "
            f"which no packed form is counted; {_LEAVE_OUT}."
        )
    if not _wanted(path, scheme, kept):
        return 0
    pack_experts(part, scheme.experts, scheme.words, scheme.unpacking)
    return 1


class Packed(nn.Module):
    """x W^T + b of a weight W [N, K] that is stored packed."""

    def __init__(self, scheme: Scheme, N: int, K: int, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.packing, self.unpacking, self.in_features, self.out_features = scheme.words, scheme.unpacking, K, N
        assert scheme.stored is not None
        stored = scheme.stored(N, K)
        for name, (shape, dtype) in stored.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=dtype), requires_grad=False))
        self.bias = bias
        self.stored_names = tuple(stored)  # tensors that keep their formats, whatever the model is turned into
        self.stands_for = {self.stored_names[0]: (N, K)}

    @property
    def stored(self) -> list[Tensor]:
        """The tensors, the packed weight first."""
        return [getattr(self, name) for name in self.stored_names]

    def forward(self, x: Tensor) -> Tensor:
        """[..., K] to [..., N]."""
        y: Tensor = packed_linear(x, self.stored, self.out_features, self.unpacking)
        return y if self.bias is None else y + self.bias


def said_of(module: nn.Module) -> str | None:
    """What of a model is packed, as a sentence; None where nothing is."""
    packed = [part for part in module.modules() if hasattr(part, "stored_names")]
    if not packed:
        return None
    layers = sum(isinstance(part, Packed) for part in packed)
    counts = [f"{layers:,} layers"] * bool(layers)
    counts += [f"{len(packed) - layers:,} mixtures' experts"] * (layers < len(packed))
    return (
        f"{packed[0].packing}: {' and '.join(counts)} are read as they are stored and unpacked as they are multiplied"
    )


@torch.library.custom_op("seqcost::packed_linear", mutates_args=())
def packed_linear(x: Tensor, stored: Sequence[Tensor], N: int, unpacking: int) -> Tensor:
    """x W^T of a packed W [N, K]."""
    raise TraceFailed("packed weights have shapes and no values, so that the model cannot be run")


@torch.library.custom_op("seqcost::packed_linear_backward", mutates_args=())
def packed_linear_backward(g: Tensor, stored: Sequence[Tensor], K: int, unpacking: int) -> Tensor:
    """g W of a packed W [N, K]."""
    raise TraceFailed("packed weights have shapes and no values, so that the model cannot be run")


@packed_linear.register_fake
def _(x: Tensor, stored: Sequence[Tensor], N: int, unpacking: int) -> Tensor:
    return x.new_empty(*x.shape[:-1], N)


@packed_linear_backward.register_fake
def _(g: Tensor, stored: Sequence[Tensor], K: int, unpacking: int) -> Tensor:
    return g.new_empty(*g.shape[:-1], K)


def _remember(ctx: Any, inputs: tuple[Tensor, list[Tensor], int, int], output: Tensor) -> None:
    x, ctx.stored, _, ctx.unpacking = inputs
    ctx.K = x.shape[-1]


def _backward(ctx: Any, g: Tensor) -> tuple[Tensor, list[None], None, None]:
    return packed_linear_backward(g, ctx.stored, ctx.K, ctx.unpacking), [None] * len(ctx.stored), None, None


packed_linear.register_autograd(_backward, setup_context=_remember)


def _gptq(settings: Mapping[str, Any], never: tuple[str, ...]) -> Scheme:
    bits, group = _whole(settings, "bits", (2, 3, 4, 8)), settings.get("group_size", 128)
    if settings.get("dynamic"):
        raise BadTarget(
            f"quantization_config of gptq with `dynamic` layers was given, which is not counted; {_LEAVE_OUT}."
        )

    def stored(N: int, K: int) -> Stored:
        groups = _groups(K, group)
        return {
            "qweight": ((_words(K, bits), N), torch.int32),
            "qzeros": ((groups, _words(N, bits)), torch.int32),
            "scales": ((groups, N), torch.float16),
            "g_idx": ((K,), torch.int32),
        }

    only = settings.get("modules_in_block_to_quantize") or ()
    flat = tuple(str(n) for names in only for n in (names if isinstance(names, list) else [names]))
    return Scheme(f"gptq, {bits} bits in {_in_groups(group)}", stored, 2, inside=True, only=flat, never=never)


def _awq(settings: Mapping[str, Any], never: tuple[str, ...]) -> Scheme:
    bits, group = _whole(settings, "bits", (4,)), settings.get("group_size", 128)

    def stored(N: int, K: int) -> Stored:
        groups, words = _groups(K, group), _words(N, bits)
        return {
            "qweight": ((K, words), torch.int32),
            "qzeros": ((groups, words), torch.int32),
            "scales": ((groups, N), torch.float16),
        }

    return Scheme(f"awq, {bits} bits in {_in_groups(group)}", stored, 2, never=never)


def _bitsandbytes(settings: Mapping[str, Any], never: tuple[str, ...]) -> Scheme:
    if settings.get("load_in_4bit") or settings.get("_load_in_4bit"):
        nested = bool(settings.get("bnb_4bit_use_double_quant"))

        def four(N: int, K: int) -> Stored:
            blocks = -(-N * K // 64)
            found: Stored = {
                "weight": ((-(-N * K // 2), 1), torch.uint8),
                "absmax": ((blocks,), torch.uint8 if nested else torch.float32),
                "quant_map": ((16,), torch.float32),
            }
            if nested:
                found["nested_absmax"] = ((-(-blocks // 256),), torch.float32)
                found["nested_quant_map"] = ((256,), torch.float32)
                found["nested_offset"] = ((), torch.float32)
            return found

        words = "bitsandbytes, 4 bits in blocks of 64" + (", their scales in 8 bits" if nested else "")
        return Scheme(words, four, 1, never=never, mixtures=True)
    eight: Callable[[int, int], Stored] = lambda N, K: {  # noqa: E731 - beside its sibling above
        "weight": ((N, K), torch.int8),
        "SCB": ((N,), torch.float32),
    }
    return Scheme("bitsandbytes, 8 bits", eight, 1, never=never, mixtures=True)


def _fp8(settings: Mapping[str, Any], never: tuple[str, ...]) -> Scheme:
    block = settings.get("weight_block_size")

    def stored(N: int, K: int) -> Stored:
        scales = () if not block else (-(-N // int(block[0])), -(-K // int(block[1])))
        found: Stored = {"weight": ((N, K), torch.float8_e4m3fn), "weight_scale_inv": (scales, torch.float32)}
        if settings.get("activation_scheme") == "static":
            found["activation_scale"] = ((), torch.float32)
        return found

    def experts(projection: str, E: int, N: int, K: int) -> Stored:
        parts = 2 if projection == "gate_up_proj" else 1  # which have scales of their own, as each was a layer once
        scales = (parts, 1) if not block else (parts * -(-N // parts // int(block[0])), -(-K // int(block[1])))
        found: Stored = {"": ((E, N, K), torch.float8_e4m3fn), "_scale_inv": ((E, *scales), torch.float32)}
        if settings.get("activation_scheme") == "static":
            found["_activation_scale"] = ((E,), torch.float32)
        return found

    return Scheme(
        f"fp8 in {'blocks of ' + '×'.join(map(str, block)) if block else 'one block'}", stored, 1, never=never,
        experts=None if settings.get("expert_dtype") not in (None, "fp8") else experts,
    )  # fmt: skip


def _mxfp4(settings: Mapping[str, Any], never: tuple[str, ...]) -> Scheme:
    if settings.get("dequantize"):
        raise BadTarget(f"quantization_config of mxfp4 with `dequantize` was given; {_LEAVE_OUT}.")

    def experts(projection: str, E: int, N: int, K: int) -> Stored:
        if K % _MX_BLOCK:
            raise BadSize(f"experts of width {K:,} were given to mxfp4; a multiple of {_MX_BLOCK} is allowed.")
        blocks = (E, N, K // _MX_BLOCK)
        return {"_blocks": ((*blocks, _MX_BLOCK // 2), torch.uint8), "_scales": (blocks, torch.uint8)}

    words = f"mxfp4, 4 bits in blocks of {_MX_BLOCK}"
    return Scheme(words, None, 1, never=never, experts=experts, experts_of="GptOssExperts")


def _fbgemm(settings: Mapping[str, Any], never: tuple[str, ...]) -> Scheme:
    stored: Callable[[int, int], Stored] = lambda N, K: {  # noqa: E731
        "weight": ((N, K), torch.float8_e4m3fn),
        "weight_scale": ((N, 1), torch.float32),
    }
    return Scheme("fbgemm_fp8, a scale a row", stored, 1, never=never)


_SCHEMES: dict[str, Callable[[Mapping[str, Any], tuple[str, ...]], Scheme]] = {
    "gptq": _gptq, "awq": _awq, "bitsandbytes": _bitsandbytes, "fp8": _fp8, "fbgemm_fp8": _fbgemm,
    "mxfp4": _mxfp4,
}  # fmt: skip


def _whole(settings: Mapping[str, Any], name: str, allowed: tuple[int, ...]) -> int:
    value = settings.get(name, settings.get("w_bit"))
    if value not in allowed:
        raise BadSize(
            f"{name} = {value!r} of quantization_config was given; {', '.join(map(str, allowed))} is allowed."
        )
    return int(value)


def _words(count: int, bits: int) -> int:
    """Whole numbers of 32 bits that hold so many of `bits`."""
    return -(-count * bits // 32)


def _groups(K: int, size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or (size < 1 and size != -1):
        raise BadSize(f"group_size = {size!r} of quantization_config was given; a whole number, or -1, is allowed.")
    return 1 if size == -1 else math.ceil(K / size)


def _in_groups(size: Any) -> str:
    return "one group per row" if size == -1 else f"groups of {size}"


def _sizes(part: nn.Module) -> tuple[int, int] | None:
    """N and K of a linear layer; GPT-2's Conv1D holds its weight the other way round."""
    if type(part) is nn.Linear:
        return part.out_features, part.in_features
    if type(part).__name__ == "Conv1D" and type(part).__module__ == "transformers.pytorch_utils":
        K, N = part.weight.shape  # type: ignore[misc]
        return int(N), int(K)
    return None


def _wanted(path: str, scheme: Scheme, kept: Sequence[str]) -> bool:
    if any(_names(pattern, path) for pattern in kept):
        return False
    if scheme.inside and not re.search(r"\.\d+\.", path):  # a number in a path is a place in a stack
        return False
    return not scheme.only or any(path.endswith(name) for name in scheme.only)


def _names(pattern: str, path: str) -> bool:
    """Whether a pattern of the package stands for a path: its start, its end, or a module on the way."""
    if "*" in pattern:
        return re.match(re.escape(pattern).replace(r"\*", ".*") + r"(\.|$)", path) is not None
    return path.endswith(pattern) or f".{path}.".find(f".{pattern}.") >= 0


def _output_of(model: Any) -> list[str]:
    """Path of the layer that scores words, which no method packs of itself."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return [path for path, part in model.named_modules() if head is not None and part is head]
