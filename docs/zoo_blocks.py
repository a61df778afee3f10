"""Tables over all architectures: what each costs in every question, and the papers' complexity tables beside ours."""

from formula_blocks import section_of

import seqcost
from seqcost.algebra import Kind, leading_term, symbol
from seqcost.algebra.quantity import QUANTITIES
from seqcost.algebra.rendering import size_to_text
from seqcost.formulas.architectures import MIXERS
from seqcost.questions.answers.complexity import order
from seqcost.report.table import Table

ASKED = [QUANTITIES[name] for name in ("params", "flops", "saved_bytes", "state_bytes", "depth", "path_length")]


def zoo() -> str:
    """Architecture × question, the leading term in T of each."""
    rows = []
    for name, mixer in MIXERS.items():
        section = section_of(f"{name}-layer")
        cells = [size_to_text(section.leading(q.name)) if q.name in section.bills else "—" for q in ASKED]
        rows.append((f"[{name}]({mixer.page}.md)", *cells))
    return Table.of("", ("<architecture", *(q.page_label for q in ASKED)), rows).to_markdown()


# Tay et al. 2020, arXiv 2009.06732, table 1: complexity of the models that stand here, as printed there.
TAY = {
    "Transformer": ("attention", "N²"),
    "Reformer": ("lsh", "N log N"),
    "Longformer": ("window", "N(k + m)"),
    "ETC": ("etc", "N_g² + N·N_g"),
    "BigBird": ("bigbird", "N"),
    "Linear Transformer": ("linear-attention", "N"),
}


def tay() -> str:
    """The papers' complexity beside the order of our contractions, and what mixing costs with our defaults."""
    T = symbol("T")
    rows = []
    for model, (name, printed) in TAY.items():
        if name not in MIXERS:
            continue
        section = section_of(f"{name}-layer")
        lead = section.leading("flops")
        counts = seqcost.count(f"{name}-layer", length=[2**12, 2**13])
        growth = counts[1].flops / counts[0].flops
        depth = leading_term(section.bills["depth"].total(), "T")
        rows.append(
            (
                model,
                f"[{name}]({MIXERS[name].page}.md)",
                printed,
                order(section.bills["flops"].total(Kind.CONTRACTION), "T"),
                size_to_text(lead),
                f"{growth:.2f}",
                size_to_text(depth) if hasattr(depth, "has") and depth.has(T) else "constant",
            )
        )
    headings = ("<model", "<here", "<printed", "<ours", "leading FLOPs", "8k over 4k", "depth")
    return Table.of("", headings, rows).to_markdown()
