"""Experts of a mixture that lie in one tensor and are held packed: their products are `seqcost::packed_grouped_mm`.

Each token meets its experts as before, 2·K·N FLOPs for each of them; every stored tensor is read once, of all experts,
and unpacked while it multiplies; nothing is copied into another format. The package multiplies such a stack of weights
by `grouped_mm`: here it is given a stand-in for the stack, which hands the call on to the operator.

Sources of the layouts: the Open Compute Project's Microscaling Formats (MX) Specification 1.0 (2023), section 5, and
the tensors of the published gpt-oss checkpoints for MXFP4; DeepSeek-AI 2024 (arXiv 2412.19437, section 3.3) for fp8.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqcost.errors import TraceFailed

Stored = dict[str, tuple[tuple[int, ...], torch.dtype]]
# How the projections `gate_up_proj`, `up_proj` or `down_proj` of E experts, each [N, K], are stored; by ends of names.
StoredExperts = Callable[[str, int, int, int], Stored]
PROJECTIONS = ("gate_up_proj", "up_proj", "down_proj")


def holds_experts(part: nn.Module) -> bool:
    """Whether a module holds the weights of several experts in one tensor."""
    return any(getattr(part._parameters.get(name), "ndim", 0) == 3 for name in PROJECTIONS)


def can_be_packed(part: nn.Module) -> bool:
    """Whether such a module multiplies by `grouped_mm`, as the package's experts do that say how they are laid out."""
    return isinstance(getattr(part, "is_transposed", None), bool) and hasattr(part, "_apply_gate")


def pack_experts(part: nn.Module, stored: StoredExperts, words: str, unpacking: int) -> None:
    """Hold what is stored of a module's experts in the place of their weights."""
    names: list[str] = []
    stands_for: dict[str, tuple[int, ...]] = {}
    properties: dict[str, Any] = {"forward": _forward_of(type(part))}
    for projection in PROJECTIONS:
        weight = part._parameters.pop(projection, None)
        if weight is None:
            continue
        E, *matrix = weight.shape
        K, N = matrix if part.is_transposed else matrix[::-1]
        tensors = stored(projection, E, N, K)
        own = [f"{projection}{end}" for end in tensors]
        for name, (shape, dtype) in zip(own, tensors.values(), strict=True):
            part.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=dtype), requires_grad=False))
        stands_for[own[0]] = tuple(weight.shape)
        names += own
        properties[projection] = _stack_of(own, N, K, unpacking)
    made: Any = type(f"Packed{type(part).__name__}", (type(part),), properties)
    part.__class__ = made
    part.packing, part.stored_names, part.stands_for = words, tuple(names), stands_for  # type: ignore[assignment]


def _forward_of(kind: type[nn.Module]) -> Callable[..., Any]:
    def forward(self: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.computed_in = hidden_states.dtype
        return kind.forward(self, hidden_states, *args, **kwargs)

    return forward


def _stack_of(names: Sequence[str], N: int, K: int, unpacking: int) -> property:
    def stack(self: Any) -> Stack:
        return Stack([self._parameters[name] for name in names], N, K, unpacking, self.computed_in)

    return property(stack)


@dataclass(frozen=True)
class Stack:
    """Stands for the weights of all experts, whichever way round, in a product of groups of rows."""

    stored: list[Tensor]
    N: int
    K: int
    unpacking: int
    dtype: torch.dtype  # that the product is computed in

    @property
    def device(self) -> torch.device:
        """Where the stored tensors are."""
        return self.stored[0].device

    def transpose(self, *_: int) -> "Stack":
        """The same: what is packed is multiplied from either side."""
        return self

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The product of groups of rows by this, and nothing else."""
        if getattr(func, "__name__", "") not in ("grouped_mm", "_grouped_mm"):
            raise TraceFailed(f"packed experts were given to {func}; they can be multiplied by grouped_mm alone")
        (x, stack), offsets = args[:2], (kwargs or {}).get("offs")
        return packed_grouped_mm(x, offsets, stack.stored, stack.N, stack.unpacking)


@torch.library.custom_op("seqcost::packed_grouped_mm", mutates_args=())
def packed_grouped_mm(x: Tensor, offsets: Tensor, stored: Sequence[Tensor], N: int, unpacking: int) -> Tensor:
    """Groups of the rows of X, each times the W^T of its expert; W are E matrices [N, K], packed."""
    raise TraceFailed("packed weights have shapes and no values, so that the model cannot be run")


@torch.library.custom_op("seqcost::packed_grouped_mm_backward", mutates_args=())
def packed_grouped_mm_backward(g: Tensor, offsets: Tensor, stored: Sequence[Tensor], K: int, unpacking: int) -> Tensor:
    """Groups of the rows of G, each times the W of its expert."""
    raise TraceFailed("packed weights have shapes and no values, so that the model cannot be run")


@packed_grouped_mm.register_fake
def _(x: Tensor, offsets: Tensor, stored: Sequence[Tensor], N: int, unpacking: int) -> Tensor:
    return x.new_empty(x.shape[0], N)


@packed_grouped_mm_backward.register_fake
def _(g: Tensor, offsets: Tensor, stored: Sequence[Tensor], K: int, unpacking: int) -> Tensor:
    return g.new_empty(g.shape[0], K)


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor, list[Tensor], int, int], output: Tensor) -> None:
    x, ctx.offsets, ctx.stored, _, ctx.unpacking = inputs
    ctx.K = x.shape[-1]


def _backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    dx = packed_grouped_mm_backward(g, ctx.offsets, ctx.stored, ctx.K, ctx.unpacking)
    return dx, None, [None] * len(ctx.stored), None, None


packed_grouped_mm.register_autograd(_backward, setup_context=_remember)
