"""Heads: how many there are and how wide, where a config does not say."""

import dataclasses
from typing import Any

from seqcost.formulas.core.component import check_sizes, exact_div


def fill_heads(config: Any) -> None:
    """G of H key/value heads (default H), key width K (default D/H), value width V (default K): those that it has.

    Raises BadSize where a size is none, where H does not divide D, or where G does not divide H.
    """
    has = [letter for letter in "GKV" if letter in {field.name for field in dataclasses.fields(config)}]
    if "G" in has and config.G is None:
        object.__setattr__(config, "G", config.H)
    if config.K is None:
        object.__setattr__(config, "K", exact_div(config.D, config.H, "width D over heads H"))
    if "V" in has and config.V is None:
        object.__setattr__(config, "V", config.K)
    check_sizes(config, *has)
    if "G" in has:
        exact_div(config.H, config.G, "query heads H over key/value heads G")
