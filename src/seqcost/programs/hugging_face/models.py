"""Models of the transformers package from a configuration: built from its numbers; nothing is downloaded.

Of the classes that fit a configuration, the one under `architectures` is taken if the package has it, else the one that
a user of this type means: one that says words, whatever it reads (a causal language model, one with images or sound,
sequence to sequence), a masked one, else the bare encoder, else one for the only task that there is.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from seqcost.errors import BadSize, BadTarget, SeqcostError, TraceFailed, with_type
from seqcost.fakes.threads import in_this_thread
from seqcost.programs.hugging_face.configuration import configuration_of, the_package
from seqcost.programs.hugging_face.offline import offline
from seqcost.programs.hugging_face.quantised import pack, scheme_of
from seqcost.programs.hugging_face.runs import no_values_on_fake_tensors
from seqcost.programs.hugging_face.settings import MOST_MODULES


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
    maker = class_of(config, wanted)
    config = _part_for(maker, config)
    try:
        with offline(), no_more_modules_than(MOST_MODULES, kind), no_values_on_fake_tensors():
            model: nn.Module = (
                maker._from_config(config) if hasattr(maker, "_from_config") else maker.from_config(config)
            )
    except SeqcostError:
        raise
    except Exception as error:  # noqa: BLE001 - constructors meet values that nobody thought of
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise TraceFailed(f"{kind} cannot be built with real tensors for want of memory") from None
        said = f"no {maker.__name__} can be built from this configuration of {kind}: {with_type(error, most=300)}"
        raise BadTarget(said if wanted else f"{said}; other classes can be named under architectures") from None
    if scheme is not None:
        pack(model, scheme)
    return model


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


def class_of(config: Any, wanted: Any) -> Any:
    """The class of a configuration: the one of the names `wanted` that the package has, else what its type is for."""
    transformers = the_package()
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


# Tasks whose models say words; the first that has a type wins. A model that reads images as well as words stands
# before the language model inside it, which is what some types have under CAUSAL_LM.
_PAIRS = ("SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "MULTIMODAL_LM", "IMAGE_TEXT_TO_TEXT")
_WORDS = ("MULTIMODAL_LM", "IMAGE_TEXT_TO_TEXT", "CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "TEXT_TO_WAVEFORM")
_TASK = re.compile(r"MODEL_FOR_(\w+)_MAPPING")


def _mappings(autos: Any, config: Any) -> Iterator[Any]:
    """From configurations to classes, the ones to ask first."""
    known = {found[1]: getattr(autos, name) for name in dir(autos) if (found := _TASK.fullmatch(name))}
    tasks = list(_PAIRS if getattr(config, "is_encoder_decoder", False) else _WORDS)
    # An encoder has a causal head too, for those who turn it into a decoder.
    if type(config) in known["MASKED_LM"] and not getattr(config, "is_decoder", False):
        tasks.insert(0, "MASKED_LM")
    yield from (known[task] for task in tasks if task in known)
    yield autos.MODEL_MAPPING
    # Some types have a model for one task alone; a backbone, which is a part of models, for want of anything else.
    yield from (known[task] for task in sorted(known, key=lambda task: (task == "BACKBONE", task)))


def is_hugging_face(module: nn.Module) -> bool:
    """Whether a module is a model of the transformers package (asked without importing it)."""
    return any(
        c.__name__ == "PreTrainedModel" and c.__module__.startswith("transformers") for c in type(module).__mro__
    )
