"""The answer of a run: two or three sentences and a small table, which stand before all figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from attn_bench.analysis.verdicts import Finding
from attn_bench.model import units
from attn_bench.model.case import PLAIN
from attn_bench.model.errors import RequestError
from attn_bench.model.row import Row
from attn_bench.model.run import CheckAnswer
from attn_bench.model.status import COUNTED
from attn_bench.store.reading import read_record
from attn_bench.store.runs import StoredRun
from attn_bench.view import findings
from attn_bench.view.crossed.crossed import cross
from attn_bench.view.json_answer import Kept, read_kept
from attn_bench.view.notes import describe
from attn_bench.view.remarks import name_baseline
from attn_bench.view.summary import group_title, is_among_fastest, show_change

MOST_WINNERS = 2  # sentences
MOST_CROSSED = 3  # sentences
MOST_SLOWER = 4  # modules in one sentence
MOST_NAMED = 3  # variants in one cell or sentence
MOST_CHANGES = 8  # findings of a check
Groups = Mapping[str, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run found.

    title: the question; empty if the title of the suite is the question.
    headings, lines: a small table; empty if the sentences are the whole answer.
    legend: the meaning of its signs.
    is_whole: whether its table has all figures of the run, which need no other table.
    """

    sentences: tuple[str, ...]
    title: str = ""
    headings: tuple[str, ...] = ()
    lines: tuple[tuple[str, ...], ...] = ()
    legend: tuple[str, ...] = ()
    is_whole: bool = False


def find_answer(run: StoredRun) -> Answer | None:
    """The answer of a run; None for a run whose figures are its answer.

    Raises RequestError if the kept answer of a check is damaged.
    """
    info = run.info
    if (kept := read_kept(run.path)) is not None:
        return _of_recommendation(kept)
    if info.check is not None:
        return _of_check(info.check)
    if info.suite.published or info.kind != "run":
        return None
    if not info.suite.timed:
        return None
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in run.rows:
        if row.status != "unsupported":
            groups[group_title(row)].append(row)
    if run.left_out:  # who is the fastest of a part is not known
        for row in run.left_out:
            groups.pop(group_title(row), None)
    baseline = name_baseline(run.rows, info)
    is_of_networks = any(row.backbone for row in run.rows)
    found = _of_networks(groups) if is_of_networks else _of_modules(groups, baseline)
    changes = _describe_crossed(run.rows, baseline)
    return found and replace(found, sentences=(*found.sentences, *changes))


def _describe_crossed(rows: Sequence[Row], baseline: str) -> Iterator[str]:
    """The first sentences of the tables of modules against runtimes and batch sizes."""
    sentences = [sentence for each in cross(rows, baseline) for sentence in each.sentences]
    yield from (f"{sentence}." for sentence in sentences[:MOST_CROSSED])
    if (more := len(sentences) - MOST_CROSSED) > 0:
        yield f"The report lists {units.number(more, 'more such fact')}."


def name_variant(row: Row) -> str:
    """The variant as the tables name it: name and extent."""
    return row.name if row.extent is None else f"{row.name}({row.extent})"


# --- modules --------------------------------------------------------------------------------------


def _of_modules(groups: Groups, baseline: str) -> Answer | None:
    competing = {title: _competitors(members) for title, members in groups.items()}
    winners = {title: list(filter(is_among_fastest, rows)) for title, rows in competing.items()}
    # Without a winner, the fastest is not among these rows, or nothing was compared directly.
    known = {title: rows for title, rows in competing.items() if winners[title]}
    if not any(row.latency_us is not None for rows in known.values() for row in rows):
        known = {}
    if not known:
        rows = [row for members in groups.values() for row in members if row.variant != baseline]
        if len(rows) < 2 or any(row.latency_us is not None for row in rows):
            return None
        return Answer(("No latency is known well enough to name the fastest module.",))
    lines = [_line_of_shape(title, winners[title], rows) for title, rows in known.items()]
    return Answer(
        tuple(_name_winners(known, {title: winners[title] for title in known}, len(groups))),
        headings=("shape", "fastest", "latency", "next module", "takes"),
        lines=tuple(lines) if len(lines) > 1 else (),
    )


def _competitors(rows: Sequence[Row]) -> list[Row]:
    """The rows that were compared with the fastest, the fastest first; some may be unclear."""
    found = [row for row in rows if row.over_fastest_lo is not None]
    return sorted(found, key=lambda row: (row.latency_us is None, row.over_fastest or 0.0))


def _name_winners(groups: Groups, winners: Groups, shapes: int) -> list[str]:
    """The fastest variants, and how much longer the best variants of other modules take.

    shapes: how many there are, with those for which nobody is known to be the fastest.
    """
    noun = _noun(groups)
    alone = Counter(name_variant(found[0]) for found in winners.values() if len(found) == 1)
    words = []
    for winner, count in alone.most_common(MOST_WINNERS):
        titles = [t for t, found in winners.items() if list(map(name_variant, found)) == [winner]]
        is_one = count == 1 and shapes > 1
        where = f" at {titles[0]}" if is_one else _of(count, shapes, noun)
        others = _name_others([groups[title] for title in titles], winner)
        words.append(f"{winner} is the fastest{where}{others}.")
    tied = {title: found for title, found in winners.items() if len(found) > 1}
    if len(tied) == 1:
        ((title, found),) = tied.items()
        where = f" at {title}" if shapes > 1 else ""
        words.append(f"{_list(found)} cannot be told apart{where}: they are the fastest.")
    elif tied:
        where = _of(len(tied), shapes, noun)
        words.append(f"Several modules are the fastest within the measurement error{where}.")
    return words


def _noun(groups: Groups) -> str:
    """What the groups are: shapes, or shapes under several conditions."""
    shapes = {rows[0].shape_in_words for rows in groups.values()}
    return "shapes" if len(shapes) == len(groups) else "settings"


def _of(count: int, groups: int, noun: str) -> str:
    if groups == 1:
        return ""
    if count == groups:
        return f" at both {noun}" if groups == 2 else f" at all {groups} {noun}"
    return f" at {count} of {groups} {noun}"


def _list(rows: Sequence[Row]) -> str:
    names = [name_variant(row) for row in rows]
    more = len(names) - MOST_NAMED
    if more > 0:
        names[MOST_NAMED:] = [f"{more} more"]
    return units.listing(names)


def _name_others(groups: Sequence[Sequence[Row]], winner: str) -> str:
    """How many times as long the best variant of each other module takes there.

    Only of modules whose variants are all known in all of these groups.
    """
    best: dict[str, list[Row]] = defaultdict(list)
    for group in groups:
        mine = next(row.module for row in group if name_variant(row) == winner)
        by_module: dict[str, list[Row]] = defaultdict(list)
        for row in group:
            if row.module != mine:
                by_module[row.module].append(row)
        for module, rows in by_module.items():
            if all(row.over_fastest is not None for row in rows):
                best[module].append(min(rows, key=lambda row: row.over_fastest or 0.0))
    whole = [rows for rows in best.values() if len(rows) == len(groups)]
    ordered = sorted(whole, key=lambda rows: min(row.over_fastest or 0.0 for row in rows))
    return "".join(f"; {_say_range(rows)}" for rows in ordered[:MOST_SLOWER])


def _say_range(rows: Sequence[Row]) -> str:
    """How many times as long the rows take: an interval, or the range over several shapes."""
    names = {name_variant(row) for row in rows}
    name = names.pop() if len(names) == 1 else f"the best {rows[0].module}"
    intervals = [over for row in rows if (over := row.interval("over_fastest"))]
    if len(intervals) == 1:
        return f"{name} takes {units.with_interval(intervals[0].times(1))} times as long"
    found = [over.value for over in intervals]
    return f"{name} takes {units.between(min(found), max(found))} times as long"


def _line_of_shape(title: str, winners: Sequence[Row], rows: Sequence[Row]) -> tuple[str, ...]:
    """The fastest at a shape, its latency, and the best variant of another module."""
    modules = {row.module for row in winners}
    slower = [row for row in rows if row.over_fastest is not None and row.module not in modules]
    following = slower[0] if slower else None
    over = following.interval("over_fastest") if following else None
    return (
        title,
        _list(winners),
        _latency(winners[0]),
        name_variant(following) if following else "",
        f"{units.with_interval(over.times(1))} ×" if over else "",
    )


def _latency(row: Row) -> str:
    latency = row.interval("latency_us")
    return f"{units.with_interval(latency.times(1e-3))} ms" if latency else units.UNCLEAR


def _pick(cells: Sequence[str], places: Sequence[int]) -> tuple[str, ...]:
    return tuple(cells[i] for i in places)


# --- networks -------------------------------------------------------------------------------------


def _of_networks(groups: Groups) -> Answer | None:
    """The module that adds the least latency to each network, and the one that adds the most."""
    lines, sentences = [], []
    for title, rows in groups.items():
        plain = next((r for r in rows if r.variant == PLAIN and r.status in COUNTED), None)
        others = _competitors([row for row in rows if row is not plain])
        fastest = list(filter(is_among_fastest, others))
        if plain is None or not fastest or fastest[0].ratio is None:
            continue
        least, *alike = fastest
        most = max(others, key=lambda row: row.ratio or 0.0)
        ends = ("", "") if most in fastest else (name_variant(most), show_change(most))
        lines.append((title, _latency(plain), _list(fastest), show_change(least), *ends))
        error = f"; {_list(alike)} may add as little" if alike else ""
        sentences.append(
            f"{name_variant(least)} adds the least latency to {title}: {show_change(least)}{error}."
        )
    if not lines:
        return None
    if len(sentences) > MOST_WINNERS:
        sentences = ["The table names the module that adds the least latency to each network."]
    headings = ("network", "plain", "adds least", "latency", "adds most", "latency")
    return Answer(tuple(sentences), headings=headings, lines=tuple(lines))


# --- a recommendation -----------------------------------------------------------------------------


def _of_recommendation(kept: Kept) -> Answer:
    table = kept.table
    if table is None:
        return Answer(kept.sentences, kept.question)
    legend = (*table.legend, "Caveats:", *(f"- {caveat}" for caveat in kept.caveats))
    width = len(table.headings)
    lines = tuple((*line, *[""] * (width - len(line))) for line in table.lines)
    return Answer(kept.sentences, kept.question, table.headings, lines, legend, is_whole=True)


# --- a check --------------------------------------------------------------------------------------


def compare_runs(old: StoredRun, new: StoredRun) -> Answer | None:
    """What changed from one run to another; None if they have no case in common."""
    from attn_bench.jobs.check.check import compare

    try:
        found = compare(str(old.path), str(new.path), ())
    except RequestError:
        return None
    selected = {row.case_id for row in (*old.rows, *new.rows)}
    findings_ = [finding for finding in found.findings if finding.case_id in selected]
    answer = _of_findings(findings_, f"From {old.path.name} to {new.path.name}")
    notes = tuple(f"{describe(note)[:1].upper()}{describe(note)[1:]}." for note in found.notes)
    return replace(answer, sentences=(*answer.sentences, *notes))


def _of_check(kept: CheckAnswer) -> Answer:
    return _of_findings(read_record(kept.findings, tuple[Finding, ...]), f"Against {kept.baseline}")


def _of_findings(found: Sequence[Finding], title: str) -> Answer:
    notable = findings.find_notable(found)
    seen = findings.describe_visibility(found)
    cells = [findings.make_cells(finding) for finding in notable[:MOST_CHANGES]]
    used = [i for i in range(len(findings.HEADINGS)) if any(each[i] for each in cells)]
    is_cut = len(notable) > len(cells)
    return Answer(
        (
            f"{findings.summarise(found)}.",
            *([seen] if seen else []),
            *([f"The table has the first {len(cells)} of {len(notable)}."] if is_cut else []),
        ),
        title,
        _pick(findings.HEADINGS, used) if cells else (),
        tuple(_pick(each, used) for each in cells),
    )
