"""What a claim comes to: its formula, its figures with where each is from, and a verdict that follows from them.

A verdict is read off the figures by the claim's rule, so that another machine may give another one. What was not
measured is None with the reason, and a rule that needs it says "not told".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from seqcost.algebra.rendering import plain, scaled, seconds
from seqcost.records import Environment

BUSY = "others kept the machine busy; measure again with --again"


class Verdict(StrEnum):
    """What may be said of a claim."""

    TRUE = "true"
    WHEN = "true when"
    FALSE = "false"
    OPEN = "not told"


class Source(StrEnum):
    """Where a figure is from."""

    FORMULA = "formula"
    MEASURED = "measured here"
    RUN = "run here"  # a layer was run and its tensors or results were looked at


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number: what it is, its unit, and how it came about. `low` and `high` bound what was measured."""

    what: str
    value: Any
    unit: str = ""
    source: Source = Source.FORMULA
    low: float | None = None
    high: float | None = None
    busy: bool = False  # others kept the machine busy meanwhile
    why: str = ""  # there is no value

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return self.value is not None

    @property
    def undisturbed(self) -> "Figure":
        """The same, unknown where others kept the machine busy: such a time tells nothing."""
        return replace(self, value=None, low=None, high=None, why=BUSY) if self.busy else self

    @property
    def least(self) -> Any:
        """The low end of what it may be; the value itself where it has no interval."""
        return self.value if self.low is None else self.low

    @property
    def most(self) -> Any:
        """The high end of what it may be."""
        return self.value if self.high is None else self.high

    def over(self, number: float) -> "Figure":
        """A share of it: seconds of T tokens over T are seconds a token."""
        if not self.known:
            return self
        low = None if self.low is None else self.low / number
        high = None if self.high is None else self.high / number
        return replace(self, value=self.value / number, low=low, high=high)

    @property
    def interval(self) -> str:
        """From low to high, in words; empty where there is no interval."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.text(self.low)} to {self.text(self.high)}"

    def text(self, value: Any) -> str:
        """A number of this figure's unit."""
        if isinstance(value, str):
            return value
        if self.unit == "s":
            return _long(value)
        if self.unit in ("B", "FLOP", "FLOP/s"):
            return scaled(value, self.unit)
        number = f"{int(value):,}" if float(value).is_integer() and abs(value) < 10**15 else _short(float(value))
        return f"{number}{'·' if self.unit == 'D' else ' '}{self.unit}".strip()

    def __str__(self) -> str:
        return self.text(self.value) if self.known else "—"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        out = {
            "what": self.what,
            "value": plain(self.value),
            "unit": self.unit,
            "source": str(self.source),
            "interval": None if self.low is None else [self.low, self.high],
            "text": str(self),
            "interval_text": self.interval,
        }
        return out | ({"busy": True} if self.busy else {}) | ({"why": self.why} if self.why else {})


Figures = Mapping[str, Figure]


@dataclass(frozen=True)
class Ruling:
    """A verdict and the sentence that goes with it; after "true when" the sentence is the condition."""

    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Plotted:
    """One curve of a picture."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Picture:
    """Curves over the length, in one unit."""

    title: str
    unit: str
    curves: tuple[Plotted, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        curves = [
            {"name": one.name, **{key: list(getattr(one, key)) for key in ("x", "y", "low", "high")}}
            for one in self.curves
        ]
        return {"title": self.title, "unit": self.unit, "curves": curves}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a claim, before it is judged."""

    formulas: tuple[str, ...]
    figures: Figures
    pictures: tuple[Picture, ...] = ()
    beyond: str = ""  # what of the claim these figures do not show


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim with its evidence and verdict. `number` is its place in the list, None of a question that users ask."""

    number: int | None
    text: str
    evidence: Evidence
    ruling: Ruling
    asked_in: tuple[str, ...] = ()  # threads in which users ask it

    @property
    def verdict(self) -> Verdict:
        """True, true when, false, or not told."""
        return self.ruling.verdict

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "number": self.number,
            "claim": self.text,
            "asked_in": list(self.asked_in),
            "verdict": str(self.verdict),
            "sentence": self.ruling.sentence,
            "formulas": list(self.evidence.formulas),
            "figures": {name: figure.to_dict() for name, figure in self.evidence.figures.items()},
            "beyond": self.evidence.beyond,
            "pictures": [picture.to_dict() for picture in self.evidence.pictures],
        }


@dataclass(frozen=True)
class Claims:
    """The claims that were asked for, judged on this machine."""

    claims: tuple[Claim, ...]
    environment: Environment
    quick: bool
    busy: tuple[str, ...] = field(default=())  # runs that others disturbed

    @classmethod
    def of(cls, claims: Any, environment: Environment, *, quick: bool, busy: Any = ()) -> Self:
        """From any sequences."""
        return cls(tuple(claims), environment, quick, tuple(busy))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "claims": [claim.to_dict() for claim in self.claims],
            "quick": self.quick,
            "busy": list(self.busy),
            "environment": self.environment.to_dict(),
        }

    def __str__(self) -> str:
        from seqcost.report.claims import tables
        from seqcost.report.table import as_text

        return as_text(tables(self.to_dict()))

    def _repr_html_(self) -> str:
        from seqcost.report.claims import tables
        from seqcost.report.notebook import in_notebook

        return in_notebook(tables(self.to_dict()))


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _long(value: float) -> str:
    """Seconds; from two hours on in hours, days or years."""
    for name, size in (("years", 365.25 * 86400), ("days", 86400.0), ("hours", 3600.0)):
        if value >= 2 * size:
            return f"{_short(value / size)} {name}"
    return seconds(value)
