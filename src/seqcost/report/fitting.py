"""A table in the width there is: words wrap between words, names are shortened in the middle, columns give way last.

A number is never cut: a column of numbers either stands whole or is left out and named below the table.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_NAME = 18  # a name keeps this much before a column is left out for it


@dataclass(frozen=True)
class Fit:
    """Which columns stand, how wide each may be, and which were left out."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]  # of the shown ones
    left_out: tuple[int, ...]


def fit(columns: Sequence[Sequence[str]], numbers: Sequence[bool], available: int, gap: int = 2) -> Fit:
    """How columns of cells, their heading first, share a width; the first column always stands.

    `numbers` says which columns hold numbers; the others hold names and words.
    """
    shown = list(range(len(columns)))
    while True:
        room = available - gap * (len(shown) - 1)
        most = [max(len(line) for cell in columns[i] for line in cell.split("\n")) for i in shown]
        least = [_least(columns[i], numbers=numbers[i]) for i in shown]
        if sum(least) <= room or len(shown) == 1:
            widths = _shared(most, least, room)
            return Fit(tuple(shown), tuple(widths), tuple(i for i in range(len(columns)) if i not in shown))
        widest = max(range(1, len(shown)), key=lambda at: least[at])
        # One that would fill half of the table goes first, then the last: those on the left say more.
        del shown[widest if 2 * least[widest] > available else -1]


def _least(cells: Sequence[str], *, numbers: bool) -> int:
    heading, *rest = cells
    longest_word = max(map(len, _words(heading)))
    if numbers:
        return max([longest_word, *map(len, rest)])
    return max(
        [
            longest_word,
            *(min(len(word), LEAST_NAME) for cell in rest for line in cell.split("\n") for word in _words(line)),
        ]
    )


def _shared(most: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths between least and most that fill the room: the widest give way first."""
    widths = list(most)
    while sum(widths) > room:
        loose = [i for i, width in enumerate(widths) if width > least[i]]
        if not loose:
            break
        widths[max(loose, key=lambda i: widths[i])] -= 1
    return widths


def shortened(cell: str, width: int) -> str:
    """A cell whose words all fit: longer ones lose their middle, which says less than the ends of a path.

    A formula loses nothing: its products are broken between their factors.
    """
    return "\n".join(_line(line, width) for line in cell.split("\n"))


def _line(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    room = max(width - len(indent), 1)
    words = _words(line.strip())
    return indent + " ".join(_broken(word, room) if "·" in word else _middle(word, room) for word in words)


def _words(line: str) -> list[str]:
    """Split where a line may break: not in `layers.0…11 (×12)` nor in `log₂ T`."""
    return re.split(r"(?<!log₂) (?!\(×)", line)


def _middle(word: str, width: int) -> str:
    if len(word) <= width:
        return word
    head = (width - 1) // 3
    tail = width - 1 - head
    return f"{word[:head]}…{word[len(word) - tail :]}" if tail > 0 else "…"


def _broken(product: str, width: int) -> str:
    lines = [""]
    for factor in re.findall(r"[^·]+·?|·", product):
        if lines[-1] and len(lines[-1]) + len(factor) > width:
            lines.append("")
        lines[-1] += factor
    return "\n".join(lines)
