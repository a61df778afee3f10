"""Looks by a trace: seconds each, so that few are made; and where an answer must lie, from the polynomials of one."""

from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from math import prod

from seqcost.algebra.formats import ITEMSIZE
from seqcost.algebra.peak import alike
from seqcost.errors import BadTarget
from seqcost.plan import largest
from seqcost.questions.fitting.setup import LARGEST_TENSORS, SHARDS, Look, Setup
from seqcost.trace import Trace, trace

_BLOCK, _LEFT_ALONE = 256, 4096  # values of 8 bits to a float32 beside them; smaller tensors stay as they are
_FOLLOWED = 160  # tokens; of longer texts, operators that grow with them are not followed one by one


class Traced:
    """A setup as traces see it, at any size.

    `quick` says, where that is known, whether a long text takes no more operators than a short one.
    """

    def __init__(self, setup: Setup, *, quick: bool | None = None) -> None:
        self._setup, self._known_quick = setup, quick

    @cached_property
    def basis(self) -> Trace:
        """At its own length, or the usual one, with its functions of T."""
        return followed(self._setup)

    @property
    def longest(self) -> int | None:
        """Tokens that a table of positions reaches for; None where none was seen to end."""
        return self.basis.longest

    def guess(self, limit: int) -> int | None:
        """The length at which the peak, as a function of T, meets a limit; None where it is no function."""
        curve = self.basis.polynomials.get("peak_bytes")
        if curve is None or not curve.exact:
            return None
        found = largest(lambda T: int(curve(T)), limit)
        return None if found.size is None else found.size

    def look(self, setup: Setup) -> Look:
        """Of the same target at another size; followed alone where that is quick, else as a trace does it."""
        seen = followed(setup, alone=self.is_quick(setup))
        if seen.peak_bytes is None:
            raise BadTarget(
                f"{setup.subject.name} at T = {seen.T:,} is too long to follow, and its peak is no polynomial at short "
                "lengths; ask for a shorter length."
            )
        memory = seen.memory
        return Look(
            peak_bytes=seen.peak_bytes - _spared(seen, setup.states),
            memory=None if memory is None else replace(memory, tensors=alike(memory.tensors, LARGEST_TENSORS)),
            work=((seen.rows, Fraction(1)),),
            rung=seen.rung,
            sizes={"B": seen.B, "T": seen.T} | ({} if seen.S is None else {"S": seen.S}),
            dtype=seen.dtype,
        )

    def is_quick(self, setup: Setup) -> bool:
        """Whether a text of that length takes no more operators than a short one."""
        if self._known_quick is not None:
            return self._known_quick
        if setup.request.T is not None and setup.request.T <= _FOLLOWED:
            return True
        depth = self.basis.polynomials.get("depth")
        return depth is not None and depth.exact and depth.degree == 0


def _spared(seen: Trace, states: str) -> int:
    """Bytes of the optimizer's states that are not there: arithmetic, see remedies."""
    if not states:
        return 0
    if seen.memory is None:
        raise BadTarget(f"the states of the optimizer at T = {seen.T:,} are not known; ask for a shorter length.")
    held = seen.memory.categories["optimizer_state"]
    if states == "sharded":
        return held - -(-held // SHARDS)
    itemsize = ITEMSIZE[seen.dtype]
    sizes = [prod(shape) for name, shape in seen.weights.items() if name in seen.trained]
    return sum(2 * (n * itemsize - n - 4 * -(-n // _BLOCK)) for n in sizes if n >= _LEFT_ALONE)


def followed(setup: Setup, *, alone: bool = False) -> Trace:
    """The trace of a setup; `alone` without the other lengths, which give functions of T."""
    setup.subject.need_reader()
    request = setup.request
    return trace(
        replace(setup.subject.recipe(request.S), changes=setup.changes),
        phase=request.phase,
        B=request.B,
        T=request.T,
        dtype=request.dtype,
        lengths=() if alone else None,
        optimizer=request.optimizer,
        accumulate=request.accumulate,
    )
