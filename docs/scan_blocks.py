"""FLOPs of Mamba's scan in the counts that are in use, beside what our forms execute. No torch here."""

from fractions import Fraction

from seqcost.algebra import Kind, leading_term, symbols
from seqcost.algebra.rendering import size_to_text
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure
from seqcost.formulas.mixers.mamba import Mamba
from seqcost.report.table import Table

T = 2048
# Conventions of others: multiples of B·T·E·N.
OTHERS = {
    "by hand, the exponential left out": (6, "δA, (δx)B, decay ⊙ h, +, C h and its sum"),
    "by hand, the exponential as 1": (7, "the same and exp(δA)"),
    "of Hugging Face's slow path, likewise": (8, "B is discretised first: δB, then times x"),
    "of the authors": (9, "a prefix scan of 2·T associative operations at 3, and 3 around it"),
}


def flops() -> str:
    """Each count a token, and for one layer of mamba-130m at T tokens."""
    E, N, B, t = symbols("ENBT").values()
    layer = configure("mamba-130m").mixers[0]
    rows = []
    for name, (each, what) in OTHERS.items():
        rows.append((name, size_to_text(each * E * N), f"{each * T * layer.E * layer.N:,}", f"{each:.2f}", what))
    for form, what in (
        ("sequential", "as the first two, and δx"),
        ("chunked", "each chunk twice: for its end, then from its start; the carry; Σδ"),
    ):
        # Widths do not meet the letters of the scan.
        general = Mamba(D=1, E=E, N=N, form=form).recurrence_flops(Workload(B=B, T=t)).total(*Kind)
        exact = Mamba(D=layer.D, form=form).recurrence_flops(Workload(T=T)).total(*Kind)
        ratio = Fraction(exact, T * layer.E * layer.N)
        token = size_to_text((leading_term(general, "T") / (B * t)).expand())
        rows.append((f"executed here, {form}", token, f"{exact:,}", f"{float(ratio):.2f}", what))
    headings = ("<count", "FLOPs per token", f"one layer of mamba-130m, T = {T:,}", "over B·T·E·N", "<what is in it")
    return Table.of("", headings, rows).to_markdown()
