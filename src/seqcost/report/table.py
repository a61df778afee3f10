"""A table as text cells, shown four ways: terminal, CSV, HTML, Markdown. What goes in is decided elsewhere."""

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.table


@dataclass(frozen=True)
class Table:
    """Headings and rows of text. A heading that starts with `<` is left-aligned; numbers stand right."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @classmethod
    def of(cls, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> "Table":
        """From any sequences."""
        return cls(title, tuple(headings), tuple(tuple(row) for row in rows), note)

    def _columns(self) -> list[tuple[str, bool]]:
        return [(h.removeprefix("<"), h.startswith("<")) for h in self.headings]

    def __rich__(self) -> "rich.table.Table":
        import rich.box
        import rich.table

        table = rich.table.Table(
            title=self.title or None,
            caption=self.note or None,
            title_justify="left",
            caption_justify="left",
            title_style="bold",
            caption_style="dim",
            box=rich.box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for i, (heading, left) in enumerate(self._columns()):
            if left:
                table.add_column(heading, justify="left", overflow="fold")
            else:
                # Words give way before numbers do, a long heading of short numbers among them.
                whole = len(heading) <= max((len(row[i]) for row in self.rows), default=0)
                table.add_column(heading, justify="right", overflow="ellipsis", no_wrap=whole)
        for row in self.rows:
            table.add_row(*(_escape(cell) for cell in row))
        return table

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


def rows_to_csv(rows: Sequence[dict[str, object]]) -> str:
    """CSV of plain rows; the columns are the union of their keys, in order of first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _escape(cell: str) -> str:
    return cell.replace("[", r"\[")
