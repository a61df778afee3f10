"""One image per sequence, laid out as the processors of the transformers package lay it out for a model.

It has the size that the configuration names, else 16 × 16 patches. A model is offered the layouts that its arguments
speak of, the likeliest first; whether one fits is seen by running the model.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from seqcost.fakes.values import known_uniform

Arguments = Callable[[int, int], dict[str, Tensor]]  # for B sequences of T tokens
Way = tuple[str, Arguments]  # the size of what is given, in words


def image_ways(module: Any) -> Iterator[Way]:
    """Images of the model's own size in every layout that its arguments allow."""
    vision = getattr(module.config, "vision_config", None)
    if vision is not None:
        yield from _Layouts(module, vision).ways()


class _Layouts:
    """What is known of an image: its side, its channels, its patches, and what the model takes beside it."""

    def __init__(self, module: Any, vision: Any) -> None:
        self.takes = set(inspect.signature(module.forward).parameters)
        self.config, self.vision = module.config, vision
        self.like = next(module.parameters())
        self.channels = whole(vision, "num_channels", "in_channels", "in_chans") or 3
        self.patch = whole(vision, "patch_size", "spatial_patch_size", "model_patch_size")
        self.merge = whole(vision, "spatial_merge_size", "merge_size") or 2
        self.side = _side(vision, self.patch)
        by_patches = getattr(self.config, "projector_patch_to_query_dict", None)
        if by_patches and self.patch is not None:  # images of as many patches as the model has queries for
            self.side = math.isqrt(min(map(int, by_patches))) * self.patch
        self.words = f"{self.side} × {self.side}"

    def ways(self) -> Iterator[Way]:
        """The layouts that the model's arguments speak of, the likeliest first."""
        if self.patch is not None and (grid := self.takes & {"image_grid_thw", "image_grid_hw"}):
            yield from self._patches_and_grid(grid.pop())
        elif self.patch is not None and "spatial_shapes" in self.takes:
            yield self._patches_and_shape()
        elif self.patch is not None and "image_position_ids" in self.takes:
            yield self._patches_and_places()
        elif "high_res_pixel_values" in self.takes:
            yield self._twice()
        elif "aspect_ratio_ids" in self.takes:
            yield self._tiles_apart()
        elif "image_sizes" in self.takes and hasattr(self.config, "image_grid_pinpoints"):
            yield from self._tiles_of_a_larger_one()
        elif "pixel_attention_mask" in self.takes:
            yield self._images_and_masks()
        yield self.words, lambda B, T: self.pixels(B, self.channels, self.side, self.side)
        yield self.words, lambda B, T: self.pixels(B, self.channels, self.side, self.side) | self.sizes(B)
        yield self.words, lambda B, T: self.pixels(B, 1, self.channels, self.side, self.side) | self.sizes(B)

    def pixels(self, *shape: int) -> dict[str, Tensor]:
        # Some models leave out images that are black all over, so the values must be known not to be 0.
        return {"pixel_values": known_uniform(0.5, shape, self.like)}

    def sizes(self, B: int) -> dict[str, Tensor]:
        named = "image_sizes" in self.takes
        return {"image_sizes": torch.full((B, 2), self.side, device=self.like.device)} if named else {}

    def ones(self, *shape: int) -> Tensor:
        return torch.ones(shape, dtype=torch.int64, device=self.like.device)

    def _patches_and_grid(self, grid: str) -> Iterator[Way]:
        """All patches of all images below each other, and how many rows and columns of them each image has."""
        assert self.patch is not None
        rows, p = max(1, self.side // (self.patch * self.merge)) * self.merge, self.patch
        frames = whole(self.vision, "temporal_patch_size") or 1
        numbers = [1, rows, rows] if grid == "image_grid_thw" else [rows, rows]
        shapes = [(self.channels * frames * p * p,), (self.channels, p, p), (self.channels * 2 * p * p,)]
        for shape in dict.fromkeys(shapes):

            def arguments(B: int, T: int, shape: tuple[int, ...] = shape) -> dict[str, Tensor]:
                found = self.pixels(B * rows * rows, *shape)
                found[grid] = torch.tensor([numbers] * B, device=self.like.device)
                if "image_merge_sizes" in self.takes:
                    found["image_merge_sizes"] = torch.full((B,), self.merge, device=self.like.device)
                return found

            yield f"{rows * p} × {rows * p}", arguments

    def _patches_and_shape(self) -> Way:
        """The patches of one image per row, filled up to as many as the largest has, which are marked."""
        assert self.patch is not None
        rows, p = self.side // self.patch, self.patch

        def arguments(B: int, T: int) -> dict[str, Tensor]:
            found = self.pixels(B, rows * rows, p * p * self.channels)
            found["spatial_shapes"] = torch.full((B, 2), rows, device=self.like.device)
            found["pixel_attention_mask"] = self.ones(B, rows * rows)
            return found

        return f"{rows * p} × {rows * p}", arguments

    def _patches_and_places(self) -> Way:
        """The patches of one image per row, and the column and row of each; pooled, 16 a side are left."""
        assert self.patch is not None
        rows, p = 16 * (whole(self.vision, "pooling_kernel_size") or 1), self.patch

        def arguments(B: int, T: int) -> dict[str, Tensor]:
            line = torch.arange(rows, device=self.like.device)
            places = torch.stack([line.repeat(rows), line.repeat_interleave(rows)], -1)
            return self.pixels(B, rows * rows, p * p * self.channels) | {"image_position_ids": places.repeat(B, 1, 1)}

        return f"{rows * p} × {rows * p}", arguments

    def _twice(self) -> Way:
        """An image for each of two eyes, of which one sees more of it."""
        high = _side(getattr(self.config, "high_res_vision_config", None), None)

        def arguments(B: int, T: int) -> dict[str, Tensor]:
            more = self.pixels(B, self.channels, high, high)["pixel_values"]
            return self.pixels(B, self.channels, self.side, self.side) | {"high_res_pixel_values": more}

        return f"{self.words} and {high} × {high}", arguments

    def _images_and_masks(self) -> Way:
        """Images a sequence, and where they are no padding; as many patches a side as are made one, or a multiple."""
        step = (self.patch or 1) * (whole(self.config, "scale_factor", "pixel_shuffle_factor") or 1)
        side = max(1, self.side // step) * step

        def arguments(B: int, T: int) -> dict[str, Tensor]:
            masks = {"pixel_attention_mask": self.ones(B, 1, side, side)}
            return self.pixels(B, 1, self.channels, side, side) | masks

        return f"{side} × {side}", arguments

    def _tiles_apart(self) -> Way:
        """One tile among as many as an image may have, seen by every token from the side."""
        tiles = whole(self.vision, "max_num_tiles") or 1

        def arguments(B: int, T: int) -> dict[str, Tensor]:
            mask = self.ones(B, 1, tiles)
            mask[:, :, 1:] = 0
            seen = self.ones(B, T, 1, tiles)
            seen[..., 1:] = 0
            return self.pixels(B, 1, tiles, self.channels, self.side, self.side) | {
                "aspect_ratio_ids": self.ones(B, 1),
                "aspect_ratio_mask": mask,
                "cross_attention_mask": seen,
            }

        return self.words, arguments

    def _tiles_of_a_larger_one(self) -> Iterator[Way]:
        """The whole image made smaller, and the tiles of the best of the shapes that the configuration allows."""
        side = self.side
        shapes = self.config.image_grid_pinpoints or [[side, side]]
        height, width = max(shapes, key=lambda shape: _fit(side, side, *shape))
        tiles = max(1, height // side) * max(1, width // side)
        for number in (tiles + 1, 1):

            def arguments(B: int, T: int, number: int = number) -> dict[str, Tensor]:
                return self.pixels(B, number, self.channels, side, side) | self.sizes(B)

            yield f"{self.words}, {number} tiles", arguments


def _fit(height: int, width: int, into_height: int, into_width: int) -> tuple[int, int]:
    """How well an image fits a shape: the pixels of its own that it keeps there, then the fewest that stay empty."""
    scale = min(into_height / height, into_width / width)
    kept = min(int(height * scale) * int(width * scale), height * width)
    return kept, kept - into_height * into_width


def whole(config: Any, *names: str) -> int | None:
    """The first of these settings that is a whole number; of a pair, its first."""
    for name in names:
        size = getattr(config, name, None)
        size = size[0] if isinstance(size, list | tuple) and size else size
        if isinstance(size, int) and not isinstance(size, bool):
            return size
    return None


def _side(vision: Any, patch: int | None) -> int:
    side = whole(vision, "image_size")
    return side if side is not None and side > 0 else 16 * (patch or 14)
