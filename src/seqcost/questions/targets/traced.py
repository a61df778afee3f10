"""Counts from a trace: of code, a live module, a file, the layer of an architecture. This page needs PyTorch."""

from collections.abc import Mapping
from typing import Any

from seqcost.algebra import Bill, Kind
from seqcost.errors import BadSize, BadTarget
from seqcost.programs import Target
from seqcost.questions.answers.count import Bills, Count, conventions
from seqcost.questions.answers.followed import Followed
from seqcost.questions.answers.unused import unused_rows
from seqcost.questions.asked.request import Request
from seqcost.trace import Trace, trace

EXPERTS = "no token is dropped, so FLOPs do not depend on how evenly the router fills them; bytes are of all experts"


def followed(wanted: Target, letters: Mapping[str, Any], request: Request) -> Count:
    """What following a target gives; a length, batch or data type of None is the target's own."""
    if request.causal == "half":
        raise BadSize("causal='half' was asked of a trace; a trace counts what runs: use 'full', or a formula.")
    seen = trace(
        wanted,
        phase=request.phase,
        B=request.B,
        T=request.T,
        dtype=request.dtype,
        optimizer=request.optimizer,
        accumulate=request.accumulate,
    )
    return answer_of(wanted, letters, seen, request.dtype)


def answer_of(target: Target, letters: Mapping[str, Any], seen: Trace, dtype: str | None) -> Count:
    """A trace as the answer to what a target costs; `dtype` is what was asked for, None where nothing was."""
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
