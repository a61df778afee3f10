"""A table as text cells, shown four ways: terminal, CSV, HTML, Markdown. What goes in is decided elsewhere."""

import csv
import html
import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqcost.foreign import harmless, harmless_cell, harmless_lines
from seqcost.report.fitting import fit, shortened

if TYPE_CHECKING:
    import rich.console
    import rich.table
    import rich.text

_EDGE, _GAP = 1, 2  # what the box puts around the table and between its columns


@dataclass(frozen=True)
class Table:
    """Headings and rows of text. A heading that starts with `<` is left-aligned; numbers stand right."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        """Names in files and modules are somebody else's text."""
        object.__setattr__(self, "title", harmless(self.title))
        object.__setattr__(self, "headings", tuple(map(harmless, self.headings)))
        object.__setattr__(self, "rows", tuple(tuple(map(harmless_lines, row)) for row in self.rows))
        object.__setattr__(self, "note", harmless_lines(self.note))

    @classmethod
    def of(cls, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> "Table":
        """From any sequences."""
        return cls(title, tuple(headings), tuple(tuple(row) for row in rows), note)

    def _columns(self) -> list[tuple[str, bool]]:
        return [(h.removeprefix("<"), h.startswith("<")) for h in self.headings]

    def __rich_console__(
        self, console: "rich.console.Console", options: "rich.console.ConsoleOptions"
    ) -> "Iterator[rich.table.Table | rich.text.Text]":
        import rich.box
        import rich.table
        from rich.text import Text

        columns = self._columns()
        cells = [[heading, *(row[i] for row in self.rows)] for i, (heading, _) in enumerate(columns)]
        found = fit(cells, [not left for _, left in columns], options.max_width - 2 * _EDGE, gap=_GAP)
        left_out = ", ".join(columns[i][0] for i in found.left_out if columns[i][0])
        notes = [self.note] * bool(self.note) + [f"left out for want of width: {left_out}"] * bool(left_out)
        if self.title:
            yield Text(self.title, "bold")
        table = rich.table.Table(
            box=rich.box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for i, width in zip(found.shown, found.widths, strict=True):
            heading, left = columns[i]
            table.add_column(Text(heading), justify="left" if left else "right", width=width)
        for row in self.rows:
            shown = zip(found.shown, found.widths, strict=True)
            table.add_row(*(Text(shortened(row[i], width) if columns[i][1] else row[i]) for i, width in shown))
        yield table
        if notes:
            yield Text("\n".join([*notes, ""]), "dim")  # as below the table itself: an empty line

    def to_text(self, width: int = 100) -> str:
        """As a terminal of that width shows it, without colours."""
        from rich.console import Console

        console = Console(width=width, file=io.StringIO(), color_system=None, highlight=False)
        console.print(self)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]

    def to_markdown(self) -> str:
        """A pipe table."""
        columns = self._columns()
        lines = [
            "| " + " | ".join(h for h, _ in columns) + " |",
            "|" + "|".join("---" if left else "---:" for _, left in columns) + "|",
        ]
        lines += ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in self.rows]
        return "\n".join(lines)

    def to_html(self) -> str:
        """A `<table>` with a caption."""
        columns = self._columns()

        def cells(tag: str, values: Sequence[str]) -> str:
            return "".join(
                f'<{tag} class="{"text" if left else "number"}">{html.escape(value)}</{tag}>'
                for value, (_, left) in zip(values, columns, strict=True)
            )

        head = f"<thead><tr>{cells('th', [h for h, _ in columns])}</tr></thead>"
        body = "".join(f"<tr>{cells('td', row)}</tr>" for row in self.rows)
        note = f'<p class="note">{html.escape(self.note)}</p>' if self.note else ""
        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        return f"<table>{caption}{head}<tbody>{body}</tbody></table>{note}"


def as_text(tables: Sequence[Table], *, before: Sequence[str] = (), after: Sequence[str] = (), width: int = 100) -> str:
    """Sentences, tables below each other, sentences: as `print` shows an answer."""
    first, last = ([textwrap.fill(harmless_lines(sentence), width) for sentence in told] for told in (before, after))
    return "\n\n".join([*["\n".join(first)] * bool(first), *(t.to_text(width).strip("\n") for t in tables), *last])


def rows_to_csv(rows: Sequence[dict[str, object]]) -> str:
    """CSV of plain rows; the columns are the union of their keys, in order of first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: harmless_cell(value) for key, value in row.items()} for row in rows)
    return out.getvalue()
