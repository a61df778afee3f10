"""How long will it take on a machine, how much memory, and what bounds it? Nothing is run.

Rows of work, by formula or from a trace, beside a machine's measured kernels: see `predict`. The answer is a
`Prediction`: see answers/prediction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from seqcost.algebra.work import Beside
from seqcost.errors import BadTarget
from seqcost.machines import Machine
from seqcost.machines.shelf import HERE
from seqcost.prediction import Timed, as_learnt, timed
from seqcost.prediction.host import VIEW
from seqcost.questions.answers.count import Count
from seqcost.questions.answers.prediction import Prediction
from seqcost.questions.asked.lengths import names_several
from seqcost.questions.asked.machine import machine_in
from seqcost.questions.asked.request import Request
from seqcost.questions.count import asked_lengths, counts_of
from seqcost.questions.targets.subject import Subject

STAYS = ("parameters", "buffers", "inputs", "state", "optimizer_state")  # categories of memory, see algebra/peak


def predict(
    target: Any,
    *,
    machine: Any = "here",
    length: int | str | Sequence[int | str] | None = None,
    batch: int | str | None = None,
    source: int | str | None = None,
    phase: str = "forward",
    dtype: Any = None,
    sizes: Mapping[str, Any] | None = None,
    inputs: Any = None,
    trace: bool = False,
    optimizer: str | None = None,
    accumulate: int | str = 1,
    threads: int | None = None,
) -> Any:
    """Time and peak memory of a target on a machine.

    Parameters
    ----------
    target
        What `count` takes; the other parameters that are not told here are those of `count`, too.
    machine
        "here" (this machine as `seqcost calibrate` left it, else a prior), a name such as "h100", the path of a .toml
        profile, or a `seqcost.machines.Machine`.
    threads
        Of a CPU: the profile that was made with so many.

    Returns
    -------
    Prediction or list of Prediction
        A list where several lengths are asked for.

    Raises
    ------
    UnknownName, BadSize, BadTarget
        For what is not allowed; BadMachine for a profile that cannot be used; what `count` raises.

    Examples
    --------
    >>> found = predict("transformer-block", length=1024, phase="train", sizes={"D": 256})
    >>> found.seconds.low < found.seconds.mid < found.seconds.high
    True

    """
    where = machine_in(machine, threads=threads)
    several = names_several(length)
    lengths = asked_lengths(length)
    request = Request.of(
        phase=phase, batch=batch, source=source, dtype=dtype, trace=trace, optimizer=optimizer, accumulate=accumulate
    )
    subject, found = counts_of(target, lengths, request, sizes, inputs)
    measurable = isinstance(target, str) and where.name == HERE and not (optimizer or source or trace)
    measurable = measurable and accumulate in (1, "1")

    def answered(one: Count) -> Prediction:
        check = _check(one, sizes or {}) if measurable else None
        return replace(predicted(one, where, beside_of(subject, one, where)), check=check)

    return [answered(one) for one in found] if several else answered(found[0])


def beside_of(subject: Subject, counted: Count, machine: Machine) -> Beside | None:
    """What a subject's caller does beside launches; None on a machine whose profile does not know what that takes."""
    return subject.beside(counted) if VIEW in machine.host else None


def predicted(counted: Count, machine: Machine, beside: Beside | None = None) -> Prediction:
    """What was counted, on a machine; `beside` is what its caller does beside launches, where that is known.

    Raises BadTarget for what runs nothing (weights alone).
    """
    if not counted.rows:
        raise BadTarget(f"{counted.target} runs nothing that could be timed; name a model.")
    found = as_learnt(by_kernels(counted, machine, beside), machine, counted.dtype, counted.phase)
    peak = counted.peak_bytes
    return Prediction(
        counted, machine, found, None if peak is None else peak + sum(size for _, size in machine.taken())
    )


def by_kernels(counted: Count, machine: Machine, beside: Beside | None = None) -> Timed:
    """The time of what was counted by the kernels of a machine alone, without what runs taught of it."""
    layers = counted.sizes.get("L") if counted.rung == "formula" else 1
    return timed(
        counted.rows,
        machine,
        counted.dtype,
        training=counted.phase == "train",
        layers=layers if isinstance(layers, int) else 1,
        peak_bytes=counted.peak_bytes,
        resident_bytes=resident_bytes((counted.memory or {}).get("categories", {})),
        beside=beside,
    )


def _check(counted: Count, sizes: Mapping[str, Any]) -> str:
    """The command that runs what was predicted."""
    words = [
        "seqcost measure", counted.target, f"--lengths {counted.sizes['T']}", f"--batch {counted.sizes['B']}",
        f"--phase {counted.phase}", f"--dtype {counted.dtype}",
        *(f"--set {letter}={value}" for letter, value in sizes.items()),
    ]  # fmt: skip
    return " ".join(words)


def resident_bytes(categories: Mapping[str, int]) -> float:
    """Bytes that are there before and after a run, of what a peak consists of."""
    return float(sum(categories.get(name, 0) for name in STAYS))
