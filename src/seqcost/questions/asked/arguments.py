"""Arguments of the public functions that are not what their types say: one sentence each, before anything is done."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from seqcost.errors import BadSize, BadTarget, UnknownName, shortened


def sizes_in(given: Any, what: str = "sizes") -> dict[str, Any]:
    """Sizes by letter or word; none where nothing was given."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise BadSize(
            f"{what} = {shortened(given)} was given; a mapping of letters or words is allowed, such as "
            "{'D': 512, 'layers': 6}."
        )
    return dict(given)


def flag(given: Any, what: str) -> bool:
    """True or False; 1 and 0 are."""
    if not isinstance(given, int) or given not in (0, 1):
        raise BadTarget(f"{what} = {shortened(given)} was given; True or False is allowed.")
    return bool(given)


def one_of(given: Any, what: str, allowed: Iterable[str]) -> str:
    """A word among those allowed."""
    if not isinstance(given, str) or given not in allowed:
        raise UnknownName.among(what, given if isinstance(given, str) else shortened(given), allowed)
    return given


def a_path(given: Any, what: str) -> str | os.PathLike[str]:
    """A path of a file, as text or a path object."""
    if not isinstance(given, str | os.PathLike):
        raise BadTarget(f"{what} = {shortened(given)} was given; the path of a file is allowed.")
    return given
