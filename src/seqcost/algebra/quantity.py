"""The one table of what is counted and measured: its names, its unit, what it reads and where it is told.

Whatever lists quantities asks this table: answers, tables, plots, CSV, the choices of a command. A new quantity is a
row here and the code that computes it. Where it stands in the table is where it stands in every answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from seqcost.algebra.line import Kind


class Told(StrEnum):
    """Where a quantity is told."""

    COUNT = "count"  # a number of every count
    CURVE = "curve"  # a function of the length
    LETTERS = "letters"  # a formula in several letters
    DIVIDED = "divided"  # by module and by line
    COMPARED = "compared"  # a column and a plot of a comparison
    VERDICT = "verdict"  # more of it is worse: who needs less, and from which length on
    PAGE = "page"  # a row of a formula page


_SYMBOLS = {"FLOP": "FLOP", "byte": "B", "second": "s"}  # scalars and steps are bare numbers


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One thing that is counted or measured.

    `unit` is FLOP, byte, second, scalar or step. `kinds` are those of the lines that add up to it, which stand in the
    `bill` of a count; without a bill it is a number by itself. `row` is the field of a row of work that holds it.
    `measured` is the field of a run that holds it, `foretold` that of a row of an answer, as low, mid and high.
    """

    name: str
    unit: str
    label: str  # in a table of totals
    heading: str  # of a column
    title: str  # of a plot, and in a sentence
    told: tuple[Told, ...]
    kinds: tuple[Kind, ...] = ()
    bill: str = ""
    row: str = ""
    measured: str = ""
    foretold: str = ""
    page: str = ""  # label on a formula page, where it is another one
    convention: str = ""  # what is counted, in a sentence beside the number
    listed: bool = True  # its lines are among those of a count

    @property
    def symbol(self) -> str:
        """The unit as it is written behind a number; empty of scalars and steps, which are bare numbers."""
        return _SYMBOLS.get(self.unit, "")

    @property
    def page_label(self) -> str:
        """What a formula page calls it."""
        return self.page or self.label.partition(" (")[0]

    @property
    def column(self) -> str:
        """Its name in a row of plain data: of a measured one the field of a run."""
        return self.measured or self.foretold or self.name


@dataclass
class Quantities(Mapping[str, Quantity]):
    """Quantities by name, in the order in which answers tell them."""

    rows: Sequence[Quantity]

    def __getitem__(self, name: str) -> Quantity:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (row.name for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def told(self, *places: Told) -> tuple[Quantity, ...]:
        """Those that are told in all of these places."""
        return tuple(row for row in self.rows if all(place in row.told for place in places))

    def names(self, *places: Told) -> tuple[str, ...]:
        """Their names."""
        return tuple(row.name for row in self.told(*places))

    def on_pages(self) -> tuple[Quantity, ...]:
        """Those of a formula page; first what no length changes."""
        return tuple(sorted(self.told(Told.PAGE), key=lambda row: Kind.PARAMETERS not in row.kinds))

    def of_operators(self) -> tuple[Quantity, ...]:
        """Those that every operator has a part of: they are fields of a row of work."""
        return tuple(row for row in self.rows if row.row)

    def measured(self) -> tuple[Quantity, ...]:
        """Those that a run measures."""
        return tuple(row for row in self.rows if row.measured)

    def bills(self) -> tuple[str, ...]:
        """The Bills that they are read from."""
        return tuple(dict.fromkeys(row.bill for row in self.rows if row.bill))

    def of_kind(self, kind: Kind | str) -> Quantity:
        """The one that lines of a kind add up to."""
        return next(row for row in self.rows if kind in row.kinds)

    def lined(self) -> tuple[Quantity, ...]:
        """Those whose lines are among the lines of a count, each kind once."""
        kinds = dict.fromkeys(kind for row in self.rows for kind in row.kinds if row.bill and row.listed)
        return tuple(self.of_kind(kind) for kind in kinds)


_COUNT = (Told.COUNT,)
_GROWS = (Told.COUNT, Told.CURVE)

QUANTITIES = Quantities(
    (
        Quantity(
            name="flops", unit="FLOP", kinds=(Kind.CONTRACTION,), bill="flops", row="contraction",
            label="FLOPs (contractions)", heading="FLOPs", title="FLOPs of contractions", page="forward FLOPs",
            convention="contractions only (matrix products, convolutions, FFTs); pointwise operations apart",
            told=(*_GROWS, Told.LETTERS, Told.DIVIDED, Told.COMPARED, Told.VERDICT, Told.PAGE),
        ),
        Quantity(
            name="backward_flops", unit="FLOP",
            label="backward FLOPs", heading="backward", title="FLOPs of the backward pass", told=(Told.PAGE,),
        ),
        Quantity(
            name="pointwise", unit="FLOP", kinds=(Kind.POINTWISE,), bill="flops", row="pointwise",
            label="pointwise operations", heading="pointwise", title="pointwise operations",
            told=(*_GROWS, Told.LETTERS, Told.DIVIDED),
        ),
        Quantity(
            name="params", unit="scalar", kinds=(Kind.PARAMETERS,), bill="params",
            label="parameters", heading="parameters", title="parameters",
            told=(*_COUNT, Told.LETTERS, Told.DIVIDED, Told.PAGE),
        ),
        Quantity(
            name="trainable_params", unit="scalar",
            label="trainable parameters", heading="trainable", title="trainable parameters", told=_COUNT,
        ),
        Quantity(
            name="bytes_moved", unit="byte", kinds=(Kind.TRAFFIC,), bill="moved", row="bytes",
            label="bytes moved", heading="moved", title="bytes moved",
            convention="every operator reads each operand once and writes each result once",
            told=(*_GROWS, Told.DIVIDED, Told.COMPARED, Told.VERDICT, Told.PAGE),
        ),
        Quantity(
            name="saved_bytes", unit="byte", kinds=(Kind.SAVED,), bill="saved",
            label="kept for backward", heading="kept", title="bytes kept for backward",
            told=(*_GROWS, Told.DIVIDED, Told.COMPARED, Told.VERDICT, Told.PAGE),
        ),
        Quantity(
            name="state_bytes", unit="byte", kinds=(Kind.STATE,), bill="state",
            label="carried state", heading="state", title="carried state (cache)",
            told=(*_GROWS, Told.COMPARED, Told.VERDICT, Told.PAGE),
        ),
        Quantity(
            name="peak_bytes", unit="byte",
            label="peak memory", heading="peak", title="peak memory",
            told=(*_GROWS, Told.COMPARED, Told.VERDICT),
        ),
        Quantity(
            name="step_flops", unit="FLOP",
            label="FLOPs of a decoding step", heading="step", title="FLOPs of a decoding step", told=(Told.PAGE,),
        ),
        Quantity(
            name="depth", unit="step", kinds=(Kind.DEPTH,), bill="depth", listed=False,
            label="depth (operators)", heading="depth", title="depth: dependent operators",
            convention="longest chain of dependent operators; a fused recurrent kernel is one per token",
            told=(*_GROWS, Told.COMPARED, Told.PAGE),
        ),
        Quantity(
            name="path_length", unit="step", kinds=(Kind.PATH,),
            label="path length", heading="path", title="path between two positions", told=(Told.COMPARED, Told.PAGE),
        ),
        Quantity(
            name="predicted time", unit="second", foretold="predicted_s",
            label="predicted time", heading="predicted", title="predicted time", told=(Told.COMPARED, Told.VERDICT),
        ),
        Quantity(
            name="time", unit="second", measured="median_s",
            label="measured time", heading="time", title="measured time", told=(Told.COMPARED, Told.VERDICT),
        ),
        Quantity(
            name="peak memory", unit="byte", measured="peak_allocated_bytes",
            label="measured peak memory", heading="measured peak", title="measured peak of allocated memory",
            told=(Told.COMPARED, Told.VERDICT),
        ),
    )
)  # fmt: skip
