"""The documentation: the site builds without a warning, and every command in it is one of ours."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import click
import pytest
from program import ROOT

from attn_bench.cli.main import commands

PAGES = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)


def documented() -> Iterator[tuple[str, str]]:
    """Each command of a code block, with its page."""
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                words = line.partition(" #")[0].strip()
                if words.startswith(("attn-bench ", "python -m attn_bench ")):
                    yield page.name, words


@pytest.mark.parametrize(("page", "words"), [*dict.fromkeys(documented())])
def test_every_command_in_the_docs_can_be_typed(page: str, words: str) -> None:
    """Its options exist and take these values."""
    _, _, rest = words.partition("attn-bench " if words.startswith("attn-bench") else "attn_bench ")
    name, *arguments = takewhile(lambda word: word not in (">", "|"), shlex.split(rest))
    command = commands.get_command(click.Context(commands), name)
    assert command is not None, page
    with suppress(click.exceptions.Exit):  # --help
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
