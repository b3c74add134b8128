"""Attacks the program: hostile commands, suites, stored runs, texts, caches, and faults.

    python benchmarks/attack.py [--only SECTION …] [--scale X] [--seed N]

Each attack runs in a child process with limits of memory, of file size and of time, in a temporary
folder beside one that must not change. No worker starts, except in the section of faults. An attack
is wrong if it ends in a traceback, by a signal or after a minute; if its status is none of ours; if
a wrong request is not one line; if it changes a file outside; if it prints what acts on a terminal
or on a runner of CI; if a stored run would load code that was not named again. Prints how many were
tried and wrong, with the first wrong ones. Status 1: one is wrong.

--scale X    X times as many of each as by default; faults and caches stay
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
from attack_cache import attack_caches
from attack_faults import attack_faults, make_resumable
from attack_sandbox import ACTS, COMMAND, WORKER, Sandbox, Section, show_words
from hostile import TEXTS, command_line, copy_run, mutate_bytes, mutate_run, suite_text
from markdown_it import MarkdownIt

from attn_bench.catalog.registry import builtin
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan, make_settings

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference" / "ge_extents-cpu"
MOST_SHOWN = 10
READERS: tuple[tuple[str, ...], ...] = (
    ("show", "run"),
    ("show", "run", "--columns", "all"),
    ("show", "run", "--format", "csv"),
    ("show", "run", "--format", "md"),
    ("show", "run", "--format", "latex"),
    ("show", "run", "--format", "json"),
    ("show", "run", "--format", "pytest-benchmark"),
    ("show", "run", "--sort", "-latency_us", "--where", "channels > 64"),
    ("compare", "run", "whole", "--json", "a.json", "--junit", "a.xml", "--markdown", "a.md"),
    ("compare", "whole", "run"),
    ("report", "run", "--out", "page.html"),
)


# --- command lines and suites ---------------------------------------------------------------------


def attack_commands(box: Sandbox, section: Section) -> None:
    copy_run(REFERENCE, box.cwd / "run")
    (box.cwd / "a folder").mkdir(exist_ok=True)
    (box.cwd / "link").symlink_to(box.canary)
    os.mkfifo(box.cwd / "pipe")
    box.canary.chmod(0o400)
    while section.tried < section.asked:
        words = command_line(box.rng)
        if any(word in ("pipe", "link") for word in words):
            continue  # a user's own pipe is waited for, and a user's own link is written through
        section.note(show_words(words), box.run(*words).problem() or box.trespass())


def attack_suites(box: Sandbox, section: Section) -> None:
    """In batches: a child reads many suites."""
    whole = sorted((ROOT / "suites").glob("*.toml"))
    size = 500
    for batch in range(-(-section.asked // size)):
        seed = box.rng.randrange(10**9)
        report = box.cwd / f"suites-{batch}"

        def child(seed: int = seed, report: Path = report) -> int:
            with report.open("w", encoding="utf-8") as file:
                for what, problem in _read_suites(random.Random(seed), size, whole):
                    file.write(json.dumps([what, problem]) + "\n")
            return 0

        status = box.call(child)
        for line in report.read_text(encoding="utf-8").splitlines():
            section.note(*json.loads(line))
        if status:
            section.note(f"batch of seed {seed}", f"a child ended with {status}: {box.err()}")
        report.unlink()


def _read_suites(
    rng: random.Random, size: int, whole: list[Path]
) -> Iterator[tuple[str, str | None]]:
    registry = builtin()
    for _ in range(size):
        if rng.random() < 0.6:
            text = suite_text(rng)
        else:
            changed = mutate_bytes(rng.choice(whole).read_bytes(), rng)
            text = changed[:4000].decode(errors="replace")
        try:
            suite = suite_file.parse(text, registry, name="s", source="s.toml")
            if len(suite.grids) * len(suite.shapes) < 200:
                make_settings(suite, make_plan(suite, "cpu"), RunRequest("s"))
            problem = "acts" if ACTS.search(suite.title) or COMMAND.search(suite.title) else None
        except RequestError as error:
            problem = None if len(str(error).splitlines()) == 1 else "several lines"
        except Exception as error:  # what is counted
            problem = f"{type(error).__name__}: {error}"[:200]
        yield text[:300], problem


# --- stored runs ----------------------------------------------------------------------------------


def attack_stored_runs(box: Sandbox, section: Section) -> None:
    copy_run(REFERENCE, box.cwd / "whole")
    for number in range(section.asked):
        copy_run(REFERENCE, box.cwd / "run")
        how = mutate_run(box.cwd / "run", box.rng, box.canary)
        words = READERS[number % len(READERS)]
        section.note(f"{how}: {show_words(words)}", box.run(*words).problem() or box.trespass())


def attack_resumed(box: Sandbox, section: Section) -> None:
    source = make_resumable(box.cwd)
    for number in range(section.asked):
        copy_run(source, box.cwd / "run")
        how = mutate_run(box.cwd / "run", box.rng, box.canary)
        if number % 4 == 0:
            named: tuple[str, ...] = ()
        else:
            named = ("--modules-from", "mine.py")
        ended = box.run("run", "--resume", "run", *named)
        problem = ended.problem() or box.trespass()
        if ended.status == WORKER and set(ended.loads or ()) != set(named[1:]):
            problem = f"would load {ended.loads}"
        section.note(f"{how}, {len(named) // 2} named", problem)


# --- texts ----------------------------------------------------------------------------------------


def attack_with_texts(box: Sandbox, section: Section) -> None:
    """Each text in many places of two stored runs, and each kind of output."""
    for name, text in TEXTS.items():
        _plant(text, box.cwd)
        for output, problem in _outputs(box):
            section.note(f"{name} in {output}", problem or box.trespass())


def _plant(text: str, cwd: Path) -> None:
    """The runs `old` and `new`, with `text` as title, name, note and reason; `new` is heavier."""
    safe = text.encode(errors="backslashreplace").decode()  # a table is UTF-8
    for folder in (cwd / "old", cwd / "new"):
        copy_run(REFERENCE, folder)
        info = json.loads((folder / "run.json").read_text())
        info["suite"]["title"] = text[:200]
        info["suite"]["name"] = text
        info["environment"]["cpu"] = text
        info["notes"] = {case: [text] for case in list(info["operations"])[:3]}
        (folder / "run.json").write_text(json.dumps(info))
        table = pd.read_parquet(folder / "table.parquet")
        for column in ("case_id", "variant", "arguments", "module"):
            values = list(table[column].fillna(""))
            table[column] = [*(safe + value for value in values[:4]), *values[4:]]
        table.loc[0, ["status", "error"]] = ["failed", safe]
        if folder.name == "new":
            table["params"] = table["params"] + 1
        table.to_parquet(folder / "table.parquet")


def _outputs(box: Sandbox) -> Iterator[tuple[str, str | None]]:
    for words in READERS[:6]:
        ended = box.run(words[0], "new", *words[2:])
        problem = ended.problem()
        if "csv" in words and problem is None and ended.status == 0:
            problem = _formula_in(ended.out)
        if "md" in words and problem is None:
            problem = _active_in_markdown(ended.out)
        yield show_words(words), problem
    summary = box.cwd / "summary.md"
    summary.unlink(missing_ok=True)
    files = ("--json", "a.json", "--junit", "a.xml", "--markdown", "a.md")
    ended = box.run(
        *("compare", "old", "new"), *files, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary)
    )
    refused = ended.status == 2
    yield "annotations", _commands_of_others(ended.out, refused)
    yield "JUnit", None if refused else _not_well_formed(box.cwd / "a.xml")
    for file in (box.cwd / "a.md", summary):
        yield file.name, None if refused else _active_in_markdown(file.read_text())
    yield "JSON", None if refused else _not_json(box.cwd / "a.json")
    ended = box.run("report", "new", "--out", "page.html")
    page = box.cwd / "page.html"
    yield "page", ended.problem() or (None if ended.status else _active_in_page(page.read_text()))
    for file in (*box.cwd.glob("a.*"), page):
        file.unlink(missing_ok=True)


def _formula_in(text: str) -> str | None:
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            if cell[:1] in ("=", "+", "-", "@") and not cell.replace(".", "").lstrip("-").isdigit():
                return f"a formula: {cell[:40]}"
    return None


def _active_in_markdown(text: str) -> str | None:
    if found := ACTS.search(text) or COMMAND.search(text):
        return f"contains {found[0]!r}"
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        for inner in token.children or []:
            is_ours = inner.type != "html_inline" or inner.content == "<!-- -->"
            if inner.type in ("link_open", "image") or not is_ours:
                return f"contains {inner.type} {inner.content[:40]}"
    return None


def _commands_of_others(text: str, refused: bool) -> str | None:
    """The workflow commands that are not annotations of findings."""
    for line in text.splitlines():
        ours = line.startswith(("::error title=attn-bench%3A ", "::warning title=attn-bench%3A "))
        if COMMAND.search(line.split("::", 2)[-1] if ours and not refused else line):
            return f"a command: {line[:60]}"
    return None


def _not_well_formed(file: Path) -> str | None:
    try:
        ElementTree.fromstring(file.read_bytes())
    except ElementTree.ParseError as error:
        return str(error)
    return None


def _not_json(file: Path) -> str | None:
    try:
        json.loads(file.read_text())
    except ValueError as error:
        return str(error)
    return None


class _Page(HTMLParser):
    """Finds scripts besides ours, and what would load or run something."""

    problem: str | None = None
    scripts = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attributes:
            if name.startswith("on") or (name in ("src", "href") and "evil" in (value or "")):
                self.problem = f"{tag} {name}={value}"


def _active_in_page(text: str) -> str | None:
    page = _Page()
    page.feed(text)
    return page.problem or ("another script" if page.scripts > 1 else None)


# --- the campaign ---------------------------------------------------------------------------------

SECTIONS: dict[str, tuple[int, Callable[[Sandbox, Section], None]]] = {
    "command lines": (500, attack_commands),
    "suites": (20_000, attack_suites),
    "stored runs": (1_000, attack_stored_runs),
    "resumed folders": (200, attack_resumed),
    "injections": (60, attack_with_texts),
    "cache states": (30, attack_caches),
    "faults": (60, attack_faults),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    is_wrong = False
    for name in options.only:
        asked, attack = SECTIONS[name]
        section = Section(name, max(1, round(asked * options.scale)))
        base = Path(tempfile.mkdtemp(prefix="attn-bench-attack-"))
        began = time.monotonic()
        try:
            attack(Sandbox(base, options.seed), section)
        finally:
            shutil.rmtree(base, ignore_errors=True)
        wrong = section.wrong or []
        is_wrong |= bool(wrong) or section.tried < section.asked
        print(
            f"{name}: {section.tried} tried, {len(wrong)} wrong ({time.monotonic() - began:.0f} s)",
            flush=True,
        )
        for line in wrong[:MOST_SHOWN]:
            print(f"    {line}".encode(errors="backslashreplace").decode())
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
