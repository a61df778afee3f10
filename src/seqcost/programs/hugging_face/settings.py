"""Bounds on the settings of a foreign configuration, checked before its constructor acts on them.

Widths and vocabularies may be of any size, since fake tensors have no memory. Counts are another thing: a constructor
makes a module, a list entry or a table row in Python for each, so that a slip of a few digits takes all time or memory.
"""

import re
from collections.abc import Mapping
from typing import Any

from seqcost.errors import BadSize, BadTarget

# What a name counts, and the most of them; several times what the largest published models have.
MOST: tuple[tuple[str, re.Pattern[str], int], ...] = (
    ("layers", re.compile(r"^(?!.*(size|dim))(?:.*_)?n?_?(layers?|depths?|blocks|stages|stacks)(_|$)"), 10_000),
    ("labels", re.compile(r"(^|_)labels(_|$)"), 1_000_000),
    ("experts", re.compile(r"(^|_)experts(_|$)"), 100_000),
    ("heads", re.compile(r"(^|_)(heads?|groups)$"), 1_000_000),
    ("positions", re.compile(r"(^|_)(n_ctx|n_positions|positions?)(_|$)"), 2**27),
    ("pixels a side", re.compile(r"^image_size$"), 2**15),
)
MOST_MODULES = 200_000  # that a constructor may make
LARGEST_WHOLE = 2**63 - 1
# Settings that name a model elsewhere, and those that ask for its weights.
_MODEL = re.compile(r"(^|_)(backbone|pretrained_model(_name_or_path)?|base_model_name_or_path)$")
_WEIGHTS = re.compile(r"(^|_)pretrained(_|$)")
_KERNELS = ("attn_implementation", "_attn_implementation", "attn_implementation_internal", "experts_implementation")


def check_settings(settings: Mapping[str, Any], kind: str) -> None:
    """Raise BadSize for a count or a whole number beyond bounds, BadTarget for what would be fetched."""
    _refuse_another_model(settings, kind)
    waiting: list[tuple[str, Any]] = [(str(name), value) for name, value in settings.items()]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            _refuse_another_model(value, kind)
            waiting += [(str(inner), item) for inner, item in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(name, item) for item in value]
        elif name in _KERNELS and isinstance(value, str) and "/" in value:
            raise BadTarget(
                f"{name} = {value[:80]!r} of {kind} names code elsewhere; nothing is downloaded: leave it out."
            )
        elif isinstance(value, int | float) and not isinstance(value, bool):
            _check_number(name, value, kind)


def _refuse_another_model(settings: Mapping[str, Any], kind: str) -> None:
    # The part of a configuration that is a timm model by its name is built from that package, without weights.
    by_name = settings.get("model_type") != "timm_backbone"
    for name, value in settings.items():
        names = isinstance(value, str) and value and by_name and _MODEL.search(str(name))
        if names or (value is True and _WEIGHTS.search(str(name))):
            raise BadTarget(
                f"{name} = {str(value)[:80]} of {kind} names another model, and nothing is downloaded; leave it out, "
                "and give that model's own configuration as backbone_config."
            )


def _check_number(name: str, value: float, kind: str) -> None:
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise BadSize(f"{name} of {kind} is beyond 64 bits; give a whole number of at most {LARGEST_WHOLE:,}.")
    for what, pattern, most in MOST:
        if value > most and pattern.search(name):
            raise BadSize(f"{name} = {value:,} of {kind} was given; at most {most:,} {what} are allowed.")
