"""Sizes that a module may round its length up to, and the lengths at which such a rounding shows.

A block is known by name (`chunk_size`, `attention_window`, a chunk among the letters of a config of ours), or by its
trace: at every length the operators made something that is as long as the length rounded up to whole blocks.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from torch import nn

from seqcost.algebra import Curve, lift
from seqcost.algebra.lift import lift_blocks
from seqcost.fakes.parts import named_parts
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.rounding import block_sizes

LARGEST = 2**14
# What a token attends to at most: below it everything is taken. (What a router picks for a token has no length.)
_LIMITS = re.compile(r"(^|_)(top_?k|budget|max_keys|max_seen)(_|$)")
_NO_LIMITS = re.compile(r"expert|router|group|norm|prob|moe|sampl|beam")
_NAMES = re.compile(r"(^|_)(chunks?|blocks?|windows?|buckets?|segments?|radius|local)(_|$)")
_OTHERS = re.compile(r"num|^n_|pattern|layer|type|vocab|ind(ex|ices)|repeat|side|positions|embedding")
_TRIED = 40  # lengths at which a formula has to be a whole number
_NEEDS = 5  # lengths that the smallest formula in blocks takes: a constant, T and ⌈T/c⌉, and two spare


def named_blocks(module: nn.Module) -> set[int]:
    """Whole numbers among the settings of a module and of its parts that are called blocks, chunks, windows."""
    found: set[int] = set()
    configs: dict[int, Any] = {}
    for _, part in named_parts(module):
        config = getattr(part, "config", None)
        if config is not None:
            configs.setdefault(id(config), config)
        found.update(_named(vars(part).items()))
    for config in configs.values():
        if isinstance(config, Component):
            found.update(block_sizes(config, products=False))
        elif callable(getattr(config, "to_dict", None)):
            found.update(_named(config.to_dict().items()))
    return found


def named_limits(module: nn.Module) -> set[int]:
    """Whole numbers among the settings of a module that say to how many tokens one attends at most (`index_topk`)."""
    holders = {id(h): h for _, part in named_parts(module) for h in (part, getattr(part, "config", None))}
    settings = [item for h in holders.values() for item in getattr(h, "__dict__", {}).items()]
    return {
        value
        for name, value in settings
        if type(value) is int and 1 < value <= LARGEST and _LIMITS.search(name) and not _NO_LIMITS.search(name)
    }


def _named(settings: Iterable[tuple[str, Any]]) -> Iterator[int]:
    for name, value in settings:
        sizes = value if isinstance(value, list | tuple) else (value,)
        if type(next(iter(sizes), None)) is int and _NAMES.search(name) and not _OTHERS.search(name):
            for size in sizes:
                if type(size) is int and 1 < size <= LARGEST:
                    yield size + ("radius" in name)  # a radius leaves its own token out


def seen_blocks(sizes: Mapping[int, frozenset[int]]) -> list[int]:
    """Blocks by their traces: `sizes` has, for each length, every size of a dimension that an operator made."""
    return [c for c in range(2, LARGEST + 1) if _left_traces(c, sizes)]


def _left_traces(c: int, sizes: Mapping[int, frozenset[int]]) -> bool:
    filled = False  # within the first block any width of the module would pass for a block
    for length, seen in sizes.items():
        blocks = -(-length // c)
        if blocks * c not in seen or (c not in seen and blocks not in seen):
            return False
        filled = filled or (length > c and length % c != 0)
    return filled


def lengths_of(c: int) -> tuple[int, ...]:
    """Lengths that tell T, T² and ⌈T/c⌉ apart: within, at and beyond whole blocks."""
    return (c - 1, c, c + 1, 2 * c + 1, 3 * c, 3 * c + 2, 5 * c - 1, 7 * c + 3, 8 * c)


def far_lengths_of(c: int) -> tuple[int, ...]:
    """Further ones, for a pattern of blocks that is complete only beyond ten of them."""
    return (13 * c + 5, 17 * c - 3, 24 * c, 29 * c + 11, 40 * c - 1)


def curve(values: Mapping[int, int | Fraction], blocks: Iterable[int] = ()) -> Curve:
    """A polynomial in T, else one in T and ⌈T/c⌉ for some of the blocks, else what was seen.

    The shortest lengths are dropped while they do not agree with the rest; the formula is valid from the shortest one
    that does. Two lengths or more are spare. A formula that is no whole number at some length is none: it was bent
    through the lengths seen.
    """
    lengths = sorted(values)
    candidates = sorted(blocks)
    found = lift(lambda n: values[n], lengths)
    if found.exact and not _whole(found, values):
        found = Curve.samples(values, "no formula of whole numbers passes through them")
    if not candidates or (found.exact and _telling(lengths, found.valid_from, candidates)):
        return found
    for start in range(len(lengths) - _NEEDS + 1):
        in_blocks = lift_blocks(lambda n: values[n], lengths[start:], candidates)
        if in_blocks is not None and _telling(lengths, in_blocks.valid_from, candidates) and _whole(in_blocks, values):
            return in_blocks
    reason = f"no formula in T and whole blocks of {' or '.join(map(str, candidates))} passes through all lengths"
    return Curve.samples(values, reason)


def _whole(formula: Curve, values: Mapping[int, int | Fraction]) -> bool:
    """Whether a formula is a whole number of at least 0 at lengths that were not seen, as what it counts is."""
    if any(Fraction(value).denominator > 1 for value in values.values()):
        return True
    if formula.is_polynomial and all(c.denominator == 1 for c in formula.coefficients[1:]):
        return formula(2 * max(values)) >= 0
    within = range(formula.valid_from, formula.valid_from + _TRIED)
    beyond = range(max(values) + 1, max(values) + _TRIED)
    tried = (formula(n) for n in (*within, *beyond))
    return all(cost.denominator == 1 and cost >= 0 for cost in tried)


def _telling(lengths: Sequence[int], start: int, blocks: Sequence[int]) -> bool:
    """Whether whole blocks and broken ones are among the lengths used: only a broken one may have to be filled up."""
    used = [n for n in lengths if n >= start]
    return all(any(n % c == 0 for n in used) and any(n % c for n in used) for c in blocks)
