"""Complexity, sequential operations and maximum path of one layer, as Vaswani et al. (2017, table 1) set them out.

The table is read off the formulas: leading terms as the sequence grows, constants dropped.
"""

from seqcost.algebra import Kind, Size, leading_term, symbol, symbols
from seqcost.algebra.expr import is_symbolic
from seqcost.algebra.rendering import formula_to_text, size_to_text
from seqcost.formulas.catalogue import Entry, entry
from seqcost.formulas.core.workload import Workload


def complexity_row(name: str) -> dict[str, str]:
    """One row of Vaswani et al., Table 1, from the formulas: what one layer costs as the length grows.

    Complexity is the leading term of the FLOPs of mixing positions in one layer, without its constant; sequential
    operations and maximum path are leading terms in T, without theirs.
    """
    found = entry(name)
    layer = entry(found.layer) if found.layer else found
    config = layer.make(**symbols(_free_letters(layer)))
    T = symbol("T")
    run = Workload(T=T, S=config.source_tokens(T) if config.takes_source else 0)
    flops = config.flops(run)
    return {
        "target": name,
        "layer": found.layer or name,
        "complexity": order(flops.total(Kind.CONTRACTION), "T"),
        "leading_flops": size_to_text(flops.leading("T", Kind.CONTRACTION)),
        "sequential": order(config.depth(run).total(), "T"),
        "path": order(config.path_length(run).total(), "T"),
    }


def _free_letters(layer: Entry) -> list[str]:
    """The width, and every letter that does not follow it: hidden and feed-forward widths take their defaults."""
    D = layer.make().sizes()["D"]
    sizes, wider = layer.make().sizes(), layer.make(D=2 * D).sizes()
    return [letter for letter in layer.symbols if letter == "D" or (sizes[letter] == wider[letter] is not None)]


def growth(formula: Size, letter: str) -> str:
    """O(…) of a formula in one letter alone: O(T²), O(T log T), O(1)."""
    lead = leading_term(formula, letter)
    if not is_symbolic(lead) or not lead.has(symbol(letter)):
        return "O(1)"
    import sympy

    (grown,) = {term.as_independent(symbol(letter))[1] for term in sympy.Add.make_args(sympy.expand(lead))}
    return f"O({formula_to_text(grown)})"


def order(formula: Size, letter: str) -> str:
    """O(…) of a formula as a letter grows: its leading term, the constant factor dropped."""
    lead = leading_term(formula, letter)
    if not is_symbolic(lead) or not lead.has(symbol(letter)):
        return "O(1)"
    import sympy

    # Of a sum of products each term stays, without its number: 8·D·N + 8·N² → D·N + N².
    parts = [term.as_independent(symbol(letter)) for term in sympy.Add.make_args(sympy.expand(lead))]
    (growth,) = {dependent for _, dependent in parts}
    factors = {c.as_independent(*c.free_symbols, as_Add=False)[1] for c, _ in parts}
    if len(factors) == 1:
        return f"O({formula_to_text(factors.pop() * growth)})"
    return f"O(({formula_to_text(sympy.Add(*factors))})·{formula_to_text(growth)})"
