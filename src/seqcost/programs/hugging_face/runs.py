"""Where models of the transformers package do something else on fake tensors than they do on a CPU.

Each context changes one thing in the package and puts it back. Releases that lack the thing are left alone.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from seqcost.fakes.threads import replaced


@contextmanager
def no_values_on_fake_tensors() -> Iterator[None]:
    """Leave initial values out where tensors have no memory: some ways of drawing them ask for values."""
    from transformers import PreTrainedModel

    fake = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None
    with _with(PreTrainedModel if fake else None, "initialize_weights", lambda plain: lambda self: None):
        yield


@contextmanager
def on_plain_torch() -> Iterator[None]:
    """Have models call PyTorch alone: kernels of other packages, if they are installed, run on a GPU only.

    The package itself passes them by while it exports a model, and is told here that it does.
    """
    kernels = sys.modules.get("transformers.integrations.hub_kernels")
    with _with(kernels, "is_torchdynamo_exporting", lambda plain: lambda: True):
        yield


@contextmanager
def without_padding() -> Iterator[None]:
    """Treat a mask of padding that models make for themselves as what it is, all ones, and positions as one text's.

    The package reads the values to leave masks out of attention; on fake tensors it cannot, and keeps them. Positions
    it reads where there is no cache: several texts might be packed into one.
    """
    masks = sys.modules.get("transformers.masking_utils")
    with (
        _with(masks, "_ignore_causal_mask_sdpa", _told(lambda mask: mask.sum() == mask.numel())),
        _with(masks, "_ignore_bidirectional_mask_sdpa", _told(lambda mask: mask.all())),
        _with(masks, "find_packed_sequence_indices", _one_text),
    ):
        yield


@contextmanager
def counted_as_they_should(module: Any) -> Iterator[None]:
    """Take images to stand for as many features as the words have places for: on fake tensors nobody can count them."""
    with ExitStack() as stack:
        for name in sorted({type(part).__module__ for part in module.modules()}):
            stack.enter_context(_with(sys.modules.get(name), "torch_compilable_check", _asked_of_values))
        yield


def _asked_of_values(plain: Callable[..., Any]) -> Callable[..., Any]:
    def check(condition: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(condition, FakeTensor):
            answer: Any = condition.all()  # a CPU puts the question, too
            if answer.constant is not None:
                plain(bool(answer), *args, **kwargs)
        else:
            plain(condition, *args, **kwargs)

    return check


def _told(question: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A change that puts the question, which is an operator or two on a CPU as well, and reads no answer."""

    def change(plain: Callable[..., Any]) -> Callable[..., Any]:
        def ignore(padding_mask: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(padding_mask, FakeTensor):
                question(padding_mask)
                padding_mask = None
            return plain(padding_mask, *args, **kwargs)

        return ignore

    return change


def _one_text(plain: Callable[..., Any]) -> Callable[..., Any]:
    def find(position_ids: Any, *args: Any, **kwargs: Any) -> Any:
        found = plain(position_ids, *args, **kwargs)
        if not isinstance(found, FakeTensor):
            return found
        (found[:, -1] == 0).all()  # a CPU puts the question, too
        return None

    return find


@contextmanager
def _with(owner: Any, name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    if getattr(owner, name, None) is None:
        yield
        return
    with replaced(owner, name, change):
        yield
