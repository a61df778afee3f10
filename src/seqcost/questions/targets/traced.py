"""Counts from a trace: code, a live module, or the working layer of an architecture. This page needs PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqcost.algebra import Bill, Kind
from seqcost.errors import BadTarget
from seqcost.programs import Target
from seqcost.questions.answers.count import Bills, Count, conventions
from seqcost.questions.answers.followed import Followed
from seqcost.questions.answers.unused import unused_rows
from seqcost.questions.targets.hub_cache import cached_configuration, names_a_model
from seqcost.questions.targets.kinds import formula_of, spec_of
from seqcost.questions.targets.weights import disagreement
from seqcost.trace import Trace, trace

EXPERTS = "no token is dropped, so FLOPs do not depend on how evenly the router fills them; bytes are of all experts"


def count_traced(
    target: Any,
    sizes: Mapping[str, Any],
    *,
    inputs: Any,
    lengths: Sequence[int | None],
    batch: int | None,
    source: int | None,
    phase: str,
    dtype: str | None,
    optimizer: str | None = None,
    accumulate: int = 1,
) -> list[Count]:
    """One Count a length; the module is built once for each.

    A length, batch or data type of None is the target's own.
    """
    letters: dict[str, Any] = {}
    if isinstance(target, str):
        if inputs is not None:
            raise BadTarget(
                f"inputs were given for {target!r}; only a live module takes them: have it return (module, inputs)."
            )
        config = formula_of(target, sizes)
        letters = {} if config is None else {k: v for k, v in config.sizes().items() if v is not None}
        wanted = Target.of_spec(spec_of(target, sizes, source=source))
    else:
        if sizes:
            raise BadTarget("sizes were given for a live module; they belong to architectures and presets by name.")
        if source is not None:
            raise BadTarget("a source was given for a live module; give its tokens among inputs=(…).")
        wanted = Target.of_module(target, inputs)

    def seen(T: int | None) -> Trace:
        return trace(wanted, phase=phase, B=batch, T=T, dtype=dtype, optimizer=optimizer, accumulate=accumulate)

    answers = [_answer(wanted, letters, seen(T), dtype) for T in lengths]
    if not isinstance(target, str):
        return answers
    if Path(target).is_dir():
        return [_beside_weights(answer) for answer in answers]
    return [_of_the_cache(answer) for answer in answers] if names_a_model(target) else answers


def _of_the_cache(answer: Count) -> Count:
    """The answer of a model by its name on the hub, with the revision that it is of."""
    found = cached_configuration(answer.target)
    said = {} if found is None else {"configuration": f"of the hub's cache, revision {found.parent.name}"}
    return replace(answer, conventions={**answer.conventions, **said})


def _beside_weights(answer: Count) -> Count:
    """The answer of a folder, with a word where the weights that lie there are not those of its configuration."""
    found = disagreement(Path(answer.target), answer.params)
    return answer if found is None else replace(answer, conventions={**answer.conventions, "weights": found})


def _answer(target: Target, letters: Mapping[str, Any], seen: Trace, dtype: str | None) -> Count:
    uncounted: list[Mapping[str, Any]] = [
        {"operator": entry.operator, "path": entry.path, "calls": entry.calls, "bytes": entry.moved_bytes}
        for entry in seen.uncounted
    ]
    if seen.trainable_params is None:
        uncounted.append({"quantity": "trainable_params", "reason": seen.no_trainable})
    if seen.state_bytes is None:
        uncounted.append({"quantity": "state_bytes", "reason": "the module carries no state that a trace can see"})
    if seen.saved is None:
        uncounted.append({"quantity": "saved_bytes", "reason": seen.no_saved})
    if seen.peak_bytes is None:
        uncounted.append({"quantity": "peak_bytes", "reason": "too long to follow, and no polynomial at short lengths"})
    if seen.memory is None:
        reason = "the run at this length was derived from shorter ones, which keep no account of every block"
        uncounted.append({"quantity": "memory", "reason": reason})
    if seen.no_polynomials:
        uncounted.append({"quantity": "polynomials", "reason": seen.no_polynomials})
    operators, moved = 100 * seen.coverage.operators, 100 * seen.coverage.moved_bytes
    if seen.fixed_dtype and dtype not in (None, seen.dtype):
        raise BadTarget(
            f"dtype {dtype} was asked of {target.name}, a program that holds {seen.dtype}; export it in that type."
        )
    declared = {**conventions(), **seen.conventions}
    declared["coverage"] = f"{operators:.4g} % of operators, {moved:.4g} % of bytes"
    if seen.phase == "train":
        declared["step"] = _step(seen)
        if seen.no_trainable:
            declared["trained"] = f"every floating-point parameter: {seen.no_trainable}"
    if any("_grouped_mm" in line.name for line in seen.flops):
        declared["experts"] = EXPERTS
    if seen.extrapolated:
        declared["extrapolated"] = (
            f"extrapolated from T ≤ {seen.seen_to:,}: the cost at T = {seen.T:,} is that of formulas"
        )
    at = {"B": seen.B, "T": seen.T} | ({} if seen.S is None else {"S": seen.S})
    bills = Bills(
        flops=seen.flops,
        params=Bill.of(Kind.PARAMETERS, module=seen.params),
        moved=seen.traffic,
        saved=seen.saved,
        state=None if seen.state_bytes is None else Bill.of(Kind.STATE, state=seen.state_bytes),
        depth=Bill.of(Kind.DEPTH, chain=seen.depth),
    )
    return Count(
        target=target.name,
        sizes=at | dict(letters),
        phase=seen.phase,
        dtype=seen.dtype,
        rung=seen.rung,
        bills=bills,
        numbers={"trainable_params": seen.trainable_params, "peak_bytes": seen.peak_bytes},
        uncounted=tuple(uncounted),
        polynomials=seen.polynomials,
        conventions=declared,
        memory=None if seen.memory is None else seen.memory.to_dict(),
        timeline=_timeline(seen),
        optimizer=seen.optimizer,
        accumulate=seen.accumulate,
        seen_to=seen.seen_to,
        unused=unused_rows(seen.unused, seen.weights, seen.params),
        origin=Followed(seen),
    )


def _step(seen: Trace) -> str:
    passes = (
        f"{seen.accumulate} passes forward and backward over B sequences each"
        if seen.accumulate > 1
        else ("one pass forward and backward")
    )
    return f"{passes}, then {f'a step of {seen.optimizer}' if seen.optimizer else 'no step of an optimizer'}"


def _timeline(seen: Trace) -> Mapping[str, Any] | None:
    if not seen.timeline:
        return None
    categories = {name: list(sizes) for name, sizes in seen.timeline_categories.items()}
    return {"moments": [list(row) for row in seen.timeline], "categories": categories}
