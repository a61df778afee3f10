"""Formulas and amounts of the catalogue as claims read them: one sequence, the usual sizes of `bench`."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import zip_longest
from math import log
from typing import Any

from seqcost.algebra import Curve, Kind, Size, symbol
from seqcost.algebra.rendering import size_to_text
from seqcost.questions.answers.claims import Figure, Picture, Plotted
from seqcost.questions.answers.count import Count
from seqcost.questions.asked.request import Request
from seqcost.questions.claiming.bench import fitting, usual
from seqcost.questions.explain import explain
from seqcost.questions.targets.resolve import resolve
from seqcost.questions.targets.subject import Subject

LENGTHS = tuple(2**power for power in range(6, 21, 2))  # 64 … 1,048,576


def counted(name: str, T: int, *, phase: str = "forward", dtype: str = "float32", B: int = 1, **sizes: Any) -> Count:
    """The count of a name at a length, by formula; a preset keeps its sizes."""
    subject = _subject(name, tuple(sorted((fitting(name, usual(name)) | sizes).items())))
    return subject.counted(Request.of(phase=phase, dtype=dtype, batch=B).at(T))


@cache
def _subject(name: str, sizes: tuple[tuple[str, Any], ...]) -> Subject:
    return resolve(name, dict(sizes))


def curve(name: str, quantity: str, *, phase: str = "forward", **sizes: Any) -> Curve:
    """A quantity as a function of T."""
    return counted(name, 1024, phase=phase, **sizes).polynomials[quantity]


def grown(name: str, quantity: str, *, phase: str = "forward", **sizes: Any) -> int:
    """Power of T by which a quantity grows: of its formula, else as it grows at last."""
    found = curve(name, quantity, phase=phase, **sizes)
    if found.exact:
        return found.degree
    before, last = (float(counted(name, T, phase=phase, **sizes).amount(quantity)) for T in LENGTHS[-2:])
    return round(log(last / before) / log(LENGTHS[-1] / LENGTHS[-2]))


def formula(name: str, question: str = "flops", *kinds: Kind) -> Size:
    """The total of a question with letters left open, B = 1: contractions where it counts FLOPs."""
    bill = explain(name).sections[0].bills[question]
    wanted = kinds or ((Kind.CONTRACTION,) if question in ("flops", "step_flops") else ())
    return bill.substitute(B=1).total(*wanted)


def line_formulas(name: str) -> dict[str, Size]:
    """Contractions of a layer, a line each, B = 1."""
    bill = explain(name).sections[0].bills["flops"].substitute(B=1)
    return {line.name: line.amount for line in bill.only(Kind.CONTRACTION)}


def written(what: str, amount: Size) -> str:
    """`FLOPs = 24·D²·T + 4·D·T²`."""
    return f"{what} = {size_to_text(amount)}"


def per_power(amount: Size, letter: str = "T") -> dict[int, Size]:
    """Coefficients of a polynomial by the power of a letter."""
    import sympy

    found = sympy.Poly(sympy.expand(amount), symbol(letter))
    return {power: coefficient for (power,), coefficient in found.terms()}


def figure(what: str, value: Any, unit: str = "") -> Figure:
    """By formula."""
    return Figure(what=what, value=value, unit=unit)


def drawn(
    title: str,
    unit: str,
    quantity: str,
    names: Mapping[str, str],
    *,
    phase: str = "forward",
    sizes: Sequence[Mapping[str, Any]] = (),
    per_token: bool = False,
) -> Picture:
    """Curves of a quantity over the length, of names of the catalogue by what they are called in the picture."""
    curves = []
    nothing: dict[str, Any] = {}
    for (called, name), own in zip_longest(names.items(), sizes, fillvalue=nothing):
        amounts = [counted(name, T, phase=phase, **own).amount(quantity) for T in LENGTHS]
        y = tuple(float(n) / (T if per_token else 1) for n, T in zip(amounts, LENGTHS, strict=True))
        curves.append(Plotted(called, tuple(map(float, LENGTHS)), y))
    return Picture(title, unit, tuple(curves))
