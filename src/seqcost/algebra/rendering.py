"""Amounts and Bills as text, LaTeX, HTML and plain data. Prefixes and digits live here and nowhere below.

Inside the program bytes are bytes and seconds seconds; GiB, GFLOP and ms are made on this page.
"""

import html
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from seqcost.algebra.expr import Size, is_array, is_symbolic
from seqcost.algebra.line import Kind, Line

_SI = ("", "k", "M", "G", "T", "P", "E", "Z", "Y", "R", "Q")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi", "Ri", "Qi")


def scaled(value: float | Fraction, unit: str, digits: int = 3) -> str:
    """`291648307200, "FLOP"` → `292 GFLOP`; bytes take binary prefixes, the rest decimal ones."""
    binary = unit in ("B", "byte")
    base, prefixes = (1024, _BINARY) if binary else (1000, _SI)
    shown = "B" if binary else unit
    if value < 0:
        return "-" + scaled(-value, unit, digits)
    if isinstance(value, float) and (value != value or value == float("inf")):
        return f"{value} {shown}".strip()
    step = 0
    # Fractions of exact ints: a float would round 10^30 before it is shown.
    size = Fraction(value)
    while size >= base and step < len(prefixes) - 1:
        size /= base
        step += 1
    if size >= base * 1000:
        return f"{Decimal(int(value)):.{digits - 1}e} {shown}".strip()  # a float ends at 10^308
    if round(float(size), 0) >= base and step < len(prefixes) - 1:
        size /= base
        step += 1
    number = f"{float(size):.{digits}g}"
    if "e" in number:
        number = f"{float(size):.0f}"
    if step == 0 and size.denominator == 1:
        number = str(size.numerator)
    return f"{number} {prefixes[step]}{shown}".strip()


def seconds(value: float) -> str:
    """`0.00213` → `2.13 ms`."""
    units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
    rounded = float(f"{value:.3g}")  # before the unit is chosen: 0.9999 s are 1 s, not 1000 ms
    factor, unit = next((pair for pair in units if rounded >= pair[0]), units[-1])
    number = float(f"{rounded / factor:.3g}")
    return f"{number:.0f} {unit}" if number >= 100 else f"{number:g} {unit}"


def size_to_text(amount: Size) -> str:
    """An exact number with thousands separators, or the formula."""
    if isinstance(amount, Fraction) and amount.denominator == 1:
        amount = amount.numerator
    if isinstance(amount, int):
        return f"{amount:,}"
    if is_symbolic(amount):
        return formula_to_text(amount)
    if is_array(amount):
        return f"{amount.min():.4g} … {amount.max():.4g} ({amount.size} points)"
    return str(amount)


def formula_to_text(amount: Any) -> str:
    """A SymPy expression as a person writes it: `4·B·D·T² + 8·B·D²·T`, highest powers first."""
    import sympy

    expression = sympy.expand(amount)
    if len(str(expression)) > len(str(sympy.factor(amount))) * 1.5:
        expression = sympy.factor(amount)
    text = _brackets(sympy.sstr(expression, order="grlex"))
    for power, sign in (("**2", "²"), ("**3", "³"), ("**4", "⁴")):
        text = text.replace(power, sign)
    text = re.sub(r"log\((\w+)\)/log\(2\)", r"log₂ \1", text)
    return _PRODUCT.sub(_ordered, text.replace("**", "^").replace("*", "·"))


# Sequences and layers first, then the sizes of a layer, the vocabulary, tokens last: L·D², D·U·T, D·T².
_LETTERS = "BLHGDFEKVNMAJRCWUPST"
_PRODUCT = re.compile(r"(?:(?<![\w·)⌉^])|(?<=\())(?:[A-Za-z0-9]\w*[²³⁴]?)(?:·[A-Za-z]\w*[²³⁴]?(?![\w(^]))+")


def _ordered(product: re.Match[str]) -> str:
    """The factors of a product in the one order of letters; words and numbers before them, as they were."""

    def place(factor: str) -> int:
        letter = factor.rstrip("²³⁴")
        return _LETTERS.index(letter) if len(letter) == 1 and letter in _LETTERS else -1

    return "·".join(sorted(product[0].split("·"), key=place))


_BRACKETS = {"ceiling": ("⌈", "⌉"), "floor": ("⌊", "⌋")}


def _brackets(text: str) -> str:
    """`ceiling(T/C)` → `⌈T/C⌉`, inner ones too."""
    for word, (left, right) in _BRACKETS.items():
        while (start := text.rfind(f"{word}(")) >= 0:
            opened = start + len(word)
            end, depth = opened, 0
            for end in range(opened, len(text)):
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                if depth == 0:
                    break
            text = f"{text[:start]}{left}{text[opened + 1 : end]}{right}{text[end + 1 :]}"
    return text


def formula_to_latex(amount: Size) -> str:
    """LaTeX of an amount; plain numbers with thin spaces."""
    if is_symbolic(amount):
        import sympy

        return str(sympy.latex(sympy.expand(amount), order="grlex"))
    return size_to_text(amount).replace(",", r"\,")


def plain(amount: Size) -> Any:
    """JSON-able: ints stay ints of any size, Fractions and formulas become strings, sweeps lists."""
    if isinstance(amount, Fraction):
        return int(amount) if amount.denominator == 1 else str(amount)
    if is_array(amount):
        return [plain(value) for value in amount.tolist()]
    return str(amount) if is_symbolic(amount) else amount


def lines_to_dict(lines: Sequence[Line]) -> dict[str, Any]:
    """See `Bill.to_dict`."""
    rows = [
        {"name": line.name, "kind": str(line.kind), "amount": plain(line.amount)}
        | ({"note": line.note} if line.note else {})
        for line in lines
    ]
    totals = {str(kind): plain(total) for kind, total in totals_by_kind(lines).items()}
    total = 0 if not totals else next(iter(totals.values())) if len(totals) == 1 else None
    return {"unit": _unit(lines), "total": total, "totals": totals, "lines": rows}


def lines_to_text(lines: Sequence[Line]) -> str:
    """See `Bill.__str__`."""
    rows = [(line.name, size_to_text(line.amount), line.note) for line in lines]
    rows += [(title, size_to_text(total), _unit(lines)) for title, total in titled_totals(lines)]
    names, amounts = max(len(r[0]) for r in rows), max(len(r[1]) for r in rows)
    return "\n".join(f"{name:<{names}}  {amount:>{amounts}}  {note}".rstrip() for name, amount, note in rows)


def lines_to_latex(lines: Sequence[Line]) -> str:
    """See `Bill.to_latex`."""
    rows = [rf"\text{{{_tex(line.name)}}} &= {formula_to_latex(line.amount)}" for line in lines]
    rows += [rf"\text{{{title}}} &= {formula_to_latex(total)}" for title, total in titled_totals(lines)]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


def lines_to_html(lines: Sequence[Line]) -> str:
    """See `Bill.to_html`."""

    def row(tag: str, name: str, amount: str, note: str) -> str:
        cells = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in (name, amount, note))
        return f"<tr>{cells}</tr>"

    body = "".join(row("td", line.name, size_to_text(line.amount), line.note) for line in lines)
    foot = "".join(row("th", title, size_to_text(total), _unit(lines)) for title, total in titled_totals(lines))
    return f'<table class="bill"><tbody>{body}</tbody><tfoot>{foot}</tfoot></table>'


def _unit(lines: Sequence[Line]) -> str:
    return lines[0].kind.unit if lines else ""


def totals_by_kind(lines: Sequence[Line]) -> dict[Kind, Size]:
    """Contractions and pointwise operations, which have one unit, are never added to each other."""
    kinds = {line.kind for line in lines}
    totals: dict[Kind, Size] = {kind: 0 for kind in Kind if kind in kinds}  # contractions first
    for line in lines:
        totals[line.kind] += line.amount
    return totals


def titled_totals(lines: Sequence[Line]) -> list[tuple[str, Size]]:
    """Title and amount of each total of a bill."""
    totals = totals_by_kind(lines)
    if len(totals) < 2:
        return [("total", sum(totals.values(), start=0))]
    return [(f"total {kind}", totals[kind]) for kind in sorted(totals)]


_TEX = str.maketrans({sign: rf"\{sign}" for sign in "_%&#${}"} | {"\\": r"\backslash{}", "^": r"\^{}", "~": r"\~{}"})


def _tex(text: str) -> str:
    r"""A name inside of `\text{}`: every sign that means something to TeX is escaped."""
    return text.translate(_TEX)
