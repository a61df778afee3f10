"""Do predictions put targets in the right order? Pairs whose measured times are apart, and where they cross.

By the rules of `seqcost measure` (questions/answers/standings): only pairs whose intervals are apart have an order, and
only pairs that are apart in opposite orders at two lengths have crossed. Targets of the catalogue alone, layers among
layers and models among models.
"""

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accuracy_data import Judged

from seqcost.algebra.quantity import QUANTITIES
from seqcost.formulas.catalogue import CATALOGUE
from seqcost.questions.answers.standings import crossovers, standings

TIME = next(row.name for row in QUANTITIES.measured() if row.unit == "second")
LAYERS = ("mixer", "part", "block")
FAR = 1.2  # times that are so far apart


@dataclass
class Orders:
    """Of one phase."""

    told: int = 0  # pairs at a length that are apart
    right: int = 0
    far: int = 0  # those that are 20 % apart
    far_right: int = 0
    crossed: int = 0  # pairs that cross, as measured
    sides_right: int = 0  # and are predicted in the right order on either side
    places: tuple[float, ...] = ()  # predicted length over measured, of those that are predicted to cross likewise
    inside: int = 0  # of these, predicted to cross between the lengths at which they are told apart
    invented: int = 0  # crossings that are predicted of pairs which keep their order at every length

    def row(self, name: str) -> tuple[str, ...]:
        """As cells."""
        off = [max(place, 1 / place) for place in self.places]
        return (
            name, f"{self.told:,}", share(self.right, self.told), share(self.far_right, self.far), str(self.crossed),
            share(self.sides_right, self.crossed), share(len(self.places), self.crossed),
            share(self.inside, self.crossed), f"{statistics.median(off):.2f}" if off else "–", str(self.invented),
        )  # fmt: skip


HEADINGS = (
    "<phase", "pairs apart", "order right", "of those 20 % apart", "crossovers measured", "order right on both sides",
    "predicted too", "between the same lengths", "their lengths apart by a factor of", "predicted, not measured",
)  # fmt: skip


def share(part: int, whole: int) -> str:
    """In percent."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def orders(judged: Sequence[Judged], phase: str) -> Orders:
    """Count over widths and kinds."""
    out = Orders()
    places: list[float] = []
    for points in _alike([one for one in judged if one.job.phase == phase]):
        at = {(one.target, one.length): one for one in points}
        found = [standing for standing in standings(points) if standing.quantity == TIME]
        for standing in found:
            for order, lengths in ((-1, standing.below), (1, standing.above)):
                for T in lengths:
                    one, other = at[standing.one, T], at[standing.other, T]
                    right = (one.mid > other.mid) == (order > 0)
                    is_far = max(one.seconds / other.seconds, other.seconds / one.seconds) > FAR
                    out.told, out.right = out.told + 1, out.right + right
                    out.far, out.far_right = out.far + is_far, out.far_right + (right and is_far)
            kept = not (standing.below and standing.above) and not standing.untold
            out.invented += kept and bool(list(_crossings(points, standing.one, standing.other)))
        for crossed in crossovers(points, found):
            assert crossed.low is not None
            assert crossed.high is not None
            before, after = (
                [at[name, T].mid for name in (crossed.rising, crossed.other)] for T in (crossed.low, crossed.high)
            )
            out.crossed += 1
            out.sides_right += before[0] < before[1] and after[0] > after[1]
            likewise = [T for T, rises in _crossings(points, crossed.rising, crossed.other) if rises]
            if likewise:
                nearest = min(likewise, key=lambda T: abs(math.log(T / crossed.length)))
                places.append(nearest / crossed.length)
                out.inside += crossed.low <= nearest <= crossed.high
    out.places = tuple(places)
    return out


def _alike(judged: Sequence[Judged]) -> Iterator[list[Judged]]:
    catalogue = [one for one in judged if one.target in CATALOGUE]
    for D in sorted({one.group.D for one in catalogue}):
        for is_layer in (True, False):
            yield [one for one in catalogue if one.group.D == D and (CATALOGUE[one.target].group in LAYERS) is is_layer]


def _crossings(points: Sequence[Judged], name: str, other: str) -> Iterator[tuple[float, bool]]:
    """Lengths at which the predicted times of two cross, and whether the first rises above the second."""
    mids = {(one.target, one.length): one.mid for one in points}
    lengths = sorted(T for target, T in mids if target == name and (other, T) in mids)
    for low, high in itertools.pairwise(lengths):
        before, after = (math.log(mids[name, T] / mids[other, T]) for T in (low, high))
        if before * after < 0:
            yield math.exp(math.log(low) + before / (before - after) * math.log(high / low)), after > 0
