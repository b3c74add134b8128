"""The commands as a user types them, in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pandas as pd
import pytest
from pages import REFERENCE
from program import ROOT, Cli, ProgramRun

import attn_bench.cli
from attn_bench import __version__
from attn_bench.cli.main import commands
from attn_bench.model.errors import RequestError

HEAVY = ("torch", "timm", "fvcore", "pandas", "pyarrow", "matplotlib", "numpy", "scipy", "rich")
NAMES = commands.list_commands(click.Context(commands))


def loaded_by(*commands: Sequence[str]) -> list[str]:
    """The heavy packages that a process has imported after it has run these commands."""
    script = f"""
import sys
from attn_bench.cli.main import main
sys.stdout = None
for words in {commands!r}:
    main(words)
sys.stderr.write(" ".join(sorted({set(HEAVY)!r} & set(sys.modules))))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()[-1].split() if done.stderr else []


def test_help_and_lists_import_nothing_heavy() -> None:
    """Help and lists load none of the packages that take long to import, not even rich."""
    helps = [["--help"], *([name, "--help"] for name in NAMES)]
    lists = [["list", what] for what in ("modules", "suites", "metrics", "backbones")]
    assert loaded_by(*helps, *lists) == []


def test_python_m_attn_bench_is_the_program(real: Cli) -> None:
    """`python -m attn_bench` ends with the program's status, and shows a traceback when asked."""
    assert real("rnu").returncode == 2
    done = real("--debug", "run", "--suite", "smok")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_wrong_word_imports_no_command() -> None:
    """An unknown command is refused before any command is imported."""
    script = """
import sys
from attn_bench.cli.main import main
assert main(["rnu"]) == 2
print(*sorted(name for name in sys.modules if name.startswith("attn_bench.cli.")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["attn_bench.cli.main", "attn_bench.cli.streams"]


def test_rich_is_imported_where_a_table_is_shown() -> None:
    """A table for people loads rich, a table for programs does not."""
    show = ["show", str(REFERENCE)]
    assert "rich" in loaded_by(show)
    assert "rich" not in loaded_by([*show, "--format", "csv"])


def test_every_command_has_its_help_in_one_line(cli: Cli) -> None:
    """`--help` lists every command with one whole sentence."""
    lines = cli("--help").stdout.partition("Commands:")[2].split("\n")
    listed = [line.split(maxsplit=1) for line in lines if line.strip()]
    assert [name for name, _ in listed] == NAMES
    assert all(sentence.endswith((".", "?")) and "..." not in sentence for _, sentence in listed)


def test_a_new_command_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in cli/ is a command of the program; no list names it."""
    (tmp_path / "greet.py").write_text(
        "import click\n\n@click.command()\ndef command():\n    return 7\n"
    )
    monkeypatch.setattr(attn_bench.cli, "__path__", [*attn_bench.cli.__path__, str(tmp_path)])
    assert "greet" in commands.list_commands(click.Context(commands))
    assert commands.main(["greet"], standalone_mode=False) == 7
    monkeypatch.delitem(sys.modules, "attn_bench.cli.greet")


def test_no_word_at_all_shows_help(cli: Cli) -> None:
    """Without a command the program shows its help and ends with status 2."""
    done = cli()
    assert (done.returncode, done.stdout) == (2, cli("--help").stdout)


@pytest.mark.parametrize("what", ["modules", "suites", "metrics"])
def test_list_has_a_line_for_each(cli: Cli, what: str) -> None:
    """A list and its JSON name the same things in the same order, one line each."""
    plain, as_json = cli("list", what), cli("list", what, "--json")
    names = [item["name"] for item in json.loads(as_json.stdout)]
    assert [line.split()[0] for line in plain.stdout.splitlines()] == ["name", *names]


def test_version(cli: Cli) -> None:
    """--version prints the version."""
    assert __version__ in cli("--version").stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rnu"], "unknown command 'rnu' (did you mean 'run'?)"),
        (["run"], "run needs --suite NAME, or --resume RUN"),
        (["run", "--resume", "latest"], "run 'latest' not found"),
        (["run", "--resume", "x", "--seed", "1"], "drop --seed"),
        (["run", "--suite", "smok"], "unknown suite 'smok' (did you mean 'smoke'?)"),
        (["run", "--suite", "no/such.toml"], "no/such.toml: suite file not found"),
        (["run", "--suite", "smoke", "--buget", "3"], "No such option '--buget'"),
        (["run", "--suite", "smoke", "--budget", "0"], "--budget"),
        (["run", "--suite", "smoke", "--budget", "x"], "--budget"),
        (["run", "--suite", "smoke", "--modules", "sse"], "matches no module of smoke"),
        (["run", "--suite", "smoke", "--where", "hight > 3"], "unknown column 'hight' (did you"),
        (
            ["run", "--suite", "smoke", "--modules-from", "no.py"],
            "--modules-from no.py: file not found",
        ),
        (["run", "--suite", "smoke", "--device", "tpu"], "--device"),
        (["run", "--suite", "smoke", "--modules", "se,nosuch"], "'nosuch' matches no module"),
        (["run", "--suite", "smoke", "--sessions", "101"], "101 is not in the range 1<=x<=100"),
        (["run", "--suite", "smoke", "--sessions", "x"], "'x' is not a valid whole number"),
        (["recommend", "--backbone", "resnet50", "--batch", "999999"], "takes 602 GB"),
        (["recommend", "--backbone", "resnet50", "--place", ""], "unknown place ''"),
        (["run", "--suite", "smoke", "--timeout", "inf"], "inf is not in the range"),
        (["run", "--suite", "smoke", "--precision", "nan"], "nan"),
        (
            ["run", "--suite", "smoke", "--out", "a\nb"],
            "contains characters that cannot be printed",
        ),
        (["run", "--suite", "x" * 300], "File name too long"),
        (["show", "x" * 5000], "not found"),
        (["run", "--suite", "smoke", "--resume", "latest"], "not both"),
        (
            ["compare", "a", "b", "--json", "x", "--junit", "./x"],
            "name the same file",
        ),
        (["show", ""], "run '' not found"),
        (["show", "latest"], "run 'latest' not found"),
        (["list", "module"], "(did you mean 'modules'?)"),
        (["show", str(REFERENCE), "--format", "latx"], "(did you mean 'latex'?)"),
    ],
)
def test_a_wrong_request(cli: Cli, words: list[str], expected: str) -> None:
    """A wrong request gets one line that names the thing, status 2, and no output."""
    done = cli(*words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    complaint = [line for line in done.stderr.splitlines() if not line.endswith("…")]
    assert len(complaint) == 1


def test_output_that_nobody_reads() -> None:
    """A reader that stops early, such as `head`, is not an error; a full disk is one."""
    show = f"{sys.executable} -m attn_bench show {REFERENCE} --format csv"

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        words = ["bash", "-o", "pipefail", "-c", command]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    assert shell(f"{show} | true").returncode == 0
    full = shell(f"{show} > /dev/full")
    assert full.returncode == 3
    assert "the output cannot be written: No space left on device" in full.stderr
    assert shell(f"{show} >&-").returncode == 0


def test_an_answer_that_nobody_reads_keeps_its_status(tmp_path: Path) -> None:
    """`compare … | head` ends with the status of its answer, and writes the files."""
    shutil.copytree(REFERENCE, tmp_path / "new")
    table = pd.read_parquet(tmp_path / "new" / "table.parquet")
    table.assign(params=table["params"] + 1).to_parquet(tmp_path / "new" / "table.parquet")
    command = f"{sys.executable} -m attn_bench compare {REFERENCE} new --json a.json | true"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "a.json").exists()


def test_debug_shows_the_traceback(cli: Cli) -> None:
    """With --debug an error is raised, and so is shown with its traceback."""
    with pytest.raises(RequestError, match="unknown suite 'smok'"):
        cli("--debug", "run", "--suite", "smok")


def test_dry_run_measures_nothing(cli: Cli, tmp_path: Path) -> None:
    """--dry-run lists the cases, and writes no run folder."""
    done = cli("run", "--suite", "smoke", "--dry-run")
    assert done.returncode == 0
    assert "identity/2x64x16x16/float32/contiguous/inference/eager/cpu" in done.stdout
    assert not list(tmp_path.iterdir())


def test_existing_output_folder_is_not_touched(cli: Cli, tmp_path: Path) -> None:
    """--out with a folder that is not empty is refused, and its files stay."""
    kept = tmp_path / "mine" / "thesis.txt"
    kept.parent.mkdir()
    kept.write_text("all of it")
    done = cli("run", "--suite", "smoke", "--out", "mine")
    assert done.returncode == 2
    assert "--out mine: already exists" in done.stderr
    assert [path.name for path in kept.parent.iterdir()] == ["thesis.txt"]


def test_unwritable_output_folder(cli: Cli, tmp_path: Path) -> None:
    """--out below a file is refused before anything is measured."""
    (tmp_path / "file").write_text("")
    done = cli("run", "--suite", "smoke", "--out", "file/run")
    assert done.returncode == 2
    assert "file/run: cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--where", "ratio >"], "cannot be read"),
        (["--where", "channels > 9999"], "matches no row"),
        (["--sort", "latncy_us"], "unknown column 'latncy_us' (did you mean 'latency_us'?)"),
        (["--columns", "variant,ratios"], "unknown column 'ratios' (did you mean 'ratio'?)"),
    ],
)
def test_show_refuses_what_it_cannot_show(cli: Cli, words: list[str], expected: str) -> None:
    """A wrong column or condition is named with the nearest right one."""
    done = cli("show", str(REFERENCE), *words)
    assert done.returncode == 2
    assert expected in done.stderr


def test_show_repeats_the_summary(smoke: ProgramRun, cli: Cli) -> None:
    """`show RUN` prints the table that the run printed."""
    shown = cli("show", str(smoke.folder)).stdout
    assert shown.splitlines()[:-1] == smoke.process.stdout.splitlines()[:-1]


def test_show_formats(cli: Cli) -> None:
    """CSV and JSON hold every row with the columns asked for, sorted as asked."""
    folder = str(REFERENCE)
    words = ("--columns", "variant,ratio", "--sort", "-ratio", "--where", "ratio > 1")
    rows = json.loads(cli("show", folder, "--format", "json", *words).stdout)
    lines = cli("show", folder, "--format", "csv", *words).stdout.splitlines()
    ratios = [row["ratio"] for row in rows]
    assert ratios == sorted(ratios, reverse=True)
    assert lines[0] == "variant,ratio"
    assert len(lines) == len(rows) + 1
    assert cli("show", folder, "--format", "md", *words).stdout.startswith("| variant | ratio |")


def test_a_seed_may_be_larger_than_any_float(cli: Cli) -> None:
    """A whole number without a bound is taken as it is."""
    done = cli("run", "--suite", "smoke", "--dry-run", "--seed", "9" * 400)
    assert done.returncode == 0, done.stderr
