"""Several targets for one question: each resolved once, under a name of its own, with the sizes that it has."""

import itertools
from collections.abc import Container, Iterable, Mapping
from typing import Any

from seqcost.errors import BadTarget, UnknownName
from seqcost.questions.targets.resolve import resolve
from seqcost.questions.targets.subject import Subject


def resolved(targets: Any, sizes: Mapping[str, Any]) -> dict[str, Subject]:
    """Each target once, by a name of its own, with the sizes that it has.

    One command line serves an attention model and an RNN alike: a size goes to each target that has it.
    """
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        raise BadTarget(f"targets = {targets!r} was given; a list of names is allowed: ['transformer', 'lstm'].")
    found: dict[str, Subject] = {}
    used: set[str] = set()
    for target in targets:
        if isinstance(target, str) and target in found:
            continue
        subject = resolve(target)
        fitting = {word: value for word, value in sizes.items() if subject.setting(word) is not None}
        used |= set(fitting)
        subject = resolve(target, fitting) if fitting else subject
        found[_own_name(subject.name, found)] = subject
    if not found:
        raise BadTarget("no target was given; name at least one architecture, such as transformer.")
    if refused := sorted(set(sizes) - used):
        known = set().union(*(subject.settings() for subject in found.values()))
        raise UnknownName.among(f"size of {', '.join(found)}", refused[0], known)
    return found


def _own_name(name: str, taken: Container[str]) -> str:
    """Two live modules of one class are told apart: Linear, Linear (2)."""
    further = (f"{name} ({number})" for number in itertools.count(2))
    return next(free for free in itertools.chain([name], further) if free not in taken)
