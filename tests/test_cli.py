"""The commands as a user types them, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from program import ROOT, Cli, ProgramRun

from attn_bench import __version__


@pytest.mark.parametrize(
    "words", [["--help"], ["list"], ["list", "suites"], ["list", "metrics"], ["show", "--help"]]
)
def test_what_needs_no_torch_imports_none(words: list[str]) -> None:
    """Help and lists load neither torch nor timm nor pandas, and say something."""
    script = f"""
import sys
from attn_bench.cli.main import main
status = main({words!r})
heavy = sorted({{"torch", "timm", "fvcore", "pandas"}} & set(sys.modules))
assert not heavy, heavy
sys.exit(status)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_lists_are_instant(cli: Cli) -> None:
    """`--help` and `list` take a fraction of what importing torch does (the best of five tries)."""

    def best_s(*command: str) -> float:
        def once() -> float:
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, check=True)
            return time.perf_counter() - start

        return min(once() for _ in range(5))

    torch_s = best_s("-c", "import torch")
    for word in ("--help", "list"):
        assert best_s("-m", "attn_bench", word) < 0.4 * torch_s


@pytest.mark.parametrize("what", ["modules", "suites", "metrics"])
def test_list_has_a_line_for_each(cli: Cli, what: str) -> None:
    """A list and its JSON name the same things in the same order, one line each."""
    plain, as_json = cli("list", what), cli("list", what, "--json")
    names = [item["name"] for item in json.loads(as_json.stdout)]
    assert [line.split()[0] for line in plain.stdout.splitlines()] == names


def test_version(cli: Cli) -> None:
    """--version says which."""
    assert __version__ in cli("--version").stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rnu"], "unknown command 'rnu' (did you mean 'run'?)"),
        (["run"], "run takes --suite NAME, or --resume RUN"),
        (["run", "--resume", "latest"], "there is no run 'latest'"),
        (["run", "--resume", "x", "--seed", "1"], "drop --seed"),
        (["run", "--suite", "smok"], "unknown suite 'smok' (did you mean 'smoke'?)"),
        (["run", "--suite", "no/such.toml"], "no/such.toml: there is no such suite file"),
        (["run", "--suite", "smoke", "--buget", "3"], "No such option '--buget'"),
        (["run", "--suite", "smoke", "--budget", "0"], "--budget"),
        (["run", "--suite", "smoke", "--budget", "x"], "--budget"),
        (["run", "--suite", "smoke", "--modules", "sse"], "matches no module of smoke"),
        (["run", "--suite", "smoke", "--where", "hight > 3"], "unknown column 'hight' (did you"),
        (["run", "--suite", "smoke", "--modules-from", "no.py"], "--modules-from no.py: there is"),
        (["run", "--suite", "smoke", "--device", "tpu"], "--device"),
        (["run", "--suite", "smoke", "--timeout", "inf"], "inf is not in the range"),
        (["run", "--suite", "smoke", "--precision", "nan"], "nan"),
        (["run", "--suite", "smoke", "--out", "a\nb"], "characters that cannot be printed"),
        (["run", "--suite", "x" * 300], "File name too long"),
        (["show", "x" * 5000], "there is no run"),
        (["show", ""], "there is no run ''"),
        (["show", "latest"], "there is no run 'latest'"),
        (["list", "module"], "'module' is not one of"),
    ],
)
def test_a_wrong_request(cli: Cli, words: list[str], expected: str) -> None:
    """It is answered in one line that names the thing, with status 2, and leaves nothing behind."""
    done = cli(*words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    complaint = [line for line in done.stderr.splitlines() if not line.endswith("…")]
    assert len(complaint) == 1


def test_output_that_nobody_reads(smoke: ProgramRun) -> None:
    """A reader that has seen enough, as `head` has, is no error; a full disk is told."""
    show = f"{sys.executable} -m attn_bench show {smoke.folder} --format csv"

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        words = ["bash", "-o", "pipefail", "-c", command]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    assert shell(f"{show} | true").returncode == 0
    full = shell(f"{show} > /dev/full")
    assert full.returncode == 3
    assert "the output cannot be written: No space left on device" in full.stderr
    assert shell(f"{show} >&-").returncode == 0


def test_debug_shows_the_traceback(cli: Cli) -> None:
    """--debug is for those who want to see where."""
    assert "Traceback" in cli("--debug", "run", "--suite", "smok").stderr


def test_dry_run_measures_nothing(cli: Cli, tmp_path: Path) -> None:
    """--dry-run lists the cases, and writes no run folder."""
    done = cli("run", "--suite", "smoke", "--dry-run")
    assert done.returncode == 0
    assert "identity/2x64x16x16/float32/contiguous/inference/eager/cpu" in done.stdout
    assert not list(tmp_path.iterdir())


def test_existing_output_folder_is_not_touched(cli: Cli, tmp_path: Path) -> None:
    """--out with a folder that holds something is refused, and what it holds stays."""
    kept = tmp_path / "mine" / "thesis.txt"
    kept.parent.mkdir()
    kept.write_text("all of it")
    done = cli("run", "--suite", "smoke", "--out", "mine")
    assert done.returncode == 2
    assert "--out mine: it exists already" in done.stderr
    assert [path.name for path in kept.parent.iterdir()] == ["thesis.txt"]


def test_unwritable_output_folder(cli: Cli, tmp_path: Path) -> None:
    """--out below a file cannot be made, and is refused before anything is measured."""
    (tmp_path / "file").write_text("")
    done = cli("run", "--suite", "smoke", "--out", "file/run")
    assert done.returncode == 2
    assert "file/run: cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--where", "ratio >"], "cannot be read"),
        (["--where", "channels > 9999"], "no row of"),
        (["--sort", "latncy_us"], "unknown column 'latncy_us' (did you mean 'latency_us'?)"),
        (["--columns", "variant,ratios"], "unknown column 'ratios' (did you mean 'ratio'?)"),
    ],
)
def test_show_refuses_what_it_cannot_show(
    smoke: ProgramRun, cli: Cli, words: list[str], expected: str
) -> None:
    """A wrong column or condition is named with the nearest right one."""
    done = cli("show", str(smoke.folder), *words)
    assert done.returncode == 2
    assert expected in done.stderr


def test_show_repeats_the_summary(smoke: ProgramRun, cli: Cli) -> None:
    """`show RUN` prints the table that the run printed."""
    shown = cli("show", str(smoke.folder)).stdout
    assert shown.splitlines()[:-1] == smoke.process.stdout.splitlines()[:-1]


def test_show_formats(smoke: ProgramRun, cli: Cli) -> None:
    """CSV and JSON hold every row with the columns asked for, sorted as asked."""
    folder = str(smoke.folder)
    words = ("--columns", "variant,ratio", "--sort", "-ratio", "--where", "ratio > 1")
    rows = json.loads(cli("show", folder, "--format", "json", *words).stdout)
    lines = cli("show", folder, "--format", "csv", *words).stdout.splitlines()
    ratios = [row["ratio"] for row in rows]
    assert ratios == sorted(ratios, reverse=True)
    assert lines[0] == "variant,ratio"
    assert len(lines) == len(rows) + 1
    assert cli("show", folder, "--format", "md", *words).stdout.startswith("| variant | ratio |")
