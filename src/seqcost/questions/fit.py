"""What fits? The longest text, or the largest batch, width or number of layers, within limits of memory and time.

From the formula of the peak where there is one, else by tracing, and shown by the next size, which does not fit; time
as `predict` has it. The answer is a `Fit`: see answers/fit.
"""

from collections.abc import Mapping
from typing import Any

from seqcost.algebra.rendering import scaled
from seqcost.errors import BadSize
from seqcost.formulas.core.foreign_names import FRIENDLY
from seqcost.machines import Machine
from seqcost.machines.shelf import HERE
from seqcost.plan import Largest
from seqcost.questions.answers.fit import Asked, Fit, Timing
from seqcost.questions.asked.amounts import seconds_in
from seqcost.questions.asked.arguments import flag, one_of, sizes_in
from seqcost.questions.asked.lengths import whole
from seqcost.questions.asked.machine import calibrated_or_named, machine_in
from seqcost.questions.asked.request import DEFAULT_LENGTH, Request
from seqcost.questions.fitting.clock import Clock
from seqcost.questions.fitting.deadline import Deadline
from seqcost.questions.fitting.room import Room, room_for
from seqcost.questions.fitting.setup import Look, Setup
from seqcost.questions.fitting.solver import FINDS, Solver
from seqcost.questions.fitting.trials import trials
from seqcost.questions.targets.resolve import resolve


def fit(
    target: Any,
    *,
    memory: int | str | None = None,
    time: float | str | None = None,
    machine: str | Machine | None = None,
    find: str = "length",
    length: int | str | None = None,
    batch: int | str | None = None,
    source: int | str | None = None,
    phase: str = "train",
    dtype: Any = None,
    sizes: Mapping[str, Any] | None = None,
    optimizer: str | None = None,
    accumulate: int | str = 1,
    trace: bool = False,
    remedies: bool = True,
) -> Fit:
    """How far a target goes within limits of memory and time, and what stands at the peak.

    Parameters
    ----------
    target
        What `count` takes, but no weights alone and nothing that has its inputs with it, whose sizes are fixed.
    memory
        What tensors may take: bytes, or text ("24GiB", "80 GB"). Where not given, what the `machine` leaves them, or
        all the memory of this machine.
    time
        What one run of the phase may take as it is predicted: seconds, or text ("1h", "250ms"). The middle of the
        prediction decides; the answer tells how far its 90 % interval reaches.
    machine
        A name ("h100"; see `seqcost machines`), "here", or a file: its memory less what a process has of it before the
        first tensor comes, and its times. One with an accelerator can offload to its host. Where none is given, times
        are those of this machine as it was calibrated; a limit of time is then held against a prior if it never was.
    find
        What is looked for: "length", "batch", or a letter: "D" (width), "L" (layers).
    length, batch
        Where looked for, the size that is asked about: does it fit, and what stands at its peak? Otherwise the size at
        which something else is looked for; length 1024 and batch 1 where not given.
    source, dtype, sizes, optimizer, accumulate, trace
        As in `count`.
    remedies
        Whether to try what would make more fit: each is applied and looked at anew, by formula or by trace, at the size
        that was asked about, else at the largest that fits. Traces take seconds each.
    phase
        train (with an `optimizer` its step and states as well), forward, prefill or decode.

    Raises
    ------
    UnknownName, BadSize, BadTarget, TraceFailed, MissingExtra
        As `count` does; BadSize for a limit that the parameters alone exceed, for a time in which not even the smallest
        size runs, and for what is no size of the target; BadMachine for a machine that cannot tell the time.

    Examples
    --------
    >>> answer = fit("transformer", memory="24GiB", remedies=False)
    >>> answer.size, answer.largest.cost <= 24 * 2**30 < answer.largest.next_cost
    (123097, True)
    >>> fit("llama-2-7b", memory="24GiB", dtype="bf16", phase="decode", remedies=False).bound
    'memory'

    """
    find = one_of(FRIENDLY.get(find, find), "size to look for", FINDS)
    device = None if machine is None else machine_in(machine)
    limit_s = None if time is None else seconds_in(time, "time")
    room = room_for(memory, device)
    request = Request.of(
        phase=phase,
        batch=batch,
        source=source,
        dtype=dtype,
        optimizer=optimizer,
        accumulate=accumulate,
        trace=trace,
    ).at(None if length is None else whole(length, "length"))
    subject = resolve(target, sizes_in(sizes))
    solver = Solver(Setup(subject=subject, request=request), find)
    asked_size = {"length": request.T, "batch": request.B}.get(find)
    timer = calibrated_or_named(device) if limit_s is None else machine_in(HERE if device is None else device)
    clock = None if timer is None else Clock(timer)
    deadline = None if limit_s is None or clock is None else Deadline(solver, clock, limit_s)
    by_memory = solver.largest(room.limit_bytes)
    found = by_memory if deadline is None else deadline.cut(by_memory)
    asked = None if asked_size is None else _asked(asked_size, solver, room, deadline)
    at = asked_size or _told_at(found, solver)
    look = solver.look(at)
    _refuse_less_than_parameters(solver, look, room, memory)
    timing = None if deadline is None else deadline.told(by_memory, found)
    letter = FINDS[find]
    tried = None
    if flag(remedies, "remedies"):
        beside = device is not None and device.device != "cpu"
        tried = trials(solver, at, room.limit_bytes, accelerator=beside, clock=clock, limit_s=limit_s)
    return Fit(
        target=subject.name,
        phase=request.phase,
        dtype=look.dtype,
        find=find,
        sizes={name: size for name, size in {**look.sizes, **subject.letters()}.items() if name != letter},
        rung=look.rung,
        limit_bytes=room.limit_bytes,
        limit=room.said,
        machine=None if device is None else device.key,
        largest=found,
        positions=solver.longest if find == "length" else None,
        asked=asked,
        timing=timing,
        at=at,
        memory=look.memory,
        optimizer=request.optimizer,
        accumulate=request.accumulate,
        trials=tried,
        notes=(*_notes(by_memory, letter, request, device), *_notes_on_time(timing, found, letter, timer)),
    )


def _asked(size: int, solver: Solver, room: Room, deadline: Deadline | None) -> Asked:
    peak = solver.peak_bytes(size)
    fits = peak <= room.limit_bytes
    if deadline is None:
        return Asked(size=size, peak_bytes=peak, fits=fits)
    seconds = deadline.seconds(size).mid
    return Asked(size=size, peak_bytes=peak, fits=fits and seconds <= deadline.limit_s, seconds=seconds)


def _told_at(found: Largest, solver: Solver) -> int:
    """The size whose peak is told: the largest that fits, the smallest where none does, a usual one where all do."""
    if found.size is None:
        return found.smallest
    endless = found.next_size is None and solver.longest is None
    return min(found.size, DEFAULT_LENGTH) if endless else found.size


def _refuse_less_than_parameters(solver: Solver, look: Look, room: Room, memory: Any) -> None:
    held = 0 if look.memory is None else look.memory.categories["parameters"]
    if solver.find in ("length", "batch") and held > room.limit_bytes:
        given = f"memory = {memory} was given" if memory is not None else f"the limit is {room.said}"
        raise BadSize(
            f"{given}, and the parameters of {solver.setup.subject.name} alone take {scaled(held, 'B')} in "
            f"{look.dtype}; give more, or a narrower dtype."
        )


def _notes(found: Largest, letter: str, request: Request, device: Machine | None) -> list[str]:
    notes = []
    if device is not None and device.device != "cpu":
        notes.append("kernels are counted in the form that they have on a CPU; a device's own may take other buffers")
    if found.fits_again is not None:
        notes.append(
            f"the peak does not only grow with {letter}: {letter} = {found.next_size:,} does not fit, {letter} = "
            f"{found.fits_again:,} does again"
        )
    if found.fails_before is not None:
        notes.append(
            f"the peak does not only grow with {letter}: {letter} = {found.fails_before:,} does not fit either"
        )
    if request.phase == "train" and request.optimizer is None:
        notes.append("training ends with the gradients: no optimizer was asked for (--optimizer adamw)")
    return notes


def _notes_on_time(timing: Timing | None, found: Largest, letter: str, timer: Machine | None) -> list[str]:
    if timing is None or timer is None:
        return []
    notes = []
    if timing.odd is not None and found.size is not None:
        is_longer = timing.odd > found.size
        notes.append(
            f"the predicted time does not only grow with {letter}: {letter} = {timing.odd:,} is "
            f"{'within the limit again' if is_longer else 'not within the limit either'}"
        )
    if timer.name == HERE and not timer.is_measured:
        notes.append("this machine was never calibrated: its times are a prior and wide; run `seqcost calibrate`")
    return notes
