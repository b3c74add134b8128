"""The documentation: the site builds without a warning, and every command in it is one of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from program import ROOT

from attn_bench.cli.main import commands
from benchmarks.run_documented import documented

COMMANDS = [(page, tuple(words)) for page, words in documented()]


@pytest.mark.parametrize(("page", "words"), [*dict.fromkeys(COMMANDS)])
def test_every_command_in_the_docs_can_be_typed(page: str, words: tuple[str, ...]) -> None:
    """Its options exist and take these values; `benchmarks/run_documented.py` runs it."""
    name, *arguments = words
    command = commands.get_command(click.Context(commands), name)
    assert command is not None, page
    command.make_context(name, arguments)


def test_the_site_builds(tmp_path: Path) -> None:
    """MkDocs finds no missing page, link or anchor; no page asks another host for a font."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    start = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "fonts.googleapis" not in start
    python = (tmp_path / "site" / "python" / "index.html").read_text(encoding="utf-8")
    assert "attn_bench.api_recommend.recommend" in python
