"""Are they true? The claims that circulate about Transformers, RNNs and what replaces them, judged on this machine.

Each has its formula, derived from the catalogue's, figures measured or run here, and a verdict that a rule reads off
those figures: another machine may come to another one. Not covered: how good a trained model is.
"""

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from seqcost.errors import BadSize, shortened
from seqcost.extras import need
from seqcost.progress import tell
from seqcost.questions.answers.claims import Claims
from seqcost.questions.asked.arguments import flag
from seqcost.questions.asked.runs import Runs
from seqcost.questions.claiming import forms, learning, mamba, memory, recurrences, transformers
from seqcost.questions.claiming.asked import Asked
from seqcost.questions.claiming.bench import filled
from seqcost.records import this_environment

if TYPE_CHECKING:
    from seqcost.measure import Limits

_ROOMS = (transformers, recurrences, forms, learning, memory)
CLAIMS: dict[int, Asked] = dict(sorted((one.number, one) for room in _ROOMS for one in room.CLAIMS if one.number))
PROCESSES = 2  # of each run: the least that gives an interval


def claims(
    numbers: Iterable[int] | int | None = None,
    *,
    quick: bool = False,
    processes: int | str = PROCESSES,
    store: str | os.PathLike[str] | None = None,
    limits: "Limits | None" = None,
    again: bool = False,
    on_start: Callable[[Any], object] | None = None,
) -> Claims:
    """Judge claims on this machine.

    Parameters
    ----------
    numbers
        Which of them, 1 to 20; all, and the questions that users ask, where nothing is given.
    quick
        Start no runs: what is on record stands, small pieces are run in this process, the rest is "not told".
    processes, store, limits, again
        As in `measure`.
    on_start
        Called with each job before it is run, and with each claim before it is judged.

    Raises
    ------
    BadSize
        For a number that no claim has.
    MissingExtra
        Where PyTorch is not installed.

    Examples
    --------
    >>> (answer,) = claims(1, quick=True).claims
    >>> str(answer.verdict), answer.evidence.formulas[1]
    ('true when', 'the two terms are equal at T = 6·D')

    """
    asked = _asked(numbers)
    quick = flag(quick, "quick")
    how = Runs.of(processes=processes, retries=0, limits=limits, store=store, again=again)
    need("torch", "claims are looked at with layers that run, which")
    bench = filled((run for one in asked for run in one.runs), how, quick=quick, on_start=on_start)
    answered = []
    for one in asked:
        if on_start is not None:
            on_start(told(one))
        tell(told(one))
        answered.append(one.answered(bench))
    busy = [str(run.job) for run in bench.runs.values() if run.is_disturbed]
    return Claims.of(answered, this_environment(), quick=quick, busy=busy)


def told(one: Asked) -> str:
    """What is judged, in a few words."""
    return "judging a question of users" if one.number is None else f"judging claim {one.number}"


def _asked(numbers: Any) -> list[Asked]:
    if numbers is None:
        return [*CLAIMS.values(), mamba.QUESTION]
    several = isinstance(numbers, Iterable) and not isinstance(numbers, str)
    given: list[Any] = list(numbers) if several else [numbers]
    if not given:
        raise BadSize(f"no claim was given; give numbers from 1 to {len(CLAIMS)}, or None for all of them.")
    for number in given:
        if not isinstance(number, int) or isinstance(number, bool) or number not in CLAIMS:
            raise BadSize(f"claim {shortened(number)} was given; whole numbers from 1 to {len(CLAIMS)} are allowed.")
    return [CLAIMS[number] for number in sorted(set(given))]
