"""Looks by a trace: seconds each, so that few are made; and where an answer must lie, from the polynomials of one."""

from dataclasses import replace
from functools import cached_property

from seqcost.algebra.peak import alike
from seqcost.errors import BadTarget
from seqcost.plan import largest
from seqcost.questions.fitting.setup import LARGEST_TENSORS, Look, Setup
from seqcost.trace import Trace, trace

_FOLLOWED = 160  # tokens; of longer texts, operators that grow with them are not followed one by one


class Traced:
    """A setup as traces see it, at any size."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

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
        seen = followed(setup, alone=self._is_quick(setup))
        if seen.peak_bytes is None:
            raise BadTarget(
                f"{setup.subject.name} at T = {seen.T:,} is too long to follow, and its peak is no polynomial at short "
                "lengths; ask for a shorter length."
            )
        memory = seen.memory
        return Look(
            peak_bytes=seen.peak_bytes,
            memory=None if memory is None else replace(memory, tensors=alike(memory.tensors, LARGEST_TENSORS)),
            rows=seen.rows,
            rung=seen.rung,
            sizes={"B": seen.B, "T": seen.T} | ({} if seen.S is None else {"S": seen.S}),
            dtype=seen.dtype,
        )

    def _is_quick(self, setup: Setup) -> bool:
        """Whether a text of that length takes no more operators than a short one."""
        if setup.request.T is not None and setup.request.T <= _FOLLOWED:
            return True
        depth = self.basis.polynomials.get("depth")
        return depth is not None and depth.exact and depth.degree == 0


def followed(setup: Setup, *, alone: bool = False) -> Trace:
    """The trace of a setup; `alone` without the other lengths, which give functions of T."""
    setup.subject.need_reader()
    request = setup.request
    return trace(
        setup.subject.recipe(request.S),
        phase=request.phase,
        B=request.B,
        T=request.T,
        dtype=request.dtype,
        lengths=() if alone else None,
        optimizer=request.optimizer,
        accumulate=request.accumulate,
    )
