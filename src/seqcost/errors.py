"""What can go wrong by a user's hand; the lowest floor.

SeqcostError (ValueError)
 ├── UnknownName     a target, preset, letter or question that does not exist
 ├── BadSize         a size that is not a whole number, or out of range, or does not divide
 ├── BadTarget       a module, callable, file or text that cannot be used
 ├── BadMachine      a profile of a machine with a value that cannot be, or is missing
 ├── TraceFailed     every rung of the ladder failed
 ├── RunFailed       a measured run could not be started at all
 └── MissingExtra    an optional dependency is not installed (an ImportError, too)

Each message is one sentence: what was given, what is allowed, what to do. Errors of our own making are
asserts, never these.
"""

import difflib
from collections.abc import Iterable

from seqcost.foreign import harmless

# What a target's own code may raise. `sys.exit()` in it is no `Exception`, and must not end a caller's program.
FOREIGN_ERRORS: tuple[type[BaseException], ...] = (Exception, SystemExit)


def one_line(error: BaseException, *, most: int | None = None) -> str:
    """The text of somebody else's error as a part of a sentence: on one line, cut, without its full stop."""
    return " ".join(str(error).split())[:most].rstrip(".")


def with_type(error: BaseException, *, most: int | None = None, after: str = ": ") -> str:
    """The same after the error's type; the type alone where there is no text."""
    return after.join(part for part in (type(error).__name__, one_line(error, most=most)) if part)


MOST_DIGITS = 1000  # of a size: its square and more can be printed, which Python does up to 4300 digits
_MOST_SHOWN = 60
_MOST_NAMED = 100  # of a registry, in a sentence


def shortened(given: object) -> str:
    """What was given, as a sentence quotes it: a long text or number by its two ends."""
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) >= 10**MOST_DIGITS:
        return f"a number of over {MOST_DIGITS:,} digits"
    text = repr(given)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN // 2]}…{text[-_MOST_SHOWN // 4 :]}"


class SeqcostError(ValueError):
    """Base of every error that a user can mend; its sentence stands on one line, whatever names it quotes."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__(harmless(sentence))


class SeqcostWarning(UserWarning):
    """What a user should know although there is an answer."""


class UnknownName(SeqcostError):
    """A name that is not in a registry."""

    @classmethod
    def among(cls, what: str, given: object, allowed: Iterable[str]) -> "UnknownName":
        """Sentence for a failed look-up: names the near misses, else all that is allowed."""
        allowed = sorted(allowed)
        near = difflib.get_close_matches(given, allowed, n=3, cutoff=0.6) if isinstance(given, str) else []
        if not near and len(allowed) > _MOST_NAMED and isinstance(given, str):
            closest = difflib.get_close_matches(given, allowed, n=6, cutoff=0.0)
            return cls(f"unknown {what} {shortened(given)}: nearest of the {len(allowed):,}: {', '.join(closest)}.")
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(allowed)}."
        return cls(f"unknown {what} {shortened(given)}: {hint}")


class BadSize(SeqcostError):
    """A size that a formula or a layer cannot take."""


class BadTarget(SeqcostError):
    """A target, file or text that cannot be used."""


class BadMachine(SeqcostError):
    """A profile of a machine that cannot be used: a value is missing, impossible, or in another unit."""


class TraceFailed(SeqcostError):
    """No rung of the ladder could carry the module."""


class MachineBusy(SeqcostError):
    """Other processes keep the machine busy, so that what is measured on it now could not be trusted."""


class RunFailed(SeqcostError):
    """A measured run that could not be started."""


class MissingExtra(SeqcostError, ImportError):
    """An optional dependency that is not installed; see `seqcost.extras` for the lines that bring them."""
