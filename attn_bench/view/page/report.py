"""Makes the page of a run: load, draw, fill the page, save."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attn_bench.store import runs
from attn_bench.store.files import check_writable, naming, write_atomically, write_output
from attn_bench.view.page import figures, page
from attn_bench.view.page.drawing import Picture, write_png
from attn_bench.view.remarks import name_baseline


def report(run: str, out: str | None = None, png: str | None = None) -> list[Path]:
    """Write the page of `run`. Returns the written files; the page comes first.

    out: the file of the page; by default, it is in the run folder.
    png: a folder for the figures as PNG files; None writes none.
    Raises RequestError if the run is missing or unfinished, or a file cannot be written.
    """
    stored = runs.load(runs.find(run))
    file = Path(out) if out else stored.path / "report.html"
    with naming(file):
        check_writable(file)
    drawn = figures.make_pictures(stored.rows, name_baseline(stored.rows, stored.info))
    content = page.render(stored, drawn).encode(errors="backslashreplace")
    with naming(file):
        if out:
            write_output(file, content)
        else:  # in the run folder, which others may have made: no link there is followed
            write_atomically(file, content)
    return [file, *(_save_pngs(drawn, Path(png)) if png else ())]


def _save_pngs(pictures: Sequence[Picture], folder: Path) -> list[Path]:
    written = []
    with naming(f"--png {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            if picture.panels:
                written.append(folder / f"{picture.name}.png")
                write_png(picture, written[-1])
    return written
