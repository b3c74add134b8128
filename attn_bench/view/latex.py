"""A run as LaTeX tables for a paper; they need the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attn_bench._version import __version__
from attn_bench.model.metrics import METRIC
from attn_bench.model.row import UNIT
from attn_bench.model.text import latex
from attn_bench.store.runs import StoredRun
from attn_bench.view import remarks
from attn_bench.view.sheets import Sheet, make_sheets
from attn_bench.view.summary import Cell, group_title

MOST_IN_COLUMN = 6  # columns of a table that fits one column of a paper


def write(run: StoredRun, columns: Sequence[str]) -> str:
    r"""One table for each shape, or with `columns` one table of these.

    A table of more than MOST_IN_COLUMN columns spans both columns of a page (`table*`). The best of
    a column is bold where the measurement decides it. A caption names the machine and the method. A
    label is tab:SUITE, or tab:SUITE-SHAPE where there are several.
    """
    sheets = list(make_sheets(run, columns))
    parts = [f"% attn-bench {__version__}, {latex(run.path.name)}: needs \\usepackage{{booktabs}}"]
    labels: list[str] = []
    for sheet in sheets:
        label = _label(run.info.suite.name, sheet.title if len(sheets) > 1 else "")
        number = labels.count(label) + 1
        labels.append(label)
        parts.append(_table(run, sheet, label if number == 1 else f"{label}-{number}"))
    return "\n".join(parts)


def _label(*words: str) -> str:
    return re.sub("[^A-Za-z0-9]+", "-", "-".join(words)).strip("-")


def _table(run: StoredRun, sheet: Sheet, label: str) -> str:
    figures = len(sheet.headings) - sheet.words
    table = "table*" if len(sheet.headings) > MOST_IN_COLUMN else "table"
    lines = [
        rf"\begin{{{table}}}",
        r"\centering",
        rf"\caption{{{_caption(run, sheet)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{'l' * sheet.words}{'r' * figures}}}",
        r"\toprule",
        _line([Cell(_name_column(heading)) for heading in sheet.headings]),
        r"\midrule",
        *map(_line, sheet.lines),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\end{{{table}}}",
    ]
    return "\n".join(lines) + "\n"


def _caption(run: StoredRun, sheet: Sheet) -> str:
    info = run.info
    titles = {sheet.title} if sheet.title else set(map(group_title, run.rows))
    words = [f"{info.suite.title}{f', at {titles.pop()}' if len(titles) == 1 else ''}."]
    words.append(f"Measured with attn-bench {__version__} on {remarks.name_machine(info)}.")
    if any(row.latency_us is not None for row in run.rows):
        words.append(
            f"Times are means over {info.settings.sessions} processes, interleaved in short "
            "blocks, with 95 % confidence intervals."
        )
    if sheet.title:
        words.append(
            "Bold: the best of a column; several where the measurement does not separate them."
        )
    return latex(" ".join(words))


def _name_column(heading: str) -> str:
    """A column of the stored table in words; other headings are words already.

    >>> _name_column("latency_us"), _name_column("bound_us"), _name_column("module")
    ('latency (µs)', 'bound (µs)', 'module')
    """
    metric = METRIC.get(heading)
    words = heading.removesuffix("_us").removesuffix("_bytes").replace("_", " ")
    if metric is not None and metric.heading:
        words = metric.heading
    unit = UNIT.get(heading, "")
    return f"{words} ({unit})" if unit not in ("", "×") else words


def _line(cells: Sequence[Cell]) -> str:
    shown = [latex(cell.text) for cell in cells]
    bold = [rf"\textbf{{{t}}}" if c.best else t for c, t in zip(cells, shown, strict=True)]
    return " & ".join(bold) + r" \\"
