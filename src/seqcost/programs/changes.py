"""What can be done to a module so that training it needs less memory: by name, as plain data.

checkpoint: layers      each block runs again in the backward pass, which finds its input kept and nothing else
            attention   of each block only what mixes positions does
loss_chunks: k          logits and cross-entropy of a k-th of the tokens at a time, run again in the backward pass
offload: true           what autograd keeps of the forward pass waits in the host's memory (of a GPU's run)

Checkpoints are those of `torch.utils.checkpoint` without reentrance; a model of the transformers package is told to use
its own. An offload keeps parameters where they are, else it does what `torch.autograd.graph.save_on_cpu` does.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from seqcost.errors import BadTarget, UnknownName
from seqcost.fakes.parts import named_parameters
from seqcost.programs.hugging_face.models import is_hugging_face
from seqcost.programs.targets import Built

KINDS = ("checkpoint", "loss_chunks", "offload")
CHECKPOINTS = ("layers", "attention")
_MIXES = re.compile(r"(^|_)(attn|attention|mixer)$")


def changed(built: Built, changes: Mapping[str, Any]) -> Built:
    """The module with its changes made, in place; a chunked loss takes the place of the program's own.

    Raises UnknownName for a change that does not exist, BadTarget for a module to which it cannot be done.
    """
    for kind in changes:
        if kind not in KINDS:
            raise UnknownName.among("change of a module", kind, KINDS)
    module = built.module
    if "checkpoint" in changes:
        _checkpoint(module, changes["checkpoint"])
    if "loss_chunks" in changes:
        built = replace(built, loss=ChunkedLoss(module, int(changes["loss_chunks"])))
    if changes.get("offload"):
        module.forward = partial(_offloading, module, module.forward)
    return built


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The layers of a model: children that are numbered and of which several are of one class, the innermost such."""
    found = []
    for child in module.children():
        found += blocks_of(child)
    if found:
        return found
    numbered = [
        child for name, child in module.named_children() if name.isdigit() and any(True for _ in child.children())
    ]
    kinds = [type(child) for child in numbered]
    return [child for child in numbered if kinds.count(type(child)) > 1]


def _checkpoint(module: nn.Module, which: str) -> None:
    if which not in CHECKPOINTS:
        raise UnknownName.among("checkpoint", which, CHECKPOINTS)
    theirs = is_hugging_face(module)
    if theirs:
        module.config.use_cache = False  # type: ignore[union-attr]  # a cache would be filled twice
    if theirs and which == "layers":
        _their_own(module)
        return
    parts = blocks_of(module) if which == "layers" else list(_mixing(blocks_of(module)))
    if not parts:
        raise BadTarget(f"{type(module).__name__} has no row of layers that could be checkpointed; leave that out.")
    for part in parts:
        part.forward = partial(_checkpointed, part.forward)


def _their_own(module: Any) -> None:
    """The checkpoints of the transformers package, by whatever name this release has for them."""
    newer = getattr(module, "activation_checkpointing_enable", None)
    without_reentrance = {"use_reentrant": False}
    try:
        if newer is not None:
            newer(activation_checkpointing_kwargs=without_reentrance)
        else:
            module.gradient_checkpointing_enable(gradient_checkpointing_kwargs=without_reentrance)
    except ValueError:
        raise BadTarget(f"{type(module).__name__} has no checkpoints of its own; leave them out.") from None


def _mixing(blocks: list[nn.Module]) -> Iterator[nn.Module]:
    for block in blocks:
        inside: tuple[str, ...] = ()
        for name, part in block.named_modules():
            if _MIXES.search(name.rpartition(".")[2]) and not name.startswith(inside):
                inside = (*inside, f"{name}.")
                yield part


def _checkpointed(forward: Any, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)


class ChunkedLoss:
    """Cross-entropy of the model's tokens, a part of them at a time, so that no more logits are ever there.

    The module then gives what its output head is given, and the head is called here.
    """

    def __init__(self, module: nn.Module, chunks: int) -> None:
        head = _head_of(module)
        if head is None:
            raise BadTarget(f"{type(module).__name__} has no output head over words; a loss in chunks has no place.")
        self._chunks, self._logits = chunks, head.forward
        head.forward = _as_given

    def __call__(self, hidden: Tensor, successors: Tensor) -> Tensor:
        """The mean over all tokens."""
        words = successors.view(-1).chunk(self._chunks)
        features = hidden.reshape(-1, hidden.shape[-1]).chunk(self._chunks)
        loss: Any = 0
        for own, expected in zip(features, words, strict=True):
            loss = loss + checkpoint(self._of_some, own, expected, use_reentrant=False)
        mean: Tensor = loss / successors.numel()
        return mean

    def _of_some(self, features: Tensor, words: Tensor) -> Tensor:
        return functional.cross_entropy(self._logits(features), words, reduction="sum")


def _as_given(x: Tensor) -> Tensor:
    return x


def _head_of(module: nn.Module) -> nn.Module | None:
    if is_hugging_face(module):
        config: Any = module.config
        if getattr(config, "final_logit_softcapping", None) or getattr(config, "is_encoder_decoder", False):
            return None
        head = module.get_output_embeddings()  # type: ignore[operator]
        return head if isinstance(head, nn.Linear) else None
    if getattr(getattr(module, "config", None), "gives_logits", False) is not True:
        return None
    head = dict(module.named_children()).get("head")
    return head if isinstance(head, nn.Module) else None


def _offloading(module: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
    weights = {parameter.untyped_storage()._cdata for _, parameter in named_parameters(module)}

    def pack(tensor: Tensor) -> Any:
        if tensor.untyped_storage()._cdata in weights:
            return tensor
        if isinstance(tensor, FakeTensor):  # the host's memory is not what is looked at
            return tensor.shape, tensor.stride(), tensor.dtype, tensor.device
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        return host.copy_(tensor), tensor.device

    def unpack(packed: Any) -> Tensor:
        if isinstance(packed, Tensor):
            return packed
        if len(packed) == 4:
            shape, strides, dtype, device = packed
            return torch.empty_strided(shape, strides, dtype=dtype, device=device)
        host, device = packed
        found: Tensor = host.to(device, non_blocking=True)
        return found

    with saved_tensors_hooks(pack, unpack) if torch.is_grad_enabled() else nullcontext():
        return forward(*args, **kwargs)
