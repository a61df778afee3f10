"""Answers in a notebook: their tables as HTML that needs no script and fetches nothing; names are escaped."""

import html
from collections.abc import Iterable, Mapping
from typing import Any

from seqcost.report.comparisons import tables as comparison_tables
from seqcost.report.counts import letters_table, totals_table, uncounted_notes
from seqcost.report.diffs import notes
from seqcost.report.diffs import tables as diff_tables
from seqcost.report.fits import heading
from seqcost.report.fits import sentences as fit_sentences
from seqcost.report.fits import tables as fit_tables
from seqcost.report.sentences import sentences
from seqcost.report.table import Table
from seqcost.report.views import view_table

_STYLE = (
    "<style>.seqcost table{border-collapse:collapse;margin:.5rem 0;font-variant-numeric:tabular-nums}"
    ".seqcost caption{text-align:left;font-weight:600}.seqcost .text{text-align:left}"
    ".seqcost .number{text-align:right;white-space:nowrap}.seqcost .text{white-space:pre-wrap}"
    ".seqcost .note{opacity:.7}</style>"
)


def in_notebook(tables: Iterable[Table], sentences: Iterable[str] = ()) -> str:
    """Tables below each other, then remarks."""
    remarks = "".join(f'<p class="note">{html.escape(sentence)}</p>' for sentence in sentences)
    return f'<div class="seqcost">{_STYLE}{"".join(table.to_html() for table in tables)}{remarks}</div>'


def count_html(count: Mapping[str, Any], lines: Mapping[str, Any]) -> str:
    """The totals of `Count.to_dict()`, its largest lines, what was left out."""
    return in_notebook(
        [totals_table(count), view_table(lines)], (f"not counted — {note}" for note in uncounted_notes(count))
    )


def diff_html(diff: Mapping[str, Any]) -> str:
    """`Diff.to_dict()`: quantities, lines that differ, functions of T that differ."""
    return in_notebook(diff_tables(diff), (f"not counted — {note}" for note in notes(diff)))


def comparison_html(answer: Mapping[str, Any]) -> str:
    """`Comparison.to_dict()`: the answer in sentences, all its tables."""
    return in_notebook((table for table in comparison_tables(answer) if table.rows), sentences(answer))


def fit_html(answer: Mapping[str, Any]) -> str:
    """`Fit.to_dict()`: the answer in sentences, its tables, remarks."""
    return in_notebook(fit_tables(answer), [heading(answer), *fit_sentences(answer), *answer["notes"]])


def letters_html(found: Mapping[str, Any]) -> str:
    """`Letters.to_dict()`."""
    return in_notebook([letters_table(found)])
