"""How did a number of a count come about? Its steps, which add up to it: lines of a formula, operators of a trace.

What can be told is known to where the count is from (`Origin`): a formula gives each line in letters and with the
sizes put in, a trace each operator with its shapes. This page picks the steps of a path and holds the sum against the
number of the count.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from seqcost.algebra import Size
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.algebra.rendering import plain
from seqcost.algebra.work import Beside, Row
from seqcost.errors import BadTarget, UnknownName, shortened


@dataclass(frozen=True, kw_only=True)
class Step:
    """A part of a number. `amount` is of all calls; `expression` and `numbers` of one of them."""

    path: str
    amount: Size
    operator: str = ""
    direction: str = ""  # forward, backward or optimizer, in the phase train
    shapes: str = ""
    expression: str = ""  # in letters
    numbers: str = ""  # with the sizes put in
    calls: int = 1
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"amount": plain(self.amount)}


class Origin(Protocol):
    """Where a count is from, and what it can tell besides the totals."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows of work."""

    @property
    def beside(self) -> Beside | None:
        """What the caller does beside launches; None of formulas, which do not tell."""

    def steps(self, quantity: str) -> Sequence[Step]:
        """What adds up to a quantity. Raises BadTarget where it has no parts."""

    def amounts(self, quantity: str) -> Iterable[tuple[str, Size]]:
        """The same, without words: by path of a module or line."""

    def operators(self) -> Sequence[Mapping[str, Any]]:
        """Rows `name`, `calls` and every quantity of operators; raises BadTarget where it knows none."""


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """The steps of one quantity, or of its part under `path`; they add up to `total`.

    `whole` is the number of the count, which `total` is where no path was given.
    """

    target: str
    quantity: str
    path: str
    rung: str
    total: Size
    whole: Size
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "target": self.target,
            "quantity": self.quantity,
            "path": self.path,
            "rung": self.rung,
            "total": plain(self.total),
            "whole": plain(self.whole),
            "steps": [step.to_dict() for step in self.steps],
        }

    def to_csv(self) -> str:
        """One row per step."""
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(self.to_dict()["steps"])

    def __str__(self) -> str:
        from seqcost.report.derivations import derivation_table

        return derivation_table(self.to_dict()).to_text()

    def __rich__(self) -> Any:
        from seqcost.report.derivations import derivation_table

        return derivation_table(self.to_dict())

    def _repr_html_(self) -> str:
        from seqcost.report.derivations import derivation_table
        from seqcost.report.notebook import in_notebook

        return in_notebook([derivation_table(self.to_dict())])


def derive(count: Any, quantity: str, path: str = "") -> Derivation:
    """The steps behind a number of a `Count`; `path` keeps to a module or line and what is below it.

    Raises UnknownName for a quantity or path that does not exist, BadTarget for one that the count cannot tell.
    """
    check_quantity(quantity)
    if not isinstance(path, str):
        raise UnknownName(f"path = {shortened(path)} was given; the path of a module or line is allowed, as text.")
    whole = known(count, quantity)
    steps = _at_peak(count) if quantity == "peak_bytes" else tuple(origin_of(count).steps(quantity))
    found = sum((step.amount for step in steps), start=0)
    assert found == whole, f"the steps of {quantity} add up to {found}, not to {whole}"
    if path:
        if quantity == "peak_bytes":
            raise BadTarget("peak_bytes is of one moment of the whole run and has no part under a path; leave it out.")
        kept = tuple(step for step in steps if step.path == path or step.path.startswith(path + "."))
        if not kept:
            raise _no_path(path, quantity, {step.path for step in steps})
        steps = kept
    return Derivation(
        target=count.target,
        quantity=quantity,
        path=path,
        rung=count.rung,
        total=sum((step.amount for step in steps), start=0),
        whole=whole,
        steps=steps,
    )


def check_quantity(quantity: str) -> None:
    """Refuse what is no quantity."""
    if quantity not in QUANTITIES.names(Told.COUNT):
        raise UnknownName.among("quantity", str(quantity), QUANTITIES.names(Told.COUNT))


def origin_of(count: Any) -> Origin:
    """Where a count is from; a count that was put together by hand cannot tell."""
    origin: Origin | None = count.origin
    if origin is None:
        raise BadTarget(f"this count of {count.target} does not say how it was made; ask seqcost.count for it.")
    return origin


def known(count: Any, quantity: str) -> Size:
    """A number of a count, or a sentence with the reason why there is none."""
    value = count.amount(quantity)
    if value is None:
        reasons = (row["reason"] for row in count.uncounted if row.get("quantity") == quantity)
        reason = str(next(reasons, "its source does not tell")).rstrip(".")
        raise BadTarget(f"{quantity} of {count.target} is not known: {reason}.")
    return value


def _at_peak(count: Any) -> tuple[Step, ...]:
    """What was alive at the peak: by category, saved activations by module."""
    memory = count.memory
    if memory is None:
        reasons = (row["reason"] for row in count.uncounted if row.get("quantity") == "memory")
        raise BadTarget(f"what the peak of {count.target} consists of is not known: {next(reasons, 'no account')}.")
    at = memory["at"]
    when = f"alive in {at['phase']} during {at['operator']}{' of ' + at['path'] if at['path'] else ''}"
    steps = []
    for name, size in memory["categories"].items():
        modules = memory["saved_by_module"] if name == "saved_activations" else {}
        steps += [Step(path=path, amount=part, operator=name, note=when) for path, part in modules.items()]
        if rest := size - sum(modules.values()):
            steps.append(Step(path="", amount=rest, operator=name, note=when))
    return tuple(steps)


def _no_path(path: str, quantity: str, paths: Iterable[str]) -> UnknownName:
    """Names near paths: those that end alike, those that are spelt alike, else where one can begin."""
    prefixes = sorted({prefix for name in paths for prefix in _prefixes(name)})
    ending = [name for name in prefixes if name.endswith("." + path)]
    near = ending[:3] or difflib.get_close_matches(path, prefixes, n=3, cutoff=0.6)
    if near:
        return UnknownName(f"no part of {quantity} lies under {path!r}: did you mean {' or '.join(near)}?")
    tops = sorted({name.partition(".")[0] for name in prefixes})
    names = ", ".join(tops[:8]) + (", …" if len(tops) > 8 else "")
    return UnknownName(f"no part of {quantity} lies under {path!r}: choose one that begins with {names}.")


def _prefixes(path: str) -> Iterator[str]:
    parts = path.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1) if path)
