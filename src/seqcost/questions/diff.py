"""What did this change cost? Two counts side by side: every quantity, every line that differs, both polynomials.

Both sides are answered in one way. Where one of them has no formula both are traced, since the lines of a formula and
those of a trace bear different names.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from seqcost.errors import BadSize, BadTarget
from seqcost.formulas.core.foreign_names import FRIENDLY
from seqcost.questions.answers.count import Count
from seqcost.questions.answers.diff import Diff
from seqcost.questions.asked.arguments import sizes_in
from seqcost.questions.asked.lengths import names_several, whole
from seqcost.questions.asked.request import Request
from seqcost.questions.targets.resolve import resolve


def diff(
    a: Any,
    b: Any,
    *,
    length: int | str | None = None,
    batch: int | str | None = None,
    source: int | str | None = None,
    phase: str = "forward",
    dtype: Any = None,
    causal: str = "full",
    sizes: Mapping[str, Any] | None = None,
    sizes_a: Mapping[str, Any] | None = None,
    sizes_b: Mapping[str, Any] | None = None,
    inputs: Any = None,
    inputs_a: Any = None,
    inputs_b: Any = None,
    trace: bool = False,
) -> Diff:
    """What B costs beside A, by quantity and by line.

    Parameters
    ----------
    a, b
        Each what `count` takes as its target.
    length, batch, source, phase, dtype, causal, trace
        Of both sides, as in `count`; one length. Where not given, a side whose inputs came with it gives length and
        batch to the other; a source goes to the side that reads one.
    sizes, sizes_a, sizes_b
        Letters or friendly words to override: in both sides, in A, in B. A side's own go before those of both.
    inputs, inputs_a, inputs_b
        Example inputs of the live modules among them: of both, of A, of B.

    Raises
    ------
    SeqcostError
        As `count` does for either side; BadSize for several lengths, and where both have inputs of their own of
        different lengths or batches.

    Examples
    --------
    >>> change = diff("gpt2", "gpt2-medium", length="1k")
    >>> change.quantities[0].name, change.quantities[0].difference
    ('flops', Fraction(535302766592, 1))

    """
    if names_several(length) or not isinstance(length, int | str | None):
        raise BadSize(f"length = {length!r} was given; a difference is taken at one whole number of at least 1.")
    request = Request.of(phase=phase, batch=batch, source=source, dtype=dtype, causal=causal, trace=trace)
    common = sizes_in(sizes)
    sides = []
    for target, own, given in (
        (a, sizes_in(sizes_a, "sizes_a"), inputs_a),
        (b, sizes_in(sizes_b, "sizes_b"), inputs_b),
    ):
        live = not isinstance(target, str)
        sides.append(resolve(target, _overridden(common, own), given if given is not None or not live else inputs))
    if inputs is not None and not any(side.takes_inputs for side in sides):
        raise BadTarget(f"inputs were given for {a!r}; only a live module takes them.")
    # The lines of a formula and those of a trace bear different names: both are answered in one way.
    request = replace(request, trace=request.trace or any(side.config is None for side in sides))

    def side(i: int, length: int | str | None, batch: int | None) -> Count:
        subject = sides[i]
        own = replace(request, T=None if length is None else whole(length, "length"), B=batch)
        if not subject.reads_source and any(other.reads_source for other in sides):
            own = replace(own, S=None)
        return subject.counted(own if subject.runs else replace(own, trace=False))

    return Diff(*_at_one_size(side, length, request.B))


def _at_one_size(
    side: Callable[[int, int | str | None, int | None], Count], length: int | str | None, batch: int | None
) -> tuple[Count, Count]:
    """Both sides; where one has inputs of its own, and nothing else was asked, the other at its sizes."""
    a, b = side(0, length, batch), side(1, length, batch)
    if _size(a) == _size(b):
        return a, b
    try:
        return side(0, *_size(b)), b
    except BadSize:
        pass
    try:
        return a, side(1, *_size(a))
    except BadSize:
        (a_T, a_B), (b_T, b_B) = _size(a), _size(b)
        raise BadSize(
            f"{a.target} came with inputs of B = {a_B:,}, T = {a_T:,}, {b.target} with B = {b_B:,}, T = {b_T:,}; a "
            "difference is taken at one size: give both the same."
        ) from None


def _size(count: Count) -> tuple[int, int]:
    return count.sizes["T"], count.sizes["B"]


def _overridden(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of one side; `D` of its own replaces `width` of both."""
    letters = {FRIENDLY.get(word, word) for word in own}
    return {word: value for word, value in common.items() if FRIENDLY.get(word, word) not in letters} | dict(own)
