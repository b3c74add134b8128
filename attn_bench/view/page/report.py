"""Makes the pages of runs, of a history and of a fleet: load, draw, fill the page, save."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from attn_bench.jobs.fleet import atlas as fleet_atlas
from attn_bench.jobs.history.history import HistoryRequest, make_history
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.git import find_commit_page, find_root
from attn_bench.model.row import Row
from attn_bench.plan.cases import make_selection
from attn_bench.store import runs
from attn_bench.store.files import check_writable, naming, write_atomically, write_output
from attn_bench.store.fleet import read_fleet
from attn_bench.store.places import without_credentials
from attn_bench.store.runs import StoredRun
from attn_bench.view.page import atlas, figures, history, page
from attn_bench.view.page.drawing import FileFormat, Picture, write_panel
from attn_bench.view.page.own_gains import read_gains
from attn_bench.view.page.points import NONE
from attn_bench.view.page.shown import name_runs

LONGEST_NAME = 48


def report(
    runs_: str | Sequence[str],
    out: str | None = None,
    png: str | None = None,
    *,
    svg: str | None = None,
    pdf: str | None = None,
    where: str | None = None,
    modules: str | None = None,
    gain: str | None = None,
) -> list[Path]:
    """Write the page of one run or several. Returns the written files; the page comes first.

    out: the file of the page; by default, it is in the folder of the run.
    png, svg, pdf: folders for the figures, a file for each panel; None writes none.
    where, modules: only these cases.
    gain: a CSV file with gains that the author of modules measured.
    Raises RequestError if a run is missing or unfinished, or a file cannot be written.
    """
    names = [runs_] if isinstance(runs_, str) else list(runs_)
    if len(names) > 1 and not out:
        raise RequestError("several runs have one page: name it with --out FILE")
    stored = [runs.load(runs.find(name)) for name in names]
    file = Path(out) if out else stored[0].path / "report.html"
    with naming(file):
        check_writable(file)
    shown = name_runs([_select(run, where, modules) for run in stored])
    own = _read_own(gain, [row for run in stored for row in run.rows])
    drawn = figures.make_pictures(shown, own)
    content = page.render(shown, drawn).encode(errors="backslashreplace")
    asked: Mapping[FileFormat, str | None] = {"png": png, "svg": svg, "pdf": pdf}
    wanted = {format_: Path(folder) for format_, folder in asked.items() if folder}
    for format_, folder in wanted.items():
        with naming(f"--{format_} {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
    with naming(file):
        if out:
            write_output(file, content)
        else:  # in the run folder, which others may have made: no link there is followed
            write_atomically(file, content)
    figures_ = [_save(drawn, folder, format_) for format_, folder in wanted.items()]
    return [file, *chain.from_iterable(figures_)]


def report_history(request: HistoryRequest, out: str | None = None) -> Path:
    """Write the page of a history. Returns the file: results/history.html unless `out` names one.

    Raises RequestError if no run has such a figure, or the file cannot be written.
    """
    file = Path(out) if out else request.results / "history.html"
    root = find_root()
    content = history.render(make_history(request), find_commit_page(root) if root else None)
    with naming(file):
        write_output(file, content.encode(errors="backslashreplace"))
    return file


def report_atlas(
    store: str,
    out: str | None = None,
    *,
    where: str | None = None,
    modules: str | None = None,
    gain: str | None = None,
) -> list[Path]:
    """Write the page of a fleet, and its rows as Parquet beside it. Returns the written files.

    out: the file of the page; by default, atlas.html in the current folder.
    Raises RequestError if nothing is measured in the store, or a file cannot be written.
    """
    file = Path(out or "atlas.html")
    data = file.with_suffix(".parquet")
    for each in (file, data):
        with naming(each):
            check_writable(each)
    made = fleet_atlas.make_atlas(read_fleet(store), without_credentials(store), modules, where)
    rows = [row for device in made.devices for row in device.rows]
    picture = atlas.make_picture(made, _read_own(gain, rows))
    content = atlas.render(made, picture, data.name)
    with naming(data):
        write_output(data, fleet_atlas.write_rows(made))
    with naming(file):
        write_output(file, content.encode(errors="backslashreplace"))
    return [file, data]


def _read_own(gain: str | None, rows: Sequence[Row]) -> Mapping[str, float]:
    """The gains of the file. Raises RequestError for a variant that no run has."""
    if gain is None:
        return NONE
    found = read_gains(Path(gain))
    names = {row.variant for row in rows}
    for variant in found:
        if variant not in names:
            raise RequestError(
                f"{gain}: unknown variant {variant[:LONGEST_NAME]!r}{nearest(variant, names)}"
            )
    measured = {row.variant for row in rows if row.ratio is not None}
    if not measured & found.keys():
        raise RequestError(f"{gain}: no variant of it has a known ratio in these runs")
    return found


def _select(run: StoredRun, where: str | None, modules: str | None) -> StoredRun:
    """The run with the cases that are wanted. Raises RequestError if none is left."""
    if not where and not modules:
        return run
    is_wanted = make_selection(modules, where)
    rows = [row for row in run.rows if is_wanted(asdict(row))]
    if not rows:
        raise RequestError(f"{run.path}: no case is selected by --where and --modules")
    return run.select(rows)


def _save(pictures: Sequence[Picture], folder: Path, format_: FileFormat) -> list[Path]:
    """Write each panel into a file."""
    written: list[Path] = []
    with naming(f"--{format_} {folder}"):
        for picture in pictures:
            for panel in picture.panels:
                name = f"{picture.name}-{panel.title}" if len(picture.panels) > 1 else picture.name
                file = _new_name(folder / f"{_file_name(name)}.{format_}", written)
                write_panel(panel, file, format_)
                written.append(file)
    return written


def _new_name(file: Path, taken: Sequence[Path]) -> Path:
    """The file, or the file with a number if a panel has this name already."""
    new, number = file, 2
    while new in taken:
        new, number = file.with_stem(f"{file.stem}-{number}"), number + 1
    return new


def _file_name(title: str) -> str:
    """A title as a name of a file.

    >>> _file_name("costs-8×256×56×56, plain 3 ± 1 ms")
    'costs-8x256x56x56-plain-3-1-ms'
    """
    words = title.partition(" (")[0].replace("×", "x").encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Za-z0-9_.]+", "-", words).strip("-.")
    if len(words) > LONGEST_NAME:
        words = words[:LONGEST_NAME].rpartition("-")[0] or words[:LONGEST_NAME]
    return words or "figure"
