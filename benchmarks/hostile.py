"""Makes damaged and hostile input: command lines, suites, stored runs, texts.

Everything follows from a random generator, so that a failure can be repeated from its seed.
"""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Rng = random.Random

# Texts that act on a terminal, a runner, a spreadsheet, a page or a file system.
TEXTS: Mapping[str, str] = {
    "escape": "\x1b[2J\x1b]0;owned\x07red",
    "c1": "\x9b31mred\x85next",
    "nul": "a\x00b",
    "vertical": "a\x0b\x0c\x1cb",
    "bidi": "safe\u202eelif\u2066x\u2069\u200f",
    "newline": "title\n::error::pwned\r\n::add-mask::e",
    "command": "::error file=a.py,line=1::pwned",
    "wrapped": "x" * 90 + "::add-mask::e",
    "old command": "see ##[error]pwned ##[add-mask]e",
    "surrogate": "half \ud800 pair",
    "noncharacter": "a\ufffe\uffffb",
    "markup": "[bold red]x[/] [link=http://evil.example]y[/link]",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": '" onmouseover="alert(1)',
    "markdown": "[a](http://evil.example) ![b](http://evil.example/b.png) | @everyone #1 **c**",
    "formula": '=HYPERLINK("http://evil.example")',
    "plus": "+1+1",
    "at": "@SUM(A1)",
    "path": "../../outside/canary",
    "format": "%s%n{0}{x!r}",
    "template": "{{ 7*7 }}{% raw %}",
    "long": "x" * 20_000,
    "wide": "注意力" * 40,
    "empty": "",
}
NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 1.5, -0.0, 1e-300, 1e300, 2**31, 2**63, 2**64, 10**30, 1_000_000),
    *(float("nan"), float("inf"), float("-inf")),
)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"a": {}}, [None], ["x"], [1, 2], "cpu")


def some_value(rng: Rng) -> Any:
    kind = rng.randrange(3)
    if kind == 0:
        return rng.choice(NUMBERS)
    return rng.choice(list(TEXTS.values())) if kind == 1 else copy.deepcopy(rng.choice(OTHERS))


# --- JSON -----------------------------------------------------------------------------------------


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, each in items:
        yield from _places(each, (*place, key))


def mutate_json(value: Any, rng: Rng) -> Any:
    """A copy of JSON values with one to three changes."""
    found = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(found))
        if not places:
            return some_value(rng)
        *way, last = rng.choice(places)
        holder = found
        for step in way:
            holder = holder[step]
        change = rng.randrange(6)
        if change == 0:
            del holder[last]
        elif change == 1 and isinstance(holder, dict):
            holder[rng.choice(("unknown", "__class__", *TEXTS.values()))] = some_value(rng)
        elif change == 2 and isinstance(holder, dict):
            holder[rng.choice(list(TEXTS.values()))] = holder.pop(last)
        elif change == 3:
            holder[last] = [holder[last]]
        else:
            holder[last] = some_value(rng)
    return found


def mutate_bytes(content: bytes, rng: Rng) -> bytes:
    """A copy of a file that is cut, or has other bytes."""
    found = bytearray(content)
    change = rng.randrange(5)
    if change == 0:
        return bytes(found[: rng.randrange(len(found) + 1)])
    if change == 1:
        return b"[" * 100_000 + bytes(found)
    if change == 2:
        return rng.randbytes(rng.randrange(400))
    for _ in range(rng.choice((1, 4, 40))):
        if found:
            place = rng.randrange(len(found))
            found[place : place + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return bytes(found)


# --- stored runs ----------------------------------------------------------------------------------

FILES = ("run.json", "table.parquet", "samples.parquet", "journal.jsonl", "answer.json")


def mutate_run(folder: Path, rng: Rng, outside: Path) -> str:
    """Damage the run in `folder`, and return how. outside: a file that links may point to."""
    change = rng.choice(CHANGES)
    return change(folder, rng, outside)


def _other_json(folder: Path, rng: Rng, outside: Path) -> str:
    file = folder / "run.json"
    found = mutate_json(json.loads(file.read_text()), rng)
    file.write_bytes(
        json.dumps(found, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    )
    return "other values in run.json"


def _other_table(folder: Path, rng: Rng, outside: Path) -> str:
    import pandas as pd

    file = folder / rng.choice(("table.parquet", "samples.parquet"))
    if not file.exists():  # a run that was interrupted has none
        return _other_journal(folder, rng, outside)
    frame = pd.read_parquet(file)
    change, column = rng.randrange(6), rng.choice(list(frame.columns))
    if change == 0:
        frame = frame.drop(columns=column)
    elif change == 1:
        frame = frame.head(rng.randrange(2))
    elif change == 2:
        frame = pd.concat([frame, frame])
    elif change == 3:
        frame = frame.rename(columns={column: rng.choice(("unknown", "x\x1b[2J"))})
    else:
        value = rng.choice((*NUMBERS, *TEXTS.values(), None, True))
        whole = rng.random() < 0.5
        values = [value] * len(frame) if whole else [value, *frame[column].astype(object)[1:]]
        frame[column] = pd.Series(values, index=frame.index, dtype=object)
    try:
        frame.to_parquet(file)
    except Exception:  # two types in one column: as texts
        try:
            frame.astype({column: str}).to_parquet(file)
        except Exception:  # a text that is not UTF-8
            file.write_bytes(b"PAR1")
    return f"another {file.name}, column {column}"


def _other_bytes(folder: Path, rng: Rng, outside: Path) -> str:
    file = folder / rng.choice(FILES[:4])
    content = file.read_bytes() if file.exists() else b""
    file.write_bytes(mutate_bytes(content, rng))
    return f"other bytes in {file.name}"


def _other_journal(folder: Path, rng: Rng, outside: Path) -> str:
    file = folder / "journal.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    if not lines:
        return "no journal"
    number = rng.randrange(len(lines))
    lines[number] = json.dumps(mutate_json(json.loads(lines[number]), rng))
    if rng.random() < 0.2:
        lines[number] = "[" * 100_000
    file.write_text("\n".join(lines) + "\n")
    return "other values in journal.jsonl"


def _other_kind_of_file(folder: Path, rng: Rng, outside: Path) -> str:
    file = folder / rng.choice((*FILES, ".table.csv.part", "table.csv", "report.html"))
    if file.is_file() and not file.is_symlink():
        file.unlink()
    if file.exists() or file.is_symlink():
        return "no change"
    kinds = ("a link outside", "a broken link", "a pipe", "a folder", "gone")
    change = rng.randrange(len(kinds))
    if change == 0:
        file.symlink_to(outside)
    elif change == 1:
        file.symlink_to(folder / "nowhere")
    elif change == 2:
        os.mkfifo(file)
    elif change == 3:
        file.mkdir()
    return f"{file.name} is {kinds[change]}"


CHANGES: tuple[Callable[[Path, Rng, Path], str], ...] = (
    *(_other_json, _other_json, _other_json, _other_table, _other_table, _other_bytes),
    *(_other_journal, _other_kind_of_file),
)


def copy_run(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


# --- suites ---------------------------------------------------------------------------------------

WORDS = (
    "se",
    "cbam",
    "ge_theta",
    "ge_theta_minus",
    "identity",
    "timm/eca",
    "nosuch",
    "",
    "*",
    "None",
)
KEYS = (
    *(
        "title",
        "baseline",
        "budget",
        "precision",
        "sessions",
        "leave_out",
        "timed",
        "dtype",
        "mode",
    ),
    *("memory_format", "execution", "backbone", "place", "input", "batch", "cases", "unknown"),
)


def suite_text(rng: Rng) -> str:
    """A suite from a grammar: most keys are right, and some values are not."""
    lines = ['title = "t"'] if rng.random() < 0.8 else []
    lines += [f"{rng.choice(KEYS)} = {_toml(rng)}" for _ in range(rng.randrange(3))]
    for _ in range(rng.randrange(1, 3)):
        lines += ["[[grid]]", f"module = {_some(rng, lambda: json.dumps(rng.choice(WORDS)))}"]
        if rng.random() < 0.6:
            lines.append(
                f"extent = {_some(rng, lambda: rng.choice(('2', '4', '8', '0', _toml(rng))))}"
            )
        if rng.random() < 0.3:
            lines += ["[grid.arguments]", f"rd_ratio = {_toml(rng)}"]
    if rng.random() < 0.9:
        lines += ["[shapes]", f"batch = {_some(rng, lambda: rng.choice(('1', '8', _toml(rng))))}"]
        sizes = ", ".join(rng.choice(("8", "64", "7", "1", _toml(rng))) for _ in range(3))
        lines.append(f"stages = [[{sizes}]]")
    if rng.random() < 0.2:
        metric = rng.choice((json.dumps("latency"), _toml(rng)))
        lines += ["[[tolerance]]", f"metric = {metric}", "fail = 3"]
    return "\n".join(lines) + "\n"


def _some(rng: Rng, one: Callable[[], str]) -> str:
    return one() if rng.random() < 0.5 else f"[{', '.join(one() for _ in range(rng.randrange(4)))}]"


def _toml(rng: Rng) -> str:
    """A value in TOML, or what is not one."""
    value = some_value(rng)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ a = 1 }"
    if value is None:
        return '"none"'
    return repr(value).replace("None", '"none"')


# --- command lines --------------------------------------------------------------------------------

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "list": ("--json", "--modules-from"),
    "run": (
        *("--suite", "--modules", "--where", "--modules-from", "--budget", "--precision"),
        *("--sessions", "--out", "--seed", "--threads", "--timeout", "--pages", "--memory"),
        *("--resume", "--dry-run", "--quick", "--device", "--format"),
    ),
    "show": ("--where", "--sort", "--columns", "--format"),
    "report": ("--out", "--png"),
    "compare": (
        *("--tolerance", "--warn", "--must-see", "--json", "--junit", "--markdown", "--badge"),
        *("--codequality", "--github-action-benchmark"),
    ),
    "check": (
        "--suite",
        "--against",
        "--baseline",
        "--tolerance",
        "--must-see",
        "--json",
        "--budget",
    ),
    "recommend": (
        *("--backbone", "--shape", "--place", "--batch", "--input", "--max-latency", "--mode"),
        *("--max-params", "--search", "--minutes", "--share-of", "--modules", "--json"),
    ),
    "verify": ("--modules-from", "--json", "--timeout", "--memory"),
    "selfcheck": ("--minutes", "--device"),
    "nosuch": (),
}
VALUES: tuple[str, ...] = (
    *(
        "smoke",
        "ge_extents",
        "nosuch",
        "latest",
        "run",
        "0",
        "1",
        "-1",
        "1e999",
        "nan",
        "inf",
        "5%",
    ),
    *(
        "64x8x8",
        "x",
        "resnet50",
        "resnet18:stage 1",
        "layer*",
        "stage 9",
        "latency=3",
        "*:params=x",
    ),
    *(
        "channels > 8",
        "channels >",
        "1if channels else 2",
        "__import__('os')",
        "(" * 300,
        "csv",
        "all",
    ),
    *("-latency_us", "made", "made/x", "nowhere/x", ".", "a folder", "pipe", "link", "locked/x"),
    *(text for text in TEXTS.values() if "\x00" not in text and "\ud800" not in text),
)
FLAGS = ("--json", "--dry-run", "--quick")


def command_line(rng: Rng) -> list[str]:
    """A command with options that exist, and values that mostly do not fit."""
    command = rng.choice(list(COMMANDS))
    words = [command]
    for _ in range(
        rng.randrange(3) if command in ("show", "report", "compare", "list", "verify") else 0
    ):
        words.append(rng.choice(VALUES))
    for option in rng.sample(COMMANDS[command], min(len(COMMANDS[command]), rng.randrange(4))):
        words.append(option)
        if option not in FLAGS or (option == "--json" and command != "list"):
            words.append(rng.choice(VALUES))
    return words
