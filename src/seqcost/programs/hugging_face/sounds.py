"""One sound per sequence, laid out as the processors of the transformers package lay it out for a model.

Whisper's kin hear 30 seconds whatever is said, as many frames as fill their positions; others 1,000 frames.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from seqcost.fakes.values import known_uniform
from seqcost.programs.hugging_face.images import Way, whole

_FRAMES = 1000
_BINS = ("num_mel_bins", "input_feat_size", "input_dim", "input_size", "feature_size")
_PARTS = ("audio_config", "encoder_config", "sound_config", "speech_config")
_MASKS = ("input_features_mask", "feature_attention_mask")


def sound_ways(module: Any) -> Iterator[Way]:
    """Sounds in every layout that the model's arguments allow."""
    parts = [part for name in _PARTS if (part := getattr(module.config, name, None)) is not None]
    if not parts:
        return
    audio = next((part for part in parts if whole(part, *_BINS)), parts[0])
    bins = whole(audio, *_BINS) or 128  # as many as the package's processors make of a sound
    takes = set(inspect.signature(module.forward).parameters)
    if "input_features" not in takes:
        return
    like = next(module.parameters())
    positions = whole(audio, "max_source_positions")
    frames = 2 * positions if positions else _FRAMES
    masks = [name for name in _MASKS if name in takes]
    shapes = [(bins, frames), (frames, bins)] if positions else [(frames, bins), (bins, frames)]
    for shape in shapes:
        for masked in (True, False) if masks else (False,):

            def arguments(B: int, T: int, shape: tuple[int, int] = shape, masked: bool = masked) -> dict[str, Tensor]:
                given = {"input_features": known_uniform(0.5, (B, *shape), like)}
                kind = torch.bool if "input_features_mask" in masks else torch.int64
                return given | {name: torch.ones(B, frames, dtype=kind, device=like.device) for name in masks if masked}

            yield f"{frames:,} frames of {bins}", arguments
