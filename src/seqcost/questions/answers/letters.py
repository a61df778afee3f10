"""The answer to "what is it in letters?": formulas in the length and some sizes, or the letters that refuse."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqcost.algebra.curve import Curve
from seqcost.algebra.quantity import QUANTITIES


@dataclass(frozen=True)
class Letters:
    """Costs of one target as polynomials in the length T and some of its sizes; or the letters that refuse.

    `settings` says what each letter stands for in the target, `own` its value there. Whatever has no letter keeps the
    target's own value.
    """

    target: str
    phase: str
    batch: int
    rung: str
    settings: Mapping[str, str]
    own: Mapping[str, int]
    quantities: Mapping[str, Curve]
    num_points: int
    uncounted: tuple[str, ...] = ()

    @property
    def flops(self) -> Curve:
        """FLOPs of contractions."""
        return self.quantities["flops"]

    @property
    def pointwise(self) -> Curve:
        """Pointwise operations."""
        return self.quantities["pointwise"]

    @property
    def params(self) -> Curve:
        """Scalars of all parameters, trained or frozen."""
        return self.quantities["params"]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "target": self.target,
            "phase": self.phase,
            "batch": self.batch,
            "rung": self.rung,
            "settings": {
                letter: {"setting": self.settings[letter], "own": self.own[letter]} for letter in self.settings
            },
            "quantities": {name: found.to_dict() for name, found in self.quantities.items()},
            "num_points": self.num_points,
            "uncounted": list(self.uncounted),
        }

    def to_csv(self) -> str:
        """One row per quantity: its name, and its formula or why it has none."""
        from seqcost.report.table import rows_to_csv

        return rows_to_csv([{"quantity": name, "formula": str(found)} for name, found in self.quantities.items()])

    def to_latex(self) -> str:
        r"""An `aligned` block with a row for each quantity."""
        rows = [rf"\text{{{QUANTITIES[name].label}}} &= {found.to_latex()}" for name, found in self.quantities.items()]
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def _repr_html_(self) -> str:
        from seqcost.report.notebook import letters_html

        return letters_html(self.to_dict())

    def __str__(self) -> str:
        return "\n".join(f"{name}: {found}" for name, found in self.quantities.items())
