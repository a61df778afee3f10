"""Architectures of other packages: `seqcost.register`, in a program or behind an entry point.

    [project.entry-points."seqcost.architectures"]
    mine = "my_package.costs:register"      # a function that calls seqcost.register, or a module that does

An entry point is found by every command and every process; what a program registers itself is known to that process
alone, so a measured run, which is a process of its own, does not know it. `seqcost check-architecture NAME` holds it to
what the architectures of the catalogue are held to.
"""

import re
from collections.abc import Mapping
from typing import Any, get_args

from seqcost.errors import BadTarget, shortened
from seqcost.formulas.architectures import MIXERS, Family, Mixer
from seqcost.formulas.catalogue import CATALOGUE, enter
from seqcost.formulas.core.component import Component

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LAYER = re.compile(r"[\w.]+:[\w.]+")


def register(
    name: str,
    config: type[Component],
    layer: Any,
    *,
    summary: str,
    family: Family,
    symbols: str = "D",
    sizes: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
) -> None:
    """Make an architecture a part of the catalogue: its layer (`NAME-layer`), its language model (`NAME`), hybrids.

    Parameters
    ----------
    name
        Lower case, words joined by hyphens; one of the catalogue's own is refused, one registered before is replaced.
    config
        Its config: a frozen, keyword-only dataclass of `seqcost.formulas.Component` that answers every question.
    layer
        Its working layer: a class of `seqcost.layers.Layer` whose `Config` it is, or where that lies,
        "my_package.layers:Mine", so that registering imports no PyTorch.
    summary
        What it is, in a few words.
    family
        As in the catalogue: "attention", "linear attention", "recurrence, by a scan" …
    symbols
        The letters that its formula page leaves open.
    sizes, model
        Defaults of the config beside D = 512, and of its language model.

    Raises
    ------
    BadTarget
        For what is no name, config, layer or family.

    Examples
    --------
    >>> from seqcost.formulas.mixers.gru import Gru
    >>> register("my-gru", Gru, "seqcost.layers:Gru", summary="a GRU", family="recurrence, by a loop", symbols="DN")
    >>> from seqcost import count
    >>> count("my-gru-layer", length=16).flops == count("gru-layer", length=16).flops
    True
    >>> unregister("my-gru")

    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadTarget(f"name = {shortened(name)} was given; lower case, words joined by hyphens, is allowed: my-gru.")
    taken = {word for word in (name, f"{name}-layer") if word in CATALOGUE}
    if taken and (name not in MIXERS or MIXERS[name].layer is None):
        raise BadTarget(f"{min(taken)} is a name of the catalogue already; choose another.")
    if not (isinstance(config, type) and issubclass(config, Component) and hasattr(config, "__dataclass_fields__")):
        raise BadTarget(f"config = {shortened(config)} was given; a dataclass of formulas.Component is allowed.")
    if not (isinstance(layer, type) or (isinstance(layer, str) and _LAYER.fullmatch(layer))):
        raise BadTarget(f"layer = {shortened(layer)} was given; a class, or 'package.module:Class', is allowed.")
    if family not in get_args(Family):
        raise BadTarget(f"family = {shortened(family)} was given; one of {', '.join(get_args(Family))} is allowed.")
    letters = [letter for letter in symbols if letter not in config.__dataclass_fields__]
    if letters:
        raise BadTarget(f"symbols = {symbols!r} was given, and {config.__name__} has no {letters[0]}; leave it out.")
    enter(name, Mixer(str(summary), "", family, config, symbols, dict(sizes or {}), dict(model or {}), layer))


def unregister(name: str) -> None:
    """Take a registered architecture out again.

    Raises BadTarget for one that was not registered.
    """
    if name not in MIXERS or MIXERS[name].layer is None:
        raise BadTarget(f"name = {shortened(name)} was given; that of a registered architecture is allowed.")
    del MIXERS[name], CATALOGUE[name], CATALOGUE[f"{name}-layer"]
