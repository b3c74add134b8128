"""Run folders to make pages of, and a page taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from program import DATA

from attn_bench.model.row import Row
from attn_bench.store import runs
from attn_bench.store.runs import RunFolder, StoredRun
from attn_bench.view.page.report import report

REFERENCE = DATA / "run_schema_2"  # a whole run of ge_extents, of an older schema
VOID = {"meta", "link", "br", "input", "use", "img"}


def altered(
    folder: Path,
    change: Callable[[Iterable[Row]], Iterable[Row]] = lambda rows: rows,
    info: Mapping[str, Any] | None = None,
) -> StoredRun:
    """The reference run in `folder`, with other rows and other words in run.json."""
    original = runs.load(REFERENCE)
    folder.mkdir(parents=True)
    RunFolder(folder).finish(
        list(change(original.rows)),
        runs.load_blocks(REFERENCE),
        replace(original.info, **(info or {})),
    )
    return runs.load(folder)


def without_figures(row: Row, **cells: Any) -> Row:
    """`row` as a case that was never timed."""
    timed = ("latency_us", "latency_lo_us", "latency_hi_us", "ratio", "ratio_lo", "ratio_hi")
    facts = ("params", "macs", "macs_fvcore", "bound_us", "bound_fraction", "peak_memory_bytes")
    return replace(row, **dict.fromkeys((*timed, *facts)), **cells)


def page_of(run: StoredRun) -> Page:
    """The page of a run, as the command writes it."""
    (file,) = report(str(run.path))
    return Page(file.read_text(encoding="utf-8"))


@dataclass
class Page(HTMLParser):
    """Tags with attributes, the cells of the table, the words outside of scripts and styles."""

    source: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    words: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag == "th":
            self.headings.append("")
        elif tag == "td":
            self.rows[-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" in self._open or "style" in self._open:
            return
        self.words += data
        if "td" in self._open:
            self.rows[-1][-1] += data
        elif "th" in self._open:
            self.headings[-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every `tag`."""
        return [attributes for name, attributes in self.tags if name == tag]


class Watched:
    """A page that was opened, with all that it asked for and complained of."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(address)
