"""From a target to its cost: the rungs in turn, the lengths to look at, and the polynomials behind the numbers.

The module is run at a few lengths, awkward and well spread, and at the length asked for. Where the number of
operators grows with the length (a loop over time in Python or ATen) only short lengths are run, and the answer at T is
the value of the polynomials. Every polynomial has spare points that agree, else the samples themselves are reported.

A run with a symbolic length is not the first rung but a second opinion: see `symbolic`, which gives the reasons.
"""

from collections.abc import Sequence
from fractions import Fraction

from seqcost.algebra import Bill, Kind, Line, Polynomial, Samples, lift
from seqcost.errors import BadSize, BadTarget, SeqcostError, TraceFailed
from seqcost.trace.composition import compose
from seqcost.trace.fakes import unlogged
from seqcost.trace.ledger import Entry, Key, Shown
from seqcost.trace.program import check_phase
from seqcost.trace.result import Alike, Booked, Coverage, Trace, Uncounted
from seqcost.trace.rungs import Rung, fake_rung, real_rung, untouched_random_state
from seqcost.trace.sighting import TOTALS, Sighting, extrapolate
from seqcost.trace.targets import Target
from seqcost.trace.training import check_training

# Odd and even, a power of two and one beyond: what depends on divisibility or on rounding up shows itself. With the
# length asked for they determine a quadratic and leave two spare; the further ones are run only where those disagree.
_FIRST_LENGTHS = (8, 17)
_LENGTHS = (64, 129)
_FEWER_LENGTHS = _LENGTHS[:1]  # for a model of very many operators: one spare point instead of two
_MANY_OPERATORS = 4000
_FURTHER_LENGTHS = (33, 100, 192)
_SHORT_LENGTHS = (11, 24, 40)  # for a model that refuses long ones
_LOOP_LENGTHS = (11, 24, 33)
_FURTHER_LOOP_LENGTHS = (14, 29, 40)
_LONGEST_LOOP = 160  # steps of a loop over time that are still followed one by one
LONGEST_REAL = 160


def trace(
    target: Target,
    *,
    phase: str,
    B: int,
    T: int,
    dtype: str = "float32",
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
        Batch and sequence length.
    dtype
        Of the parameters and features; a live module keeps its own.
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
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise BadSize(f"{letter} = {size!r} was given; a whole number of at least 1 is allowed.")
    failures: list[str] = []
    with untouched_random_state(), unlogged():
        rungs = [fake_rung(target, phase=phase, B=B, dtype=dtype)]
        if not target.shapes_only:  # without values there is nothing real to run
            rungs.append(real_rung(target, phase=phase, B=B, dtype=dtype, longest=LONGEST_REAL))
        for rung in rungs:
            rung.optimizer, rung.accumulate, rung.asked = optimizer, accumulate, T
            try:
                return _climb(rung, T, lengths, tuple(failures))
            except SeqcostError as error:
                if not isinstance(error, TraceFailed):
                    raise  # a sentence for the user already
                failures.append(f"{rung.name}: {error}")
            except Exception as error:  # noqa: BLE001 - the module's own code runs here and may raise anything
                failures.append(f"{rung.name}: {_sentence(error)}")
    raise TraceFailed(f"{target.name} could not be traced ({'; '.join(failures)}); mend the module or its inputs.")


def _climb(rung: Rung, T: int, lengths: Sequence[int] | None, failures: tuple[str, ...]) -> Trace:
    seen: dict[int, Sighting] = {}
    if rung.longest is None or rung.longest >= T:
        first = lengths[:1] if lengths else (() if lengths is not None else _FIRST_LENGTHS)
        _look(rung, first, seen)
        if not _is_loop(seen) or T <= _LONGEST_LOOP or rung.one_length:
            seen[T] = rung.look(T)
    else:
        _look(rung, lengths or _FIRST_LENGTHS, seen)
    fixed = rung.program is not None and rung.program.axes.fixed_length is not None
    if rung.one_length or fixed:
        return _answer(rung, T, {T: seen[T]}, seen[T], failures)
    loop = _is_loop(seen)
    usual = _FEWER_LENGTHS if max(s.num_calls for s in seen.values()) > _MANY_OPERATORS else _LENGTHS
    _look(rung, lengths if lengths is not None else (_LOOP_LENGTHS if loop else usual), seen)
    if lengths is None and not _agree(seen):
        _look(rung, _FURTHER_LOOP_LENGTHS if loop else _FURTHER_LENGTHS, seen)
        if len(seen) < len(_FIRST_LENGTHS) + len(usual) + 1:
            _look(rung, _SHORT_LENGTHS, seen)
    at_T = seen.get(T) or extrapolate(seen, T)
    if at_T is None:
        if rung.longest is not None:
            raise TraceFailed(f"no polynomial passes through its cost at the lengths {sorted(seen)}")
        at_T = seen[T] = rung.look(T)
    return _answer(rung, T, seen, at_T, failures)


def _look(rung: Rung, lengths: Sequence[int], seen: dict[int, Sighting]) -> None:
    refused: Exception | None = None
    for length in lengths:
        if length in seen:
            continue
        try:
            seen[length] = rung.look(length)
        except BadTarget:
            raise
        except Exception as error:  # noqa: BLE001 - a model may refuse lengths; the one asked for decides
            refused = error
        if rung.one_length:
            return
    if not seen and lengths and refused is not None and rung.longest is not None:
        raise refused


def _is_loop(seen: dict[int, Sighting]) -> bool:
    return len({sighting.num_calls for sighting in seen.values()}) > 1


def _agree(seen: dict[int, Sighting]) -> bool:
    """Whether every total but the peak, which is often piecewise, is a polynomial already."""
    known = [name for name in TOTALS if name != "peak_bytes" and all(s.total(name) is not None for s in seen.values())]
    return all(isinstance(_lifted(name, seen), Polynomial) for name in known)


def _answer(rung: Rung, T: int, seen: dict[int, Sighting], at_T: Sighting, failures: tuple[str, ...]) -> Trace:
    found: dict[str, Polynomial | Samples] = {}
    reason = ""
    program = rung.program
    if program is not None and program.axes.fixed_length is not None:
        # A sample, for a number that holds at one length is no constant.
        why = "the program was exported for one length"
        totals = {name: at_T.total(name) for name in TOTALS}
        found = {name: Samples("T", {T: Fraction(v)}, why) for name, v in totals.items() if v is not None}
    elif len(seen) > 1:
        # What was derived for T takes part: a peak that lies elsewhere at short lengths must not pass for a formula.
        found = {name: _lifted(name, seen | {T: at_T}) for name in TOTALS if at_T.total(name) is not None}
    else:
        reason = "the inputs came with the module" if rung.one_length else "only one length was asked for"
    starts = [f.valid_from for name, f in found.items() if isinstance(f, Polynomial) and name != "peak_bytes"]
    calls, moved = at_T.num_calls, at_T.total("bytes_moved") or 0
    unknown = [(key, entry) for key, entry in at_T.entries.items() if not entry.known]
    memory, timeline = compose(at_T.history, rung.phase) if at_T.history is not None else (None, None)
    missing = sum(entry.calls for _, entry in unknown), sum(entry.moved_bytes for _, entry in unknown)
    return Trace(
        phase=rung.phase,
        B=rung.B,
        T=T,
        rung=rung.name,  # type: ignore[arg-type]
        flops=Bill(_flop_lines(at_T, rung.phase)),
        traffic=Bill(
            Line(_name(key, rung.phase), entry.moved_bytes, Kind.TRAFFIC)
            for key, entry in at_T.entries.items()
            if entry.moved_bytes
        ),
        saved=None
        if at_T.saved is None
        else Bill(Line(path or "module", size, Kind.SAVED) for path, size in at_T.saved.items()),
        params=at_T.params,
        state_bytes=at_T.state_bytes,
        depth=at_T.depth,
        peak_bytes=at_T.peak_bytes,
        memory=memory,
        timeline=() if timeline is None else timeline.moments,
        timeline_categories={} if timeline is None else timeline.categories,
        optimizer=rung.optimizer,
        accumulate=rung.accumulate,
        uncounted=tuple(
            Uncounted(key[2], _name(key, rung.phase).rpartition(".")[0], entry.calls, entry.moved_bytes)
            for key, entry in unknown
        ),
        coverage=Coverage(1 - missing[0] / calls if calls else 1.0, 1 - missing[1] / moved if moved else 1.0),
        polynomials=found,
        no_polynomials=reason,
        lengths=tuple(sorted(seen)),
        range=(max(starts, default=min(seen)), max(seen)),
        failed_rungs=failures,
        conventions={} if program is None else program.axes.conventions,
        own_dtype=None if program is None else program.dtype,
        operators=tuple(_booked(key, entry) for key, entry in at_T.entries.items()),
        weights=at_T.weights or {},
    )


def _booked(key: Key, entry: Entry) -> Booked:
    alike = (
        Alike(_plain(operands), _plain(results), *(int(amount) for amount in amounts))
        for (operands, results), amounts in entry.by_shapes.items()
    )
    return Booked(
        *key,
        calls=int(entry.calls),
        contraction=int(entry.contraction),
        pointwise=int(entry.pointwise),
        moved_bytes=int(entry.moved_bytes),
        alike=tuple(alike),
    )


def _plain(tensors: Shown) -> tuple[tuple[tuple[int, ...], int], ...]:
    return tuple((tuple(int(n) for n in shape), dtype.itemsize) for shape, dtype in tensors)


def _lifted(name: str, seen: dict[int, Sighting]) -> Polynomial | Samples:
    totals = {length: sighting.total(name) for length, sighting in seen.items()}
    values = {length: Fraction(total) for length, total in totals.items() if total is not None}
    return lift(lambda length: values[length], sorted(values))


def _flop_lines(sighting: Sighting, phase: str) -> list[Line]:
    lines = []
    for key, entry in sighting.entries.items():
        if entry.contraction:
            lines.append(Line(_name(key, phase), entry.contraction, Kind.CONTRACTION))
        if entry.pointwise:
            lines.append(Line(_name(key, phase), entry.pointwise, Kind.POINTWISE))
    return lines


def _name(key: Key, phase: str) -> str:
    direction, path, operator = key
    return ".".join(part for part in (direction if phase == "train" else "", path, operator.split("::")[-1]) if part)


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300].rstrip(".")
    return f"{type(error).__name__}, {text}" if text else type(error).__name__
