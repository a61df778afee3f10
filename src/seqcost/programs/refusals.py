"""What no rung can follow, known before anything runs: a sentence says what to give instead."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from seqcost.errors import BadTarget


def refuse_layouts(owner: str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Raise BadTarget for sparse and nested tensors, whose memory and work depend on their values."""
    for name, tensor in tensors:
        if tensor.is_nested:
            raise BadTarget(
                f"{owner} was given a nested tensor ({name}), whose sequences have lengths of their own; give "
                "sequences of one length: a tensor [B,T,D]."
            )
        if tensor.layout is not torch.strided:
            raise BadTarget(
                f"{owner} holds a sparse tensor ({name}), whose memory and work depend on its values; make it dense: "
                "to_dense()."
            )


def refuse_sparse_gradients(module: nn.Module) -> None:
    """Raise BadTarget for look-ups whose gradients have as many rows as there were different ids."""
    for path, part in module.named_modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.sparse:
            raise BadTarget(
                f"the embedding {path or type(module).__name__} has sparse=True, so that its gradient is as large as "
                "the ids are different; set sparse=False to train it."
            )
