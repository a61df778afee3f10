"""What a formula becomes as one of its letters grows.

Works on SymPy expressions; rounding up is dropped (⌈T/C⌉ → T/C), minima, maxima and cases take the side that wins.
"""

from typing import TYPE_CHECKING

from seqcost.algebra.expr import Size, is_symbolic, symbol

if TYPE_CHECKING:
    import sympy


def leading_term(formula: Size, letter: str) -> Size:
    """Term of `formula` that dominates as `letter` grows, its coefficient included.

    A formula without the letter (a plain number too) is its own leading term.
    """
    if not is_symbolic(formula):
        return formula
    import sympy

    x = symbol(letter)
    smooth = sympy.expand(_smooth(formula, x))
    if not smooth.has(x):
        return sympy.factor(smooth)
    if smooth.is_polynomial(x):
        poly = sympy.Poly(smooth, x)
        return sympy.factor(poly.LC()) * x ** poly.degree()
    # T·log T and the like: compare the terms pairwise by their limit at infinity.
    terms = sympy.Add.make_args(sympy.expand(smooth, log=True))
    lead = terms[0]
    for term in terms[1:]:
        ratio = sympy.limit(sympy.Abs(term / lead), x, sympy.oo)
        if ratio == sympy.oo:
            lead = term
        elif ratio != 0:
            lead = lead + term
    return sympy.factor(lead)


def _smooth(formula: "sympy.Expr", x: "sympy.Symbol") -> "sympy.Expr":
    import sympy

    def case(*branches: "sympy.Tuple") -> "sympy.Expr":
        # The first case that holds from some size on; a relation of other letters counts as not holding.
        return next((value for value, condition in branches if _holds(condition, x)), branches[-1][0])

    def winner(*sides: "sympy.Expr", of: type) -> "sympy.Expr":
        # Sides that differ by a bounded amount, or in other letters only, stay side by side.
        best = list(sides[:1])
        for side in sides[1:]:
            difference = side - best[0]
            # Other letters are sizes of more than 1, so that W − 1 and 1 − 1/C have a sign.
            above = {letter: letter + 2 for letter in difference.free_symbols - {x}}
            grows = sympy.limit(difference.subs(above, simultaneous=True), x, sympy.oo)
            if grows == (sympy.oo if of is sympy.Max else -sympy.oo):
                best = [side]
            elif grows not in (sympy.oo, -sympy.oo):
                best.append(side)
        return of(*best)

    formula = _unrounded(formula.replace(sympy.Piecewise, case))
    formula = formula.replace(sympy.Min, lambda *sides: winner(*sides, of=sympy.Min))
    return formula.replace(sympy.Max, lambda *sides: winner(*sides, of=sympy.Max))


def _unrounded(formula: "sympy.Expr") -> "sympy.Expr":
    import sympy

    return formula.replace(sympy.ceiling, lambda inner: inner).replace(sympy.floor, lambda inner: inner)


def _holds(condition: "sympy.Basic", x: "sympy.Symbol") -> bool:
    import sympy

    if not isinstance(condition, sympy.core.relational.Relational):
        return bool(condition == sympy.true)
    if not condition.has(x):
        return False
    grows = sympy.limit(_unrounded(condition.lhs - condition.rhs), x, sympy.oo)
    if isinstance(condition, sympy.StrictGreaterThan | sympy.GreaterThan):
        return bool(grows == sympy.oo)
    if isinstance(condition, sympy.StrictLessThan | sympy.LessThan):
        return bool(grows == -sympy.oo)
    return False
