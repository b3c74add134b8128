"""The columns of the table and their description."""

from __future__ import annotations

from program import ROOT

from attn_bench.store.tables import describe_columns


def test_the_readme_describes_the_columns() -> None:
    """results/README.md contains the table of the columns of model/row.py, word by word."""
    table = describe_columns()
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert table in text, f"replace the table of columns in results/README.md by:\n\n{table}"
