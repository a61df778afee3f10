"""Models of the transformers package from a configuration: built from its numbers; nothing is downloaded.

A configuration is data: a dict with a `model_type` that the installed release knows. Code that it names (`auto_map`)
is not run. Of the classes that fit, the one under `architectures` is taken if the package has it, else the one that a
user of this type means: a causal language model, a masked one, sequence to sequence, or the bare encoder.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from seqcost.errors import BadSize, BadTarget, MissingExtra, SeqcostError, TraceFailed, UnknownName, with_type
from seqcost.trace.hugging_face_runs import no_values_on_fake_tensors
from seqcost.trace.quantised import pack, scheme_of
from seqcost.trace.settings import MOST_MODULES, check_settings
from seqcost.trace.threads import in_this_thread

_BINS = ("num_mel_bins", "feature_size", "input_dim", "feature_projection_input_dim")
MOST_VALUES = 2**31  # of an image; on the rung of real tensors it is made


def model_of(given: Mapping[str, Any], **changes: Any) -> nn.Module:
    """The model of a configuration, with fresh weights (or none, on fake tensors).

    Linear layers that a `quantization_config` packs hold what is stored of them: see `quantised`.

    Raises UnknownName for a model type or a setting that does not exist, BadTarget for values that no model takes,
    BadSize for counts beyond all models.
    """
    parts = (given, given.get("text_config"))
    packings = (part.get("quantization_config") for part in parts if isinstance(part, Mapping))
    scheme = scheme_of(next(filter(None, packings), None))
    config, wanted = configuration_of(given, **changes)
    kind = config.model_type
    maker = _class_of(_transformers(), config, wanted)
    config = _part_for(maker, config)
    try:
        with no_more_modules_than(MOST_MODULES, kind), no_values_on_fake_tensors():
            model: nn.Module = (
                maker._from_config(config) if hasattr(maker, "_from_config") else maker.from_config(config)
            )
    except SeqcostError:
        raise
    except Exception as error:  # noqa: BLE001 - constructors meet values that nobody thought of
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise TraceFailed(f"{kind} cannot be built with real tensors for want of memory") from None
        raise BadTarget(f"no {kind} model can be built from this configuration: {with_type(error, most=300)}") from None
    if scheme is not None:
        pack(model, scheme)
    return model


def configuration_of(given: Mapping[str, Any], **changes: Any) -> tuple[Any, Any]:
    """The package's own configuration, its defaults filled in, and the names of the classes that were asked for.

    `changes` are set afterwards: what the package derives from other settings is derived from `given` alone.
    """
    transformers = _transformers()
    settings = {name: value for name, value in given.items() if name not in ("auto_map", "transformers_version")}
    kind = settings.pop("model_type", None)
    if not isinstance(kind, str):
        raise BadTarget(f"model_type = {kind!r} was given; a configuration names one, such as 'gpt2'.")
    if kind not in transformers.CONFIG_MAPPING:
        raise UnknownName.among("model type of transformers", kind, transformers.CONFIG_MAPPING.keys())
    wanted = settings.pop("architectures", None) or []
    check_settings(settings, kind)
    check_settings(changes, kind)
    try:
        config = transformers.AutoConfig.for_model(kind, **settings)
    except Exception as error:  # noqa: BLE001 - the package checks a configuration in many ways
        raise BadTarget(f"the configuration of {kind!r} was refused: {with_type(error, most=300)}") from None
    for name, value in changes.items():
        if not hasattr(config, name):
            raise UnknownName.among(f"setting of {kind}", name, config.to_dict())
        try:
            setattr(config, name, value)
        except Exception as error:  # noqa: BLE001
            raise BadTarget(f"{name} = {value!r} was refused by {kind}: {with_type(error, most=300)}") from None
    return config, wanted


@contextmanager
def no_more_modules_than(most: int, kind: str) -> Iterator[None]:
    """Stop a constructor that makes more modules than that; raises BadSize."""
    made = 0

    def count(module: nn.Module, name: str, child: nn.Module | None) -> None:
        nonlocal made
        made += 1
        if made > most:
            raise BadSize(f"the configuration of {kind} asks for over {most:,} modules; give fewer layers or experts.")

    hook = register_module_module_registration_hook(in_this_thread(count))
    try:
        yield
    finally:
        hook.remove()


def _class_of(transformers: Any, config: Any, wanted: Any) -> Any:
    for name in wanted if isinstance(wanted, list) else [wanted]:
        found = getattr(transformers, name, None) if isinstance(name, str) else None
        if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
            return found
    autos = transformers.models.auto.modeling_auto
    for mapping in _mappings(autos, config):
        if type(config) in mapping:
            return mapping[type(config)]
    raise BadTarget(f"transformers has no model for the configuration {type(config).__name__}; give one that it has.")


def _part_for(maker: Any, config: Any) -> Any:
    """The part of a configuration of several models that a class takes, such as the language model's."""
    wanted = getattr(maker, "config_class", None)
    if not isinstance(wanted, type) or isinstance(config, wanted):
        return config
    return next((part for part in vars(config).values() if isinstance(part, wanted)), config)


def _mappings(autos: Any, config: Any) -> list[Any]:
    causal, masked, pairs, bare = (
        autos.MODEL_FOR_CAUSAL_LM_MAPPING,
        autos.MODEL_FOR_MASKED_LM_MAPPING,
        autos.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        autos.MODEL_MAPPING,
    )
    # Some types have a model for one task alone.
    others = [autos.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, autos.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING]
    if getattr(config, "is_encoder_decoder", False):
        return [pairs, bare, *others]
    # An encoder has a causal head too, for those who turn it into a decoder.
    return (
        [masked, causal, bare, *others]
        if type(config) in masked and not getattr(config, "is_decoder", False)
        else [causal, bare, *others]
    )


def is_hugging_face(module: nn.Module) -> bool:
    """Whether a module is a model of the transformers package (asked without importing it)."""
    return any(
        c.__name__ == "PreTrainedModel" and c.__module__.startswith("transformers") for c in type(module).__mro__
    )


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
    if name == "input_ids" and hasattr(config, "vision_config") and type(module).__name__.endswith("Model"):
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


def _transformers() -> Any:
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtra("Hugging Face configurations need the transformers package; pip install transformers.")
    import transformers

    transformers.logging.set_verbosity_error()
    return transformers
