"""One image for each sequence, where a model of the transformers package reads images among its words.

An image stands for some tokens of the sequence: T of them is what the language model sees, as the package's processors
write it. How many is read off the model's own `get_image_features`, and the whole is run once on a short text before it
is used, so that a model whose images are of another kind is counted without one, and says so.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from seqcost.errors import FOREIGN_ERRORS, with_type
from seqcost.trace.hugging_face_runs import counted_as_they_should, on_plain_torch
from seqcost.trace.trees import tensors_in

_TOKEN = ("image_token_id", "image_token_index", "im_patch_token_id")
_WORDS = 3  # at least, beside an image: two before a step of decoding, and the step's own


@dataclass(frozen=True)
class Image:
    """What a call is given for an image a sequence, and the tokens that it takes of each."""

    tokens: int
    token_id: int
    arguments: Callable[[int], dict[str, Tensor]]  # for B sequences
    size: str

    def fits(self, T: int) -> bool:
        """Whether T tokens have room for it and a few words."""
        return self.tokens + _WORDS <= T

    def among(self, ids: Tensor) -> dict[str, Tensor]:
        """These words with an image before the rest."""
        ids = ids.where(ids != self.token_id, ids.new_zeros(()) if self.token_id else ids.new_ones(()))
        places = torch.zeros_like(ids)
        places[:, : self.tokens] = 1
        return {"input_ids": ids.masked_fill(places == 1, self.token_id)} | self.arguments(ids.shape[0])


_KNOWN: WeakKeyDictionary[nn.Module, "Image | str"] = WeakKeyDictionary()


def image_of(module: nn.Module) -> Image | None:
    """The image that a model can be given; None where it reads none, or none that can be made up."""
    found = _found(module)
    return found if isinstance(found, Image) else None


def said_of_images(module: nn.Module, T: int) -> str:
    """What an answer at T tokens says of images; nothing of a model that reads none."""
    found = _found(module)
    if isinstance(found, str):
        return found and f"none was given, though {type(module).__name__} reads images: {found}"
    if not found.fits(T):
        return (
            f"none was given: one stands for {found.tokens:,} tokens, and T = {T:,} has no room for them beside "
            f"{_WORDS} words"
        )
    return f"one of {found.size} a sequence, which stands for {found.tokens:,} of its T tokens"


def _found(module: nn.Module) -> "Image | str":
    if module not in _KNOWN:
        _KNOWN[module] = _look_for(module) if _reads_images(module) else ""
    return _KNOWN[module]


def _reads_images(module: Any) -> bool:
    takes = inspect.signature(module.forward).parameters
    read = {"input_ids", "pixel_values"} <= set(takes) and getattr(module, "main_input_name", "") == "input_ids"
    return read and _token_id(module.config) is not None


def _token_id(config: Any) -> int | None:
    found = (getattr(config, name, None) for name in _TOKEN)
    return next((token for token in found if isinstance(token, int)), None)


def _look_for(module: Any) -> "Image | str":
    """The first way of giving images that the model runs with, else why there is none."""
    token_id, training = _token_id(module.config), module.training
    assert token_id is not None
    reason = "it tells of no way to make one up"
    module.eval()
    try:
        for size, arguments in _ways(module):
            try:
                with torch.no_grad(), on_plain_torch(), counted_as_they_should(module):
                    tokens = _tokens(module, arguments(1))
                    image = Image(tokens, token_id, arguments, size)
                    words = torch.ones(1, tokens + _WORDS, dtype=torch.int64, device=module.device)
                    module(**image.among(words))
                return image
            except FOREIGN_ERRORS as error:  # a model's own code, given what it may not take
                reason = f"with one of {size} it fails ({with_type(error, most=120)})"
    finally:
        module.train(training)
    return reason


def _tokens(module: Any, arguments: dict[str, Tensor]) -> int:
    takes = inspect.signature(module.get_image_features).parameters
    other = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    given = {name: value for name, value in arguments.items() if other or name in takes}
    given.pop("token_type_ids", None)
    output = module.get_image_features(**given)
    features = getattr(output, "pooler_output", None)
    width = module.config.get_text_config().hidden_size
    return sum(tensor.numel() for tensor in tensors_in(output if features is None else features)) // width


def _ways(module: Any) -> Iterator[tuple[str, Callable[[int], dict[str, Tensor]]]]:
    """Sizes in words, and arguments for B sequences: whole images, images of several tiles, images cut into patches."""
    takes = inspect.signature(module.forward).parameters
    vision = getattr(module.config, "vision_config", None)
    if vision is None:
        return
    dtype, device = next(module.parameters()).dtype, module.device
    channels = _whole(vision, "num_channels", "in_channels", "in_chans") or 3
    patch = _whole(vision, "patch_size", "spatial_patch_size")
    side = _side(vision, patch)

    def pixels(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=dtype, device=device)

    def sizes(B: int) -> dict[str, Tensor]:
        return {"image_sizes": torch.full((B, 2), side, device=device)} if "image_sizes" in takes else {}

    if "image_grid_thw" in takes and patch is not None:
        merge = _whole(vision, "spatial_merge_size", "merge_size") or 2
        rows = max(1, side // (patch * merge)) * merge
        depth = channels * patch * patch * (_whole(vision, "temporal_patch_size") or 1)

        def cut(B: int) -> dict[str, Tensor]:
            grid = torch.tensor([[1, rows, rows]] * B, device=device)
            return {"pixel_values": pixels(B * rows * rows, depth), "image_grid_thw": grid}

        yield f"{rows * patch} × {rows * patch}", cut
        return
    words = f"{side} × {side}"
    yield words, lambda B: {"pixel_values": pixels(B, channels, side, side)}
    if "image_sizes" in takes:
        yield words, lambda B: {"pixel_values": pixels(B, channels, side, side)} | sizes(B)
    yield words, lambda B: {"pixel_values": pixels(B, 1, channels, side, side)} | sizes(B)
    if "image_sizes" in takes:
        # Tiles of a larger image beside the whole of it, made smaller.
        yield f"{words} and its tile", lambda B: {"pixel_values": pixels(B, 2, channels, side, side)} | sizes(B)


def _whole(config: Any, *names: str) -> int | None:
    found = (getattr(config, name, None) for name in names)
    return next((size for size in found if isinstance(size, int) and not isinstance(size, bool)), None)


def _side(vision: Any, patch: int | None) -> int:
    side = getattr(vision, "image_size", None)
    side = side[0] if isinstance(side, list | tuple) and side else side
    return side if isinstance(side, int) and side > 0 else 16 * (patch or 14)
