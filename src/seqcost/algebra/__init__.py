"""Size expressions and the Bill: what every other room speaks in. No torch.

expr          int, NumPy and SymPy read alike          work       rows: groups of equal kernel launches
bill          named lines that add, scale, group, rank      quantity   the table of all that is counted
curve         a cost as a function of sizes                lift       curves from exact values
asymptotics   leading terms                               multilift  the same in several letters
rendering     text, LaTeX, HTML, dict                      crossings  where one curve overtakes another
"""

from seqcost.algebra.asymptotics import leading_term as leading_term
from seqcost.algebra.bill import Bill as Bill
from seqcost.algebra.curve import Curve as Curve
from seqcost.algebra.expr import Size as Size
from seqcost.algebra.expr import ceil_div as ceil_div
from seqcost.algebra.expr import maximum as maximum
from seqcost.algebra.expr import minimum as minimum
from seqcost.algebra.expr import sweep as sweep
from seqcost.algebra.expr import symbol as symbol
from seqcost.algebra.expr import symbols as symbols
from seqcost.algebra.expr import where as where
from seqcost.algebra.lift import fit as fit
from seqcost.algebra.lift import lift as lift
from seqcost.algebra.line import Kind as Kind
from seqcost.algebra.line import Line as Line

__all__ = [
    "Bill", "Curve", "Kind", "Line", "Size", "ceil_div", "fit", "leading_term", "lift", "maximum",
    "minimum", "sweep", "symbol", "symbols", "where",
]  # fmt: skip
