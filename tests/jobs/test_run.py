"""A whole run through the real parts: `run --suite smoke`, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from inside import RealFacts, inside, steady
from program import ROOT, Cli, ProgramRun

from attn_bench.catalog.registry import builtin
from attn_bench.model.case import Case
from attn_bench.model.metrics import METRICS, ends_of
from attn_bench.model.protocol import ShareMemory
from attn_bench.model.row import COLUMNS
from attn_bench.model.status import Exit
from attn_bench.store import runs
from attn_bench.store.info import SCHEMA


def test_it_ends_well_and_says_where_it_is(real_smoke: ProgramRun) -> None:
    """Status 0, or 4 on a busy machine; the last line on standard output is the run folder."""
    assert real_smoke.process.returncode in (0, 4), real_smoke.process.stderr
    last = real_smoke.process.stdout.splitlines()[-1]
    assert last == f"run folder: results/{real_smoke.folder.name}"


def test_workers_share_the_memory(tmp_path: Path) -> None:
    """The first one learns how many live at once; all others begin with the limit that it found."""
    script = RealFacts(steady)
    words = ("run", "--suite", "smoke", "--sessions", "4", "--where", "extent == 2")
    assert inside(*words, cwd=tmp_path, script=script).returncode == 0
    assert script.asked_for(ShareMemory) == [ShareMemory(4)]
    first, *others = [worker.opening.memory_bytes for worker in script.workers]  # type: ignore[attr-defined]
    assert first is None
    assert len(others) == 3
    assert len(set(others)) == 1
    assert others[0] is not None


def test_the_folder_holds_what_it_should(real_smoke: ProgramRun) -> None:
    """Exactly the files of the contract, and none half-written."""
    names = sorted(path.name for path in real_smoke.folder.iterdir())
    tables = ["table.csv", "table.md", "table.parquet"]
    assert names == ["journal.jsonl", "run.json", "samples.parquet", *tables]


def test_table_has_a_row_for_each_case_and_every_column(real_smoke: ProgramRun) -> None:
    """All columns in order; empty are, on a CPU, those of networks, devices and faults alone."""
    table = pd.read_csv(real_smoke.folder / "table.csv")
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 9
    with_extent = table[table.module.str.startswith("ge_")]
    empty = {name for name in COLUMNS if with_extent[name].isna().any()}
    times = {m.name for m in METRICS if m.kind != "exact"}  # on a busy machine some are unclear
    of_networks, of_devices = {"backbone", "place"}, {"device_clock"}
    of_devices |= {end for name in ("queued_us", "device_us") for end in (name, *ends_of(name))}
    of_runs = {"arguments", "against"}  # a run compares with no commit, and may be outside git
    found = empty - times - {"error", "revision", "dirty"}
    assert found == of_networks | (of_devices - times) | of_runs


def test_the_three_tables_agree(real_smoke: ProgramRun) -> None:
    """Parquet, CSV and Markdown are one table in three forms."""
    parquet = pd.read_parquet(real_smoke.folder / "table.parquet")
    table = pd.read_csv(real_smoke.folder / "table.csv")
    assert list(parquet.case_id) == list(table.case_id)
    assert list(parquet.ratio_hi) == pytest.approx(list(table.ratio_hi))
    markdown = (real_smoke.folder / "table.md").read_text().splitlines()
    assert len(markdown) == len(table) + 2


def test_samples_hold_every_block_of_the_journal(real_smoke: ProgramRun) -> None:
    """Nothing is thrown away: the blocks of the journal are those of samples.parquet."""
    samples = pd.read_parquet(real_smoke.folder / "samples.parquet")
    journal = [json.loads(line) for line in (real_smoke.folder / "journal.jsonl").open()]
    blocks = [entry["block"] for entry in journal if "block" in entry]
    assert len(samples) == len(blocks)
    assert list(samples.seconds) == [block["seconds"] for block in blocks]
    assert {"case_id", "session", "round", "position", "calls", "seconds"} <= set(samples.columns)


def test_every_round_is_every_case_in_random_order(real_smoke: ProgramRun) -> None:
    """A round holds each case once and the shared baseline several times, in changing order."""
    samples = pd.read_parquet(real_smoke.folder / "samples.parquet")
    whole = [g for _, g in samples.groupby(["session", "round"]) if g.case_id.nunique() == 9]
    assert len(whole) > 3
    orders = {tuple(group.sort_values("position").case_id) for group in whole}
    assert len(orders) > 1
    for group in whole:
        counts = group.case_id.value_counts()
        assert counts.pop(next(name for name in counts.index if "identity" in name)) == 3
        assert set(counts) == {1}


def test_ratio_of_the_baseline_is_one_and_intervals_hold_their_estimates(
    real_smoke: ProgramRun,
) -> None:
    """Each figure lies within its interval; the baseline is its own unit."""
    for row in real_smoke.stored.rows:
        if row.status == "ok":  # on a busy machine a time may be unclear
            assert row.latency_lo_us <= row.latency_us <= row.latency_hi_us  # type: ignore[operator]
            assert row.ratio_lo <= row.ratio <= row.ratio_hi  # type: ignore[operator]
        assert row.sessions >= 2  # type: ignore[operator]
        if row.module == "identity" and row.status == "ok":
            assert row.ratio == row.ratio_lo == row.ratio_hi == 1


def test_macs_fvcore_is_fvcores_total(real_smoke: ProgramRun) -> None:
    """Every row's `macs_fvcore` is what FlopCountAnalysis gives for that module and input."""
    for row in real_smoke.stored.rows:
        module = builtin().get(row.module).build(row.channels, (16, 16), row.extent).eval()
        x = torch.randn(row.batch, row.channels, row.height, row.width)
        analysis = FlopCountAnalysis(module, x).unsupported_ops_warnings(False)
        assert row.macs_fvcore == analysis.uncalled_modules_warnings(False).total()


def test_run_json_tells_machine_software_and_settings(real_smoke: ProgramRun) -> None:
    """What a reader needs to judge the figures, and nothing that names the user or a path."""
    info = json.loads((real_smoke.folder / "run.json").read_text())
    assert info["schema"] == SCHEMA
    assert info["state"] == "finished"
    assert info["settings"]["seed"] == 0
    assert info["environment"]["software"]["torch"] == torch.__version__.partition("+")[0]
    assert info["environment"]["cores_usable"] >= 1
    assert info["rates"]["float32"]["macs_per_s"] > 1e8
    assert 0 < info["calling_share"] <= 1
    assert str(ROOT) not in json.dumps(info)
    assert str(Path.home()) not in json.dumps(info["environment"])


def test_summary_is_plain_text_within_100_columns(smoke: ProgramRun) -> None:
    """Where output is no terminal there is no escape code, and the table fits 100 columns."""
    output = smoke.process.stdout + smoke.process.stderr
    assert "\x1b" not in output
    table = smoke.process.stdout.split("\n* the best")[0]
    assert all(len(line) <= 100 for line in table.splitlines()[2:])


def test_exact_metrics_are_the_same_in_two_runs(real_smoke: ProgramRun, smoke: ProgramRun) -> None:
    """They repeat to the digit and the byte in another process, and in another run."""
    exact = ["params", "buffers", "macs", "macs_fvcore", "elementwise_ops", "peak_memory_bytes"]
    first, again = (
        pd.read_csv(run.folder / "table.csv", index_col="case_id")[exact]
        for run in (real_smoke, smoke)
    )
    assert first.equals(again)


def test_a_time_that_is_not_known_is_no_figure(tmp_path: Path) -> None:
    """Sessions differ threefold: status 4, empty cells with their ends, exact metrics shown."""

    def wild(case: Case, session: int, round_: int) -> float:
        factor = 3.0 if case.variant.module == "se" and session % 2 else 1.0
        return factor * steady(case, session, round_)

    done = inside("run", "--suite", "smoke", "--out", "run", cwd=tmp_path, script=RealFacts(wild))
    assert done.returncode == Exit.UNDECIDED, done.stdout + done.stderr
    (row,) = [r for r in runs.load(tmp_path / "run").rows if r.module == "se"]
    assert (row.status, row.latency_us, row.ratio) == ("unclear", None, None)
    assert row.latency_lo_us is not None
    assert row.params
    assert "not known to ± 25 %" in (row.error or "")
    line = next(line for line in done.stdout.splitlines() if line.split()[:1] == ["se"])
    assert line.split()[1:3] == ["unclear", "unclear"]
    assert str(row.params) in line


def test_a_stored_run_tells_what_a_budget_will_reach(cli: Cli) -> None:
    """--dry-run knows nothing at first; after a run it forecasts from that run's variances."""
    plan = ("run", "--suite", "smoke", "--dry-run")
    assert "No forecast" in cli(*plan).stdout
    assert cli("run", "--suite", "smoke").returncode == 0
    told = cli(*plan).stdout
    assert "Forecast from 20" in told
    assert "nine of ten ratios known to ±" in told


def test_no_time_is_shown_beside_much_other_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However precise the times are: status 4, no figure of time, and every exact metric."""
    monkeypatch.setattr("attn_bench.engine.run.is_overloaded", lambda seen: True)
    done = inside("run", "--suite", "smoke", "--out", "run", cwd=tmp_path)
    assert done.returncode == Exit.UNDECIDED, done.stdout + done.stderr
    for row in runs.load(tmp_path / "run").rows:
        assert (row.status, row.latency_us, row.over_fastest) == ("unclear", None, None)
        assert row.latency_lo_us is not None
        assert row.params is not None
        assert "no time is valid" in (row.error or "")
