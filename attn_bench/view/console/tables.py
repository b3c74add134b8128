"""Prints tables on the console: one that is wider than the console is printed in several parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attn_bench.view.markup import escape

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GAP = 2  # spaces between columns


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and how the cells below it are aligned."""

    heading: str
    align: Literal["left", "right", "center"] = "right"


def print_table(
    console: Console,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    repeated: int = 1,
    styles: Sequence[str | None] = (),
) -> None:
    """Print `rows`, whose cells are markup. No column is left out, and no cell is cut.

    repeated: the first columns, which each part of a wide table repeats.
    styles: of each row.
    """
    for part in _parts(columns, rows, repeated, console.width):
        table = _open_table(title, [columns[i] for i in part])
        for number, row in enumerate(rows):
            cells = [row[i] if i < len(row) else "" for i in part]
            table.add_row(*cells, style=styles[number] if styles else None)
        console.print(table)
        console.print()


def _parts(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], repeated: int, width: int
) -> Iterator[list[int]]:
    """The columns of each part that fits into `width`; a part has one other column at least."""
    widths = [
        max([_width(escape(column.heading)), *(_width(row[i]) for row in rows if i < len(row))])
        for i, column in enumerate(columns)
    ]
    first = list(range(repeated))
    room = width - sum(widths[i] + GAP for i in first) + GAP
    part: list[int] = []
    used = 0
    for i in range(repeated, len(columns)):
        if part and used + widths[i] + GAP > room:
            yield first + part
            part, used = [], 0
        part.append(i)
        used += widths[i] + GAP
    yield first + part


def _width(markup: str) -> int:
    from rich.text import Text

    return Text.from_markup(markup).cell_len


def _open_table(title: str, columns: Sequence[Column]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        title=escape(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        folds = column.align == "left"  # a name that is wider than the console
        table.add_column(
            escape(column.heading),
            justify=column.align,
            no_wrap=not folds,
            overflow="fold" if folds else "ellipsis",
        )
    return table
