"""What a model of the transformers package is given: words, frames, images, as its `main_input_name` says."""

from typing import Any

import torch
from torch import Tensor

from seqcost.errors import BadSize, BadTarget
from seqcost.programs.hugging_face.senses import senses_of

_BINS = ("num_mel_bins", "feature_size", "input_dim", "feature_projection_input_dim", "input_feat_per_channel")
MOST_VALUES = 2**31  # of an image; on the rung of real tensors it is made


def inputs_of(module: Any, B: int, T: int, *, S: int | None = None) -> dict[str, Tensor]:
    """What a model of the package takes: B sequences of T tokens, of T frames, or B images (which have no T).

    S are the words that an encoder reads beside a decoder's T (None: T as well); BadTarget where no words are read.
    """
    config, name = module.config, str(getattr(module, "main_input_name", "input_ids"))
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    device = next(module.parameters()).device
    words = int(getattr(text, "vocab_size", 0) or 2)

    # MusicGen's words come in several books, whose rows lie under each other.
    rows = B * int(config.num_codebooks) if config.model_type.startswith("musicgen") else B

    def ids(length: int = T) -> Tensor:
        return torch.randint(0, words, (rows, length), device=device)

    def features(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=next(module.parameters()).dtype, device=device)

    # Models of text; of speech, whose encoder hears frames while the decoder writes words; not of audio alone.
    pair = {"decoder_input_ids": ids()} if getattr(config, "is_encoder_decoder", False) else {}
    if S is not None and (name != "input_ids" or not pair):
        raise BadTarget(
            f"S = {S:,} was asked of {type(module).__name__}, which reads no words of a source; leave --source out."
        )
    senses = senses_of(module)
    if senses.fits(T):
        return senses.among(ids())
    bare = not senses.given and type(module).__name__.endswith("Model")
    if bare and name == "input_ids" and hasattr(config, "vision_config"):
        return {"input_ids": ids(), "pixel_values": features(*_image(config.vision_config, B))}
    if name == "input_ids":
        return {"input_ids": ids(T if S is None else S)} | pair
    if name == "inputs":  # Perceiver's, whatever they are
        return {"inputs": ids()}
    if name == "pixel_values":
        return {"pixel_values": features(*_image(config, B))}
    if name == "pixel_values_videos":
        return {"pixel_values_videos": features(*_image(config, B))}
    if name == "input_features":
        return {"input_features": features(B, *_frames(config, _bins(config), T))} | pair
    if name == "input_values":
        return {"input_values": features(B, *_samples(config, T))}
    raise BadTarget(
        f"{type(module).__name__} takes {name}, for which no inputs can be made up; give inputs of your own."
    )


def _image(config: Any, B: int) -> tuple[int, ...]:
    """An image, or as many as a film has: B sequences of [frames,] channels, height and width."""
    side = getattr(config, "image_size", None) or 224
    height, width = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
    channels = int(getattr(config, "num_channels", 3))
    frames = getattr(config, "num_frames", None)
    films = (frames,) if isinstance(frames, int) else ()
    if max(B * channels * height * width * (films or (1,))[0], height, width) > MOST_VALUES:
        raise BadSize(
            f"image_size = {height:,} × {width:,} with {channels:,} channels was given; at most {MOST_VALUES:,} "
            "values of an image are allowed."
        )
    return (B, *films, channels, height, width)


def _bins(config: Any) -> int:
    parts = [config, *(getattr(config, name, None) for name in ("encoder_config", "audio_config"))]
    found = (getattr(part, name, None) for part in parts for name in _BINS)
    return next((bins for bins in found if isinstance(bins, int)), 80)


def _samples(config: Any, T: int) -> tuple[int, ...]:
    """Samples of a wave that its convolutions make T frames of; a spectrogram of fixed length where there are none."""
    kernels, strides = (getattr(config, name, None) for name in ("conv_kernel", "conv_stride"))
    if isinstance(kernels, list | tuple) and isinstance(strides, list | tuple):
        for kernel, stride in zip(reversed(kernels), reversed(strides), strict=False):
            T = (T - 1) * int(stride) + int(kernel)
        return (T,)
    length, bins = getattr(config, "max_length", None), getattr(config, "num_mel_bins", None)
    return (length, bins) if isinstance(length, int) and isinstance(bins, int) else (T,)


def _frames(config: Any, bins: int, T: int) -> tuple[int, int]:
    """T frames of `bins`; Whisper and its kin take the bins first, and as many frames as fill their positions."""
    if hasattr(config, "max_source_positions") and hasattr(config, "num_mel_bins"):
        return bins, 2 * int(config.max_source_positions)  # its second convolution takes every other one
    return T, bins
