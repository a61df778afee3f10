r"""Text that somebody else wrote (names in files and modules, messages of their code) made fit to be shown.

Whatever is shown passes here: sentences of errors, cells of tables, CSV, JSON and the lines of the command. What steers
a terminal, turns the direction of writing or cannot be seen is spelt out (`\x1b`), so it can neither act nor hide.
"""

import re

# Control characters (C0, DEL, C1), marks of direction, spaces without width, separators of lines, halves of pairs.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Amounts and polynomials begin with signs, too: numbers, letters, powers, and signs between them do nothing.
_ARITHMETIC = re.compile(r"[-+−]?[\w\s.,·⌈⌉⌊⌋/^*²³⁰-⁹≥≤%+\-−]*")


def harmless(text: str) -> str:
    """The text on one line, with what cannot be seen spelt out."""
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub(lambda found: _spelt(found.group()), text)


def _spelt(sign: str) -> str:
    return sign.encode("unicode_escape", "surrogatepass").decode("ascii")


def harmless_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(harmless(line) for line in text.split("\n"))


def harmless_cell(value: object) -> object:
    """A cell of a CSV file: text that a spreadsheet would compute is quoted with an apostrophe, as they write it."""
    if not isinstance(value, str):
        return value
    text = harmless(value)
    computed = value.startswith(_FORMULA) and not (_ARITHMETIC.fullmatch(value) and value[0] in "+-")
    return f"'{text}" if computed else text


def harmless_json(text: str) -> str:
    """JSON in which what cannot be seen is escaped: the same values."""
    return text if text.isascii() else _UNSEEN.sub(lambda found: "".join(map(_escaped, found.group())), text)


def _escaped(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
