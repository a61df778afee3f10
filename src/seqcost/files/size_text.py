"""The size of an axis as PyTorch writes it, `Mul(Integer(2), Symbol('s44', integer=True))`, as plain text: `2*s44`.

It is read as data: a tree of a few constructors, names and numbers, and never evaluated. What an axis is made of
elsewhere in this program is numbers and names joined by + - * //.
"""

import ast

from seqcost.errors import BadTarget

MOST_LETTERS = 2000
MOST_DIGITS = 18
MOST_POWER = 8
_JOINED = {"Add": "+", "Mul": "*"}


def size_text(text: object, target: str) -> int | str:
    """A number, or an expression in names; raises BadTarget for anything else."""
    try:
        if not isinstance(text, str) or len(text) > MOST_LETTERS:
            raise ValueError("no text, or too long a one")
        found = _read(ast.parse(text.strip(), mode="eval").body)
        if len(found) > MOST_LETTERS:
            raise ValueError("too long")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        shown = str(text)[:80]
        raise BadTarget(
            f"an axis of {target} has the size {shown!r}; a number, a name, or names joined by + - * // is allowed."
        ) from None
    return int(found) if found.isdecimal() else found


def _read(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return _number(node.value)
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return f"-{_read(node.operand)}"
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        return f"({_read(node.left)}{_SIGNS[type(node.op)]}{_read(node.right)})"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _called(node.func.id, node)
    raise ValueError(type(node).__name__)


_SIGNS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//"}


def _called(name: str, node: ast.Call) -> str:
    arguments = node.args
    if name == "Symbol" and len(arguments) == 1 and isinstance(arguments[0], ast.Constant):
        symbol = arguments[0].value  # what is assumed of it (positive=True) stands in the keywords
        if isinstance(symbol, str) and symbol.isidentifier():
            return symbol
    elif node.keywords:
        raise ValueError("keywords")
    elif name == "Integer" and len(arguments) == 1:
        return _read(arguments[0])
    elif name in _JOINED and arguments:
        return f"({_JOINED[name].join(_read(argument) for argument in arguments)})"
    elif name in ("FloorDiv", "CleanDiv") and len(arguments) == 2:
        return f"({_read(arguments[0])}//{_read(arguments[1])})"
    elif name == "Pow" and len(arguments) == 2:
        power = _read(arguments[1])
        if power.isdecimal() and 1 <= int(power) <= MOST_POWER:
            return f"({'*'.join([_read(arguments[0])] * int(power))})"
    raise ValueError(name)


def _number(value: object) -> str:
    if type(value) is not int or len(str(value)) > MOST_DIGITS:
        raise ValueError("no whole number, or a long one")
    return str(value)
