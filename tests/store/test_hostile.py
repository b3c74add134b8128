"""What is stored is input: whatever is wrong with it is one line, and nothing else happens."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program import ROOT, Cli, ProgramRun

from attn_bench.catalog.registry import builtin
from attn_bench.model import protocol
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan, make_settings
from attn_bench.store import files, runs
from attn_bench.view import json_answer
from benchmarks import hostile

MORE = int(os.environ.get("ATTN_BENCH_EXAMPLES", "1"))  # `make soak` asks for more
SEEDS = st.integers(0, 2**32)
# An example takes as long as the machine makes it.
fuzzed = settings(
    deadline=None,
    max_examples=40 * MORE,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@contextmanager
def one_line() -> Iterator[None]:
    """What is refused is refused in one printable line."""
    try:
        yield
    except RequestError as error:
        text = str(error)
        assert len(text.splitlines()) == 1
        assert text.isprintable()


@pytest.fixture(scope="session")
def whole(smoke: ProgramRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an answer beside it."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(smoke.folder, folder)
    sentences = {
        "question": "which?",
        "reasons": ["this"],
        "to_decide": [],
        "limits": [],
        "chosen": None,
        "candidates": [],
    }
    json_answer.keep(folder, json_answer.as_json("recommend", sentences))
    return folder


@given(seed=SEEDS)
@fuzzed
def test_a_damaged_run_is_read_or_refused(whole: Path, seed: int) -> None:
    """Every reader of a run either has values of the right types, or refuses in one line."""
    rng, folder = random.Random(seed), whole.parent / "damaged"
    canary = whole.parent / "canary"
    canary.write_text("nothing may change this")
    hostile.copy_run(whole, folder)
    hostile.mutate_run(folder, rng, canary)
    for read in (runs.load, runs.load_blocks, runs.read_journal, json_answer.read_kept):
        with one_line():
            read(folder)  # type: ignore[operator]
    assert canary.read_text() == "nothing may change this"


@given(seed=SEEDS)
@fuzzed
def test_a_suite_is_planned_or_refused(seed: int) -> None:
    """A suite from a grammar, or one with other bytes, is a plan, or one line."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        text = hostile.suite_text(rng)
    else:
        file = rng.choice(sorted((ROOT / "suites").glob("*.toml")))
        text = hostile.mutate_bytes(file.read_bytes(), rng)[:4000].decode(errors="replace")
    with one_line():
        suite = suite_file.parse(text, builtin(), name="s", source="s.toml")
        assert suite.title.isprintable()
        make_settings(suite, make_plan(suite, "cpu"), RunRequest("s"))


@given(seed=SEEDS)
@fuzzed
def test_a_line_of_the_protocol_is_a_message_or_a_value_error(seed: int) -> None:
    """What code under test writes to the pipe raises nothing else."""
    rng = random.Random(seed)
    reply = protocol.Timed(protocol.Timing(seconds=1.0), ("a note",), {"module": "digest"})
    values = json.loads(protocol.encode(reply))
    line = json.dumps(hostile.mutate_json(values, rng)).encode()
    for content in (line, hostile.mutate_bytes(line, rng)):
        try:
            protocol.decode(content)
        except ValueError:
            continue


# --- values that no run has -----------------------------------------------------------------------

DAMAGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "sessions": (lambda d: d["settings"].update(sessions=10**6), "settings.sessions must be"),
    "threads": (lambda d: d["settings"].update(threads=10**6), "settings.threads must be"),
    "precision": (lambda d: d["settings"].update(precision="a word"), "settings.precision must be"),
    "batch": (
        lambda d: d["suite"]["shapes"][0].update(batch=10**12),
        "suite.shapes.0.batch must be",
    ),
    "no suite": (lambda d: d["suite"].pop("name"), "suite.name is missing"),
    "title": (lambda d: d["suite"].update(title=1), "suite.title must be a valid string, not 1"),
    "long title": (lambda d: d["suite"].update(title="x" * 201), "suite.title"),
    "share": (lambda d: d.update(calling_share="a word"), "calling_share must be"),
    "copy": (lambda d: d["rates"]["float32"].update(copy=[1]), "rates.float32.copy.0 must be"),
    "quoted": (
        lambda d: d["environment"].update(other_load_cores="nan"),
        "environment.other_load_cores must be a valid number",
    ),
    "cores": (
        lambda d: d["environment"].update(cores_usable=10**400),
        "environment.cores_usable",
    ),
    "unknown": (lambda d: d["settings"].update(colour="red"), "unknown key 'settings.colour'"),
    "request": (lambda d: d["request"].update(memory_gib=0.001), "request.memory_gib must be"),
    "text": (lambda d: d.update(start="x" * 20_000), "a text is longer than 10000 characters"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_wrong_value_is_named_with_its_place(
    whole: Path, tmp_path: Path, cli: Cli, name: str
) -> None:
    """`show`, `report` and `compare` refuse it in one line, with status 2."""
    damage, expected = DAMAGES[name]
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    values = json.loads((folder / "run.json").read_text())
    damage(values)
    (folder / "run.json").write_text(json.dumps(values))
    for words in (["show", "run"], ["report", "run"], ["compare", "run", str(whole)]):
        done = cli(*words)
        assert done.returncode == 2, done.stdout
        assert done.stderr.count("\n") == 1
        assert "run.json: " in done.stderr
        assert expected in done.stderr
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 5000])
def test_a_number_that_is_none_is_refused(whole: Path, tmp_path: Path, text: str) -> None:
    """Numbers in run.json are finite."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    content = (folder / "run.json").read_text()
    (folder / "run.json").write_text(content.replace('"budget_s": ', f'"budget_s": {text}', 1))
    with pytest.raises(RequestError, match=r"run\.json: cannot be read"):
        runs.load(folder)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "[" * 50 + "]" * 50])
def test_json_is_not_deep(whole: Path, tmp_path: Path, content: str) -> None:
    """Nesting ends in one line, and not in the interpreter's stack."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "run.json").write_text(content)
    with pytest.raises(RequestError, match=r"nested|cannot be read|schema"):
        runs.load(folder)
    (folder / "journal.jsonl").write_text(content + "\n")
    with pytest.raises(RequestError, match=r"journal\.jsonl:1: "):
        runs.read_journal(folder)


def test_a_journal_names_its_line(whole: Path, tmp_path: Path) -> None:
    """A block without a time is refused with the number of its line."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    lines = (folder / "journal.jsonl").read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if '"block"' in line)
    lines[number] = lines[number].replace('"seconds": ', '"seconds": null, "was": ')
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(RequestError, match=rf"journal\.jsonl:{number + 1}: seconds must be"):
        runs.read_journal(folder)


@pytest.mark.parametrize("name", ["run.json", "table.parquet", "samples.parquet", "journal.jsonl"])
def test_a_pipe_is_not_waited_for(whole: Path, tmp_path: Path, name: str) -> None:
    """A file that is no file is refused at once."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)

    def read_all() -> None:
        runs.load(folder)
        runs.load_blocks(folder)
        runs.read_journal(folder)

    (folder / "answer.json").unlink(missing_ok=True)
    os.mkfifo(folder / "answer.json")
    with pytest.raises(RequestError, match="not a regular file"):
        json_answer.read_kept(folder)
    with pytest.raises(RequestError, match="it is not a regular file"):
        read_all()


@pytest.mark.parametrize("extent", ["²", "9" * 5000, "[/bold]", "٣"])
def test_an_extent_of_others_is_a_text(whole: Path, tmp_path: Path, cli: Cli, extent: str) -> None:
    """What is no number of this program is shown as it is."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    frame = pd.read_parquet(folder / "table.parquet")
    frame["extent"] = extent
    frame.to_parquet(folder / "table.parquet")
    done = cli("show", "run")
    assert done.returncode == 0, done.stderr
    assert extent[:5] in done.stdout


@pytest.mark.parametrize("column", ["channels", "height", "width", "batch", "status", "latency_us"])
def test_a_table_without_a_needed_column(whole: Path, tmp_path: Path, column: str) -> None:
    """It is not a run's table; a dropped figure does not count as one that was not measured."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    frame = pd.read_parquet(folder / "table.parquet").drop(columns=column)
    frame.to_parquet(folder / "table.parquet")
    with pytest.raises(RequestError, match=f"the column '{column}' of a run's table"):
        runs.load(folder)


@pytest.mark.parametrize(("file", "times"), [("table.parquet", 3_000), ("samples.parquet", 20_000)])
def test_a_small_file_of_many_rows_is_refused(
    whole: Path, tmp_path: Path, file: str, times: int
) -> None:
    """A file that is small only because all its rows are alike is not unpacked."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    one = pq.read_table(folder / file)
    pq.write_table(pa.concat_tables([one] * times), folder / file, compression="zstd")

    def read_all() -> None:
        runs.load(folder)
        runs.load_blocks(folder)

    with pytest.raises(RequestError, match="larger than any run's"):
        read_all()


def test_control_characters_of_a_run_are_escaped(whole: Path, tmp_path: Path, cli: Cli) -> None:
    """A title cannot colour the terminal, reverse the line, or begin another."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    values = json.loads((folder / "run.json").read_text())
    values["suite"]["title"] = "a\x1b[31mb\u202ec\n::error::d ##[error]e \ud800"
    (folder / "run.json").write_text(json.dumps(values))
    shown = cli("show", "run").stdout
    assert shown.startswith(r"a\u001b[31mb\u202ec\u000a: :error::d ## [error]e \ud800")


# --- where files are written ----------------------------------------------------------------------


def test_no_link_of_a_run_folder_is_written_through(whole: Path, tmp_path: Path, cli: Cli) -> None:
    """What `report` writes into the folder of another takes the place of a link."""
    folder, canary = tmp_path / "run", tmp_path / "canary"
    shutil.copytree(whole, folder)
    canary.write_text("whole")
    for name in ("report.html", ".report.html.part"):
        (folder / name).symlink_to(canary)
    assert cli("report", "run").returncode == 0
    assert canary.read_text() == "whole"
    assert not (folder / "report.html").is_symlink()


def test_a_journal_that_is_a_link_is_not_appended_to(whole: Path, tmp_path: Path) -> None:
    """A run is not resumed into another file."""
    folder, canary = tmp_path / "run", tmp_path / "canary"
    shutil.copytree(whole, folder)
    (folder / "journal.jsonl").rename(canary)
    (folder / "journal.jsonl").symlink_to(canary)
    before = canary.read_bytes()
    with pytest.raises(RequestError, match=r"journal\.jsonl: .* it is a symbolic link"):
        runs.RunFolder(folder)
    assert canary.read_bytes() == before


def test_a_pipe_is_written_into(whole: Path, tmp_path: Path, cli: Cli) -> None:
    """`--out` onto something else than a file replaces nothing."""
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    done = cli("report", str(whole), "--out", "pipe")
    reader.join()
    assert done.returncode == 0, done.stderr
    assert found[0].startswith(b"<!DOCTYPE html>")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_of_the_user_is_written_through(tmp_path: Path) -> None:
    """It stays a link, and its target has the content."""
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    files.write_output(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("option", ["--json", "--junit", "--markdown"])
@pytest.mark.parametrize(("file", "reason"), [("/", "it is a folder"), ("no/x", "does not exist")])
def test_a_place_that_cannot_be_written_is_named_before_anything_else(
    whole: Path, cli: Cli, option: str, file: str, reason: str
) -> None:
    """One line with the place and the reason, status 2."""
    done = cli("compare", str(whole), str(whole), option, file)
    assert done.returncode == 2
    assert f"{file}: cannot be written: " in done.stderr
    assert reason in done.stderr
    assert done.stdout == ""


def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    """A new content does not open a file to others; a new file follows the umask."""
    file = tmp_path / "private"
    file.write_text("old")
    file.chmod(0o600)
    files.write_atomically(file, b"new")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = os.umask(0o027)
    try:
        files.write_atomically(tmp_path / "new", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """And nothing beside it."""
    file = tmp_path / "file"
    file.write_text("old")

    def fails(stream: Any) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(file, fails)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "old"
