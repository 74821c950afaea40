"""Columns of text."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def table(headings: Sequence[str], right: Collection[int], rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows under their headings, a line each, the columns in `right` flush right."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (headings, *rows)
    ]
