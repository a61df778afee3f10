"""From a target to its cost: the rungs in turn, the lengths to look at, and the polynomials behind the numbers.

The module is run at a few lengths, awkward and well spread, and at the length asked for. Where that would take too
many operators (a loop over time in Python or ATen) only shorter lengths are run, and the answer at T is the value of
the polynomials: `extrapolated` then, from no further than `seen_to`. Every polynomial has spare points that agree, else
the samples themselves are reported.

A run with a symbolic length is not the first rung but a second opinion: see `symbolic`, which gives the reasons.
"""

from collections.abc import Sequence
from fractions import Fraction

from seqcost.algebra import Bill, Curve, Kind, Line
from seqcost.algebra.work import Direction, Kernel, Row, flops_of, traffic_of
from seqcost.errors import FOREIGN_ERRORS, BadSize, BadTarget, SeqcostError, TraceFailed, with_type
from seqcost.fakes.faking import seldom_collected, unlogged
from seqcost.programs.program import check_phase
from seqcost.programs.targets import Target
from seqcost.programs.training import check_training
from seqcost.trace.answer.composition import compose
from seqcost.trace.answer.result import Trace
from seqcost.trace.answer.rows import coverage, rows_of, uncounted
from seqcost.trace.answer.versions import said_of_versions
from seqcost.trace.blocks import curve, far_lengths_of, lengths_of, named_blocks, named_limits, seen_blocks
from seqcost.trace.book.lookups import longest, too_short
from seqcost.trace.rungs import Rung, fake_rung, real_rung, untouched_random_state
from seqcost.trace.sighting import TOO_MANY, TOTALS, Sighting, extrapolate

# Odd and even, a power of two and one beyond: what depends on divisibility or on rounding up shows itself. With the
# length asked for they determine a quadratic and leave two spare; the further ones are run only where those disagree.
_FIRST_LENGTHS = (8, 17)
_LENGTHS = (64, 129)
_FEWER_LENGTHS = _LENGTHS[:1]  # for a model of very many operators: one spare point instead of two
_MANY_OPERATORS = 4000  # the most, too, of a run at the length asked for where they grow with it
_QUICK_CALLS = 1000  # of one that looks how far a formula of a loop holds, where that run is too long
DEFAULT_LENGTH = 1024
_FURTHER_LENGTHS = (33, 100, 192)
_SHORT_LENGTHS = (11, 24, 40)  # for a model that refuses long ones
_LOOP_LENGTHS = (11, 24, 33)
_FURTHER_LOOP_LENGTHS = (14, 29, 40)
_LONGEST_LOOP = 160  # steps of a loop over time that are still followed one by one
_LONGEST_AT_ONCE = 4096  # longer ones only once it is known whether blocks of tokens are looped over
LONGEST_REAL = 160
# Blocks that a length is rounded up to, as many as are tried, and what the further runs that they take may cost.
_MOST_BLOCKS = 3
_MOST_CALLS = 20_000  # operators of one of these runs
_MOST_BLOCK_CALLS = 60_000  # of all of them
_MOST_REAL_FLOPS = 10**12  # of one that computes; a tenth of it, where formulas would give the answer as well
_MOST_REAL_BYTES = 2**31


def trace(
    target: Target,
    *,
    phase: str,
    B: int | None = None,
    T: int | None = None,
    dtype: str | None = None,
    lengths: Sequence[int] | None = None,
    optimizer: str | None = None,
    accumulate: int = 1,
) -> Trace:
    """Cost of one phase of a target, without running it where that is possible.

    Parameters
    ----------
    target
        `Target.of_spec(...)` or `Target.of_module(module, inputs)`.
    phase
        forward, train, prefill or decode.
    B, T
        Batch and sequence length; None: those of the inputs that came with the target, else 1 and 1024.
    dtype
        Turn parameters, buffers and features into this one; None: every one keeps its own.
    lengths
        Lengths to sample instead of the usual ones; an empty sequence samples T alone and gives no polynomials.
    optimizer
        In the phase train: the class of torch.optim whose step ends it, by name in any case, with options of it:
        "adamw", "sgd:momentum=0.9"; without one the step ends with the gradients.
    accumulate
        In the phase train: forward and backward passes over B sequences each, before the step.

    """
    check_phase(phase)
    check_training(phase, optimizer, accumulate)
    for letter, size in (("B", B), ("T", T), *(("length", n) for n in lengths or ())):
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise BadSize(f"{letter} = {size!r} was given; a whole number of at least 1 is allowed.")
    failures: list[str] = []
    with untouched_random_state(), unlogged(), seldom_collected():
        rungs = [fake_rung(target, phase=phase, dtype=dtype)]
        if not target.shapes_only:  # without values there is nothing real to run
            rungs.append(real_rung(target, phase=phase, dtype=dtype, longest=LONGEST_REAL))
        for rung in rungs:
            rung.optimizer, rung.accumulate = optimizer, accumulate
            try:
                return _climb(rung, rung.open(B, T, DEFAULT_LENGTH), lengths, tuple(failures))
            except SeqcostError as error:
                if not isinstance(error, TraceFailed):
                    raise  # a sentence for the user already
                failures.append(f"{rung.name}: {error}")
            except FOREIGN_ERRORS as error:  # the module's own code runs here
                failures.append(f"{rung.name}: " + with_type(error, most=300, after=", "))
    raise TraceFailed(f"{target.name} could not be traced ({'; '.join(failures)}); {rungs[-1].hint}.")


def _climb(rung: Rung, T: int, lengths: Sequence[int] | None, failures: tuple[str, ...]) -> Trace:
    seen: dict[int, Sighting] = {}
    if rung.one_length or (rung.program is not None and rung.program.axes.fixed_length is not None):
        seen[T] = rung.look(T)
        return _answer(rung, T, seen, seen[T], failures)
    within = rung.longest is None or rung.longest >= T

    def beside(lengths: Sequence[int]) -> list[int]:
        """The usual lengths are of words, beside an image or a sound where there is one."""
        return [n + rung.other_tokens for n in lengths]

    _look(rung, beside(_FIRST_LENGTHS) if lengths is None else lengths[:1], seen)
    if within and (not seen or (_LONGEST_LOOP if _is_loop(seen) else _LONGEST_AT_ONCE) >= T):
        seen[T] = rung.look(T)
    elif not within:
        _look(rung, lengths or _FIRST_LENGTHS, seen)
    loop = _is_loop(seen)
    usual = _FEWER_LENGTHS if max(s.num_followed for s in seen.values()) > _MANY_OPERATORS else _LENGTHS
    _look(rung, lengths if lengths is not None else beside(_LOOP_LENGTHS if loop else usual), seen)
    named = named_blocks(rung.module) if lengths is None else set()
    hidden: set[int] = set()
    if lengths is None:
        _beyond_limits(rung, seen)
        hidden = _beyond(rung, named, seen)
    if T not in seen and _followable(rung, T, seen):
        seen[T] = rung.look(T)  # too long to be followed before it was known what it takes
    elif T not in seen and loop and lengths is None:
        _look(rung, [n for n in [_longest_quick(seen)] if n > 2 * max(seen)], seen)
    blocks: tuple[int, ...] = ()
    if lengths is None and not _agree(seen):
        if not named:
            _look(rung, beside(_FURTHER_LOOP_LENGTHS if loop else _FURTHER_LENGTHS), seen)
            if len(seen) < len(_FIRST_LENGTHS) + len(usual) + 1:
                _look(rung, beside(_SHORT_LENGTHS), seen)
        blocks = () if _agree(seen) else _in_blocks(rung, named, seen)
        if named and not _agree(seen, blocks):
            _look(rung, beside(_FURTHER_LOOP_LENGTHS if loop else _FURTHER_LENGTHS), seen)
    at_T = seen.get(T) or (None if hidden and not within else extrapolate(seen, T, blocks))
    if at_T is None:
        if not within and not _affordable(rung, T, seen):
            reason = f"its settings name blocks of {max(hidden):,} tokens, beyond what can be run" if hidden else ""
            raise TraceFailed(reason or f"no polynomial passes through its cost at the lengths {sorted(seen)}")
        at_T = seen[T] = rung.look(T)
    return _answer(rung, T, seen, at_T, failures, blocks)


def _look(rung: Rung, lengths: Sequence[int], seen: dict[int, Sighting]) -> None:
    refused: BaseException | None = None
    for length in lengths:
        if length in seen or length <= rung.other_tokens:  # a text without the image is another model
            continue
        try:
            seen[length] = rung.look(length)
        except BadTarget:
            raise
        except FOREIGN_ERRORS as error:  # a model may refuse lengths; the one asked for decides
            refused = error
        if rung.one_length:
            return
    if not seen and lengths and refused is not None and rung.longest is not None:
        raise refused


def _beyond(rung: Rung, named: set[int], seen: dict[int, Sighting]) -> set[int]:
    """Look beyond the largest block named, which short lengths would not show; the blocks that stay out of reach.

    And far beyond: a model may attend to everything until there are some ten blocks (BigBird).
    """
    if named:
        largest = max(named)
        near = (2 * largest + 1, 3 * largest + 2) if 2 * largest >= max(seen) else ()
        _look(rung, [n for n in (*near, far_lengths_of(largest)[0]) if _affordable(rung, n, seen)], seen)
    return {c for c in named if c >= max(seen)}


def _beyond_limits(rung: Rung, seen: dict[int, Sighting]) -> None:
    """Look beyond what a token attends to at most, so often that a formula of that side has spare points."""
    for limit in sorted(named_limits(rung.module)):
        near = (limit + 1, limit + limit // 2 + 1, 2 * limit + 1, 3 * limit + 2, 4 * limit + 3)
        _look(rung, [n for n in near if _affordable(rung, n, seen)], seen)


def _in_blocks(rung: Rung, named: set[int], seen: dict[int, Sighting]) -> tuple[int, ...]:
    """Look where one block after the other would show itself, until all totals are formulas; those that explain."""
    evident = seen_blocks({length: sighting.sizes for length, sighting in seen.items()})
    order = [c for c in evident if c in named] + [c for c in evident if c not in named]
    tried: list[int] = []
    left = _MOST_BLOCK_CALLS
    for c in (order or sorted(named))[:_MOST_BLOCKS]:
        if any(c % smaller == 0 for smaller in tried):
            continue  # it shows wherever the smaller one does
        for stage in (lengths_of(c), far_lengths_of(c)):
            for n in sorted({n for n in stage if n > 0} - set(seen)):
                if left > 0 and _affordable(rung, n, seen):
                    _look(rung, (n,), seen)
                    left -= seen[n].num_calls if n in seen else 0
            without, remaining = (_without_formula(seen, blocks) for blocks in (tried, [*tried, c]))
            if not remaining:
                return (*tried, c)
        if len(remaining) < len(without):
            tried.append(c)
    return tuple(tried)


def _affordable(rung: Rung, length: int, seen: dict[int, Sighting]) -> bool:
    """Whether a run at this length has few enough operators and, where it computes, few enough FLOPs."""
    flops = (seen[max(seen)].total("flops") or 0) * (length // max(seen) + 1)
    small = rung.longest is None or length <= rung.longest or flops <= _MOST_REAL_FLOPS
    return small and _calls_at(length, seen) <= _MOST_CALLS


def _followable(rung: Rung, length: int, seen: dict[int, Sighting]) -> bool:
    """Whether the length asked for is run, though the formulas may give its cost: it may take another branch."""
    calls = _calls_at(length, seen)
    if calls > max(_MANY_OPERATORS, 2 * max(s.num_calls for s in seen.values())):
        return False
    if rung.longest is None or length <= rung.longest:
        return True
    growth = Fraction(length, max(seen)) ** 2
    longest = seen[max(seen)]
    return (
        growth * (longest.total("flops") or 0) <= _MOST_REAL_FLOPS / 10
        and growth * (longest.peak_bytes or 0) <= _MOST_REAL_BYTES
    )


def _longest_quick(seen: dict[int, Sighting]) -> int:
    """A length of about `_QUICK_CALLS` operators, where they grow with it."""
    longest = max(seen)
    a_token = (_calls_at(2 * longest, seen) - seen[longest].num_calls) / longest
    return longest + int((_QUICK_CALLS - seen[longest].num_calls) / a_token) if a_token > 0 else 0


def _calls_at(length: int, seen: dict[int, Sighting]) -> float:
    """Operators of a run, if they grow as from the shortest to the longest run seen, or as between the last two."""
    lengths = sorted(seen)
    longest, calls = lengths[-1], seen[lengths[-1]].num_calls
    slopes = [(calls - seen[n].num_calls) / (longest - n) for n in {*lengths[:1], *lengths[-2:-1]} - {longest}]
    return calls + max([0.0, *slopes]) * max(0, length - longest)


def _is_loop(seen: dict[int, Sighting]) -> bool:
    return len({sighting.num_calls for sighting in seen.values()}) > 1


def _agree(seen: dict[int, Sighting], blocks: Sequence[int] = ()) -> bool:
    """Whether every total but the peak, which is often piecewise, is a formula already."""
    return not _without_formula(seen, blocks)


def _without_formula(seen: dict[int, Sighting], blocks: Sequence[int]) -> list[str]:
    known = [name for name in TOTALS if name != "peak_bytes" and all(s.total(name) is not None for s in seen.values())]
    return [name for name in known if not _lifted(name, seen, blocks).exact]


def _answer(
    rung: Rung,
    T: int,
    seen: dict[int, Sighting],
    at_T: Sighting,
    failures: tuple[str, ...],
    blocks: Sequence[int] = (),
) -> Trace:
    found: dict[str, Curve] = {}
    reason = ""
    program = rung.program
    if program is not None and program.axes.fixed_length is not None:
        # A sample, for a number that holds at one length is no constant.
        why = "the program was exported for one length"
        totals = {name: at_T.total(name) for name in TOTALS}
        found = {name: Curve.samples({T: v}, why) for name, v in totals.items() if v is not None}
    elif len(seen) > 1:
        # What was derived for T takes part: a peak that lies elsewhere at short lengths must not pass for a formula.
        found = {name: _lifted(name, seen | {T: at_T}, blocks) for name in TOTALS if at_T.total(name) is not None}
    else:
        reason = "the inputs came with the module" if rung.one_length else "only one length was asked for"
    starts = [f.valid_from for name, f in found.items() if f.exact and name != "peak_bytes"]
    lookups = {length: sighting.lookups for length, sighting in seen.items()}
    short = too_short(lookups, T)
    rows = _rows(at_T)
    memory, timeline = compose(at_T.history, rung.phase) if at_T.history is not None else (None, None)

    def named(row: Row) -> str:
        return _name(row, rung.phase)

    return Trace(
        phase=rung.phase,
        B=rung.B,
        T=T,
        rung=rung.name,  # type: ignore[arg-type]
        flops=flops_of(rows, named),
        traffic=traffic_of(rows, named),
        saved=None
        if at_T.saved is None
        else Bill(Line(path or "module", size, Kind.SAVED) for path, size in at_T.saved.items()),
        params=at_T.params,
        trainable_params=at_T.trainable_params,
        state_bytes=at_T.state_bytes,
        depth=at_T.depth,
        peak_bytes=at_T.peak_bytes,
        memory=memory,
        timeline=() if timeline is None else timeline.moments,
        timeline_categories={} if timeline is None else timeline.categories,
        optimizer=rung.optimizer,
        accumulate=rung.accumulate,
        uncounted=uncounted(rows, {way: way for way in Direction} if rung.phase == "train" else None),
        coverage=coverage(rows),
        polynomials=found,
        no_polynomials=reason,
        lengths=tuple(sorted(seen)),
        range=(max(starts, default=min(seen)), max(seen)),
        failed_rungs=failures,
        conventions=rung.conventions(T) | said_of_versions(rung.module) | ({"positions": short} if short else {}),
        S=rung.source_at(T),
        dtype=rung.dtype,
        fixed_dtype=program is not None,
        rows=rows,
        weights=at_T.weights,
        trained=at_T.trained or frozenset(),
        unused=at_T.unused,
        longest=longest(lookups),
        beside=seen[max(seen)].beside,
        no_trainable="" if program is None else program.trains_unknown,
        no_saved=at_T.unseen or ("" if at_T.saved is not None else TOO_MANY),
    )


def _lifted(name: str, seen: dict[int, Sighting], blocks: Sequence[int] = ()) -> Curve:
    totals = {length: sighting.total(name) for length, sighting in seen.items()}
    return curve({length: total for length, total in totals.items() if total is not None}, blocks)


def _rows(sighting: Sighting) -> tuple[Row, ...]:
    rows = tuple(rows_of(sighting.entries, sighting.steps or {}))
    if sighting.steps is not None or not sighting.depth:
        return rows
    return (*rows, Row(name="chain", kernel=Kernel.OTHER, launches=0, steps=sighting.depth))


def _name(row: Row, phase: str) -> str:
    direction = str(row.direction) if phase == "train" else ""
    return ".".join(part for part in (direction, row.path, row.name.split("::")[-1]) if part)
