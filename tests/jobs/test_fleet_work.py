"""`work` and `merge`: claims, takeovers, late owners, and one table of what hosts measured."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from inside import RealFacts, inside, steady

from attn_bench.catalog.code import hash_of
from attn_bench.model.case import Case
from attn_bench.model.fleet import FleetPlan
from attn_bench.model.protocol import Message, RunBlock
from attn_bench.model.row import COLUMNS
from attn_bench.model.status import Exit
from attn_bench.store.claims import Claim, Observer, Owner, claim
from attn_bench.store.fleet import list_plans, name_plan, read_fleet
from attn_bench.store.fleet_tables import DEVICE_COLUMNS
from attn_bench.store.frames import as_records
from attn_bench.store.places import Place, Unreachable
from attn_bench.store.reading import read_record
from attn_bench.store.runs import load

SUITE = """
title = "two modules"
budget = 1
sessions = 2
[[grid]]
module = ["se", "ge_theta_minus"]
[shapes]
batch = 1
stages = [[8, 4, 4]]
"""
LEASE_S = 0.4
WORK = ("work", "store", "--suite", "suite.toml", "--device", "cpu", "--lease", str(LEASE_S))


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder with a suite; its hosts share the folder `store`."""
    (tmp_path / "suite.toml").write_text(SUITE)
    return tmp_path


@pytest.fixture(scope="session")
def measured_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose only shard is done."""
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "suite.toml").write_text(SUITE)
    done = inside(*WORK, cwd=folder)
    assert (done.returncode, "3 of 3 cases are ok" in done.stdout) == (Exit.GOOD, True), done
    return folder / "store"


@pytest.fixture
def measured(measured_store: Path, host: Path) -> Path:
    """A copy of that store in the folder of a host."""
    shutil.copytree(measured_store, host / "store")
    return host


def plan_of(host: Path) -> Place:
    (place,) = list_plans(str(host / "store"))
    return place


def claims_of(place: Place) -> list[str]:
    return [key.rpartition("/")[2] for key in place.find("shards") if "/claims/" in key]


def shard_of(host: Path) -> Path:
    (shard,) = host.glob("store/*/shards/*")
    return shard


def change_plan(
    host: Path, record: str, name: str, value: object, *, is_renamed: bool = True
) -> None:
    """Another value in plan.json, and the code and the folder's name that it then has."""
    file = next(host.glob("store/*/plan.json"))
    plan = json.loads(file.read_text())
    plan[record][name] = value
    plan["code"] = hash_of(plan["sources"])
    file.write_text(json.dumps(plan))
    if is_renamed:
        del plan["schema"]
        file.parent.rename(file.parent.with_name(name_plan(read_record(plan, FleetPlan))))


def journal_of(host: Path, epoch: str) -> str:
    return "".join(
        part.read_text() for part in sorted((shard_of(host) / epoch).glob("journal-*.jsonl"))
    )


def test_what_is_done_is_not_measured_again(measured: Path) -> None:
    """A host that comes later finds the shard done, times nothing, and ends well."""
    script = RealFacts(steady)
    done = inside("work", "store", cwd=measured, script=script)
    assert (done.returncode, "is measured already" in done.stdout) == (Exit.GOOD, True), done
    assert script.asked_for(RunBlock) == []
    assert claims_of(plan_of(measured)) == ["000001.json"]


def test_a_shard_holds_what_its_owner_measured(measured: Path) -> None:
    """No path of the host is in it, and its last beat says that all cases are done."""
    fleet = read_fleet(str(measured / "store"))
    (one,) = fleet.done
    assert (one.shard.state, one.shard.done, one.shard.total) == ("done", 3, 3)
    assert (len(one.rows), one.info.state, fleet.unfinished) == (3, "finished", ())
    assert one.info.request == fleet.plan.request
    text = (shard_of(measured) / "000001" / "run.json").read_text()
    assert str(measured.parent.parent) not in text
    assert "attn-bench-exports" not in text


def test_a_lost_owner_is_followed_by_another_who_goes_on(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the lease the next host claims a new epoch, and keeps every block of the first."""

    def until_killed(case: Case, session: int, round_: int) -> float | BaseException:
        return KeyboardInterrupt() if round_ == 5 else steady(case, session, round_)

    with monkeypatch.context() as patch:
        patch.setattr(Claim, "release", lambda self: None)  # it is killed
        killed = inside(*WORK, cwd=host, script=RealFacts(until_killed))
    assert killed.returncode == Exit.INTERRUPTED
    first = journal_of(host, "000001")
    began = time.monotonic()
    done = inside("work", "store", cwd=host)
    assert (done.returncode, "3 of 3 cases are ok" in done.stdout) == (Exit.GOOD, True), done
    assert time.monotonic() - began >= LEASE_S
    assert claims_of(plan_of(host)) == ["000001.json", "000002.json"]
    assert journal_of(host, "000002").startswith(first)
    assert '"block"' in first


def test_an_interrupted_owner_gives_its_shard_back(host: Path) -> None:
    """After Ctrl-C the next host goes on without waiting for a lease."""

    def until_interrupted(case: Case, session: int, round_: int) -> float | BaseException:
        return KeyboardInterrupt() if round_ == 5 else steady(case, session, round_)

    words = (*WORK[:-1], "1000")
    assert inside(*words, cwd=host, script=RealFacts(until_interrupted)).returncode == 130
    assert [s.state for s in read_fleet(str(host / "store")).unfinished] == ["free"]
    assert inside("work", "store", cwd=host).returncode == Exit.GOOD
    assert len(read_fleet(str(host / "store")).done) == 1


def test_a_late_owner_stops_and_its_writes_are_not_read(host: Path) -> None:
    """An owner whose shard was taken over finds out at its next beat, and becomes a standby."""
    thieves: list[Claim] = []

    def steal(message: Message) -> None:
        if isinstance(message, RunBlock) and message.place == 3 and not thieves:
            place = plan_of(host)
            late = Observer(place, 0)  # a lease of nothing: its owner counts as lost
            stolen = claim(place, late, shard_of(host).name, Owner("thief", "stolen device"))
            assert stolen is not None
            thieves.append(stolen)
            time.sleep(LEASE_S / 2)

    done = inside(*WORK, cwd=host, script=RealFacts(steady, instead=steal))
    assert (done.returncode, "waiting for the owner" in done.stderr) == (Exit.GOOD, True), done
    place = plan_of(host)
    assert claims_of(place) == ["000001.json", "000002.json", "000003.json"]
    names = {key.split("/", 2)[2] for key in place.find("shards")}
    assert {"000003/run.json"} == {name for name in names if name.endswith("run.json")}
    (one,) = read_fleet(str(host / "store")).done
    assert one.shard.host != "thief"


def test_what_a_late_owner_finished_is_adopted(measured: Path) -> None:
    """What an owner finished before it saw the newer claim is the shard's, with its host."""
    shard = shard_of(measured)
    (shard / "claims" / "000002.json").write_text("{}")
    (shard / "000002").mkdir()
    (shard / "000002" / "released").write_text("released")
    script = RealFacts(steady)
    done = inside("work", "store", cwd=measured, script=script)
    assert (done.returncode, script.asked_for(RunBlock)) == (Exit.GOOD, [])
    (one,) = read_fleet(str(measured / "store")).done
    assert (len(one.rows), len(claims_of(plan_of(measured)))) == (3, 2)


def test_other_code_than_the_plans_is_refused(measured: Path) -> None:
    """One line names the built-in modules with both digests; nothing is claimed."""
    change_plan(measured, "sources", "attn_bench.modules", "0123456789abcdef")
    done = inside("work", "store", cwd=measured)
    assert done.returncode == Exit.BAD_REQUEST
    assert "the built-in modules of this host" in done.stderr
    assert "0123456789abcdef" in done.stderr


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("lease_s", 1e-9, "lease_s must be"),
        ("schema", 2, "this version reads schema 1 only"),
        ("version", "9.9", "attn-bench 9.9 made this plan"),
        ("name", "../../escaped", "suite.name is '../../escaped', and must be a file's name"),
        ("threads", 10**6, "threads"),
    ],
)
def test_a_damaged_plan_is_refused(key: str, value: object, complaint: str, measured: Path) -> None:
    """One line names the place in plan.json and the rule; nothing is measured."""
    file = next(measured.glob("store/*/plan.json"))
    plan = json.loads(file.read_text())
    inside_of = {"name": plan["suite"], "threads": plan["request"]}.get(key, plan)
    inside_of[key] = value
    file.write_text(json.dumps(plan))
    done = inside("work", "store", cwd=measured)
    assert (done.returncode, complaint in done.stderr) == (Exit.BAD_REQUEST, True), done.stderr


@pytest.mark.parametrize("words", [WORK, ("work", "store"), ("merge", "store")], ids=" ".join)
def test_a_plan_must_be_that_of_its_name(words: Sequence[str], measured: Path) -> None:
    """A plan that was changed in the store is refused, whoever reads it."""
    change_plan(measured, "request", "budget_s", 1000.0, is_renamed=False)
    done = inside(*words, cwd=measured)
    assert (done.returncode, "not that of its folder's name" in done.stderr) == (2, True), done


def test_the_code_of_a_plan_is_that_of_its_sources(measured: Path) -> None:
    """Neither can be changed alone: shards of other code would pass for the plan's."""
    file = next(measured.glob("store/*/plan.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), "sources": {}}))
    done = inside("merge", "store", cwd=measured)
    assert (done.returncode, "not the hash of its sources" in done.stderr) == (2, True), done


def test_a_stored_plan_starts_no_code_by_itself(measured: Path) -> None:
    """A plan that loads a user's file is refused unless the file is named again."""
    change_plan(measured, "request", "modules_from", ["theirs.py"])
    done = inside("work", "store", cwd=measured)
    assert (done.returncode, "--modules-from theirs.py" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("work", "empty"), "has no plan: --suite NAME makes one"),
        (("work", "suite.toml", "--suite", "smoke"), "suite.toml: is a file: STORE must be a fo"),
        ((*WORK[:-1], "7"), "--lease 7.0: the plan store/suite-"),
        ((*WORK, "--per", "host"), "has device since it was made; leave the option out, or take"),
        (
            ("fleet", "--store", "x", "--suite", "smoke"),
            "Missing option '--engine'. Choose from",
        ),
        (("work", "store", "--budget", "3"), "--budget needs --suite"),
        (("work", "http://host/store"), "cannot create an object exclusively"),
        (("work", "s4://user:secret@bucket"), "s4://bucket"),
        (("merge", "s3://key:sec/secret@bucket/x"), "s3://bucket/x: a user or a password"),
        (("merge", "file://key:secret@host/x"), "a password in the URL is not used"),
        (("merge", "s3:/bucket/x"), "a URL begins with s3://"),
        (("report", "s3:/key:secret@bucket"), "a URL begins with s3://"),
        (("merge", "s3://bucket/x?password=secret"), "s3://bucket/x: what follows '?'"),
        (("fleet", "--store", "s3:/b", "--engine", "local", "--suite", "smoke"), "begins with s3:"),
        (("merge", "s3://"), "names no bucket"),
        (("work", "memory://x", "--suite", "smoke"), "ends with this process"),
        (("merge", "a" * 300), "cannot be read: File name too long"),
        (("merge", "empty"), "has no plan"),
        (("merge", "store", "--out", "table.parq"), "did you mean '.parquet'?"),
    ],
)
def test_a_wrong_request_gets_one_line(
    words: tuple[str, ...], complaint: str, measured: Path
) -> None:
    """It names what is wrong; a password in a URL is not shown."""
    done = inside(*words, cwd=measured)
    assert done.returncode == Exit.BAD_REQUEST, done
    (line,) = done.stderr.splitlines()
    assert complaint in line
    assert "secret" not in line


def test_a_store_that_takes_nothing_more_is_not_a_wrong_request(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk ends in status 3, so that a service starts `work` again; the claim is free."""
    put = Claim.put

    def full(self: Claim, name: str, content: bytes) -> None:
        if name == "samples.parquet":
            raise Unreachable("store: cannot be written: No space left on device")
        put(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(Claim, "put", full)
        patch.setattr("attn_bench.jobs.fleet.keeper.RETRIES_S", ())
        done = inside(*WORK[:-1], "1000", cwd=host)
    assert done.returncode == Exit.NOT_MEASURED
    assert "No space left on device; `work` resumes from the last upload" in done.stderr
    assert [s.state for s in read_fleet(str(host / "store")).unfinished] == ["free"]
    assert inside("work", "store", cwd=host).returncode == Exit.GOOD


def change_table(shard: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Write the table of a done shard again, as somebody who edits it would."""
    file = shard / "000001" / "table.parquet"
    change(pd.read_parquet(file)).to_parquet(file, index=False)


# --- merge ------------------------------------------------------------------------------------


def add_shard(host: Path, name: str, *, is_done: bool = True) -> Path:
    """A shard of another host: that of the first, or a claim of it alone."""
    shard = shard_of(host)
    other = shard.with_name(f"{shard.name}-{name}")
    if is_done:
        shutil.copytree(shard, other)
        change_table(other, lambda frame: frame.assign(run=f"{frame.run[0]}-{name}"))
    else:
        shutil.copytree(shard / "claims", other / "claims")
    owner = json.loads((other / "claims" / "000001.json").read_text())
    changed = {**owner, "host": f"host-of-{name}", "device": f"CPU {name}"}
    (other / "claims" / "000001.json").write_text(json.dumps(changed))
    return other


def test_merged_shards_are_one_table_with_the_device_and_the_host(measured: Path) -> None:
    """Parquet has a row group for each shard; CSV and Markdown have the same rows."""
    add_shard(measured, "bbb")
    for file in ("all.parquet", "all.csv", "all.md"):
        done = inside("merge", "store", "--out", file, cwd=measured)
        assert (done.returncode, f"written: {file} (2 shards, 6 rows)" in done.stdout) == (0, True)
    reader = pq.ParquetFile(measured / "all.parquet")
    assert (reader.num_row_groups, reader.metadata.num_rows) == (2, 6)
    frame = pd.read_parquet(measured / "all.parquet")
    assert list(frame.columns) == [*DEVICE_COLUMNS, *COLUMNS]
    assert set(frame.host) > {"host-of-bbb"}
    table = pd.read_csv(measured / "all.csv")
    assert list(table.case_id) == list(frame.case_id)
    assert list(table.ratio_hi) == pytest.approx(list(frame.ratio_hi))
    assert len((measured / "all.md").read_text().splitlines()) == 6 + 2


def test_the_merged_table_of_one_shard_is_the_table_of_its_run(measured: Path) -> None:
    """Nothing but the columns of the device is added."""
    assert inside("merge", "store", "--out", "all.parquet", cwd=measured).returncode == 0
    merged = pd.read_parquet(measured / "all.parquet")
    own = pd.read_parquet(shard_of(measured) / "000001" / "table.parquet")
    assert as_records(merged[list(COLUMNS)]) == as_records(own)


def test_a_missing_shard_is_named_and_must_be_allowed(measured: Path) -> None:
    """Without --allow-partial no table is written, and the status is 3."""
    add_shard(measured, "ccc", is_done=False)
    file = next(measured.glob("store/*/plan.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), "devices": ["H100"]}))
    done = inside("merge", "store", "--out", "all.parquet", cwd=measured)
    assert (done.returncode, (measured / "all.parquet").exists()) == (Exit.NOT_MEASURED, False)
    assert "-ccc, CPU ccc on host-of-ccc: 0 of 0 cases" in done.stdout
    assert "missing: no device has 'H100' in its name" in done.stdout
    words = ("merge", "store", "--out", "all.parquet", "--allow-partial")
    assert inside(*words, cwd=measured).returncode == Exit.GOOD
    assert len(pd.read_parquet(measured / "all.parquet")) == 3


def test_a_case_without_figures_is_named(measured: Path) -> None:
    """The table has its row; the status is 3 unless partial results are allowed."""
    run = shard_of(measured) / "000001"
    frame = pd.read_parquet(run / "table.parquet")
    frame.loc[0, ["status", "error"]] = ["failed", "it broke"]
    frame.to_parquet(run / "table.parquet", index=False)
    done = inside("merge", "store", cwd=measured)
    assert done.returncode == Exit.NOT_MEASURED
    assert "without figures: " in done.stdout
    assert "failed: it broke" in done.stdout
    assert inside("merge", "store", "--allow-partial", cwd=measured).returncode == Exit.GOOD


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"sources": {"attn_bench.modules": "fff"}}, "another version of the built-in modules"),
        ({"request": {"budget_s": 77.0}}, "was measured with budget_s 77.0, and the plan has null"),
        ({"suite": {"baseline": "se"}}, 'was measured with baseline "se", and the plan has'),
    ],
)
def test_mixed_code_and_settings_are_refused(
    change: dict[str, dict[str, object]], complaint: str, measured: Path
) -> None:
    """The line names the shard, its host, and both values; no table is written."""
    shard = add_shard(measured, "bbb")
    run = shard / "000001" / "run.json"
    info = json.loads(run.read_text())
    for key, values in change.items():
        info[key] = {**info[key], **values}
    info["code"] = hash_of(info["sources"])
    change_table(shard, lambda frame: frame.assign(code=info["code"]))
    run.write_text(json.dumps(info))
    done = inside("merge", "store", "--out", "all.csv", cwd=measured)
    assert (done.returncode, (measured / "all.csv").exists()) == (Exit.BAD_REQUEST, False)
    assert "-bbb (host-of-bbb)" in done.stderr
    assert complaint in done.stderr


def test_several_plans_in_a_store_must_be_named(measured: Path) -> None:
    """`merge` takes STORE/<plan> then; `work` works on each of them."""
    place = next((measured / "store").iterdir())
    shutil.copytree(place, measured / "kept")
    change_plan(measured, "request", "budget_s", 1000.0)
    (measured / "kept").rename(place)
    done = inside("merge", "store", cwd=measured)
    assert (done.returncode, "has several plans; name one:" in done.stderr) == (2, True)
    assert "(they differ in budget_s " in done.stderr
    assert inside("merge", f"store/{place.name}", cwd=measured).returncode == Exit.GOOD
    assert (measured / "fleet.parquet").exists()
    done = inside("work", "store", cwd=measured)
    assert (done.returncode, done.stdout.count("is measured already")) == (Exit.GOOD, 2)


def test_a_damaged_shard_is_named_by_its_place_in_the_store(measured: Path) -> None:
    """The error names the file in the store, not a temporary one."""
    run = shard_of(measured) / "000001"
    (run / "table.parquet").write_bytes(b"PAR1 but not really")
    done = inside("merge", "store", cwd=measured)
    assert done.returncode == Exit.BAD_REQUEST
    assert f"shards/{shard_of(measured).name}/000001/table.parquet" in done.stderr
    assert inside("report", "store", cwd=measured).returncode == Exit.BAD_REQUEST


def test_the_atlas_has_the_shards_that_can_be_read(measured: Path) -> None:
    """A damaged one is a warning of the page."""
    (add_shard(measured, "bbb") / "000001" / "run.json").write_text("{")
    assert inside("report", "store", cwd=measured).returncode == Exit.GOOD
    page = (measured / "atlas.html").read_text(encoding="utf-8")
    assert re.search(r"CPU bbb: cannot be read: \S+-bbb/000001/run.json: ", page)


def test_the_files_of_a_shard_are_a_run(measured: Path) -> None:
    """`show` and `report` read the folder of a done epoch as any other run."""
    stored = load(shard_of(measured) / "000001")
    assert {row.status for row in stored.rows} == {"ok"}


def test_cases_without_times_are_counted(measured: Path) -> None:
    """A host that was not quiet gives exact figures alone, and `merge` says so."""
    run = shard_of(measured) / "000001"
    frame = pd.read_parquet(run / "table.parquet")
    frame.loc[[0, 1], "status"] = "unclear"
    frame.loc[[0, 1], "error"] = "other processes used 1.3 of 2 cores"
    frame.to_parquet(run / "table.parquet", index=False)
    done = inside("merge", "store", cwd=measured)
    assert done.returncode == Exit.UNDECIDED
    assert "without times: 2 cases on " in done.stdout
    assert "other processes used 1.3 of 2 cores" in done.stdout


def lose_times(measured: Path) -> None:
    """Make the times of the only shard unclear."""
    table = shard_of(measured) / "000001" / "table.parquet"
    frame = pd.read_parquet(table)
    frame["status"] = "unclear"
    frame.to_parquet(table, index=False)


def test_a_shard_without_times_is_measured_again_when_asked(measured: Path) -> None:
    """`work` ends with 4 and measures nothing; with --again it measures, and then all is good."""
    lose_times(measured)
    done = inside("work", "store", cwd=measured)
    assert (done.returncode, "without times: 3 cases" in done.stdout) == (Exit.UNDECIDED, True)
    assert claims_of(plan_of(measured)) == ["000001.json"]
    assert inside("work", "store", "--again", cwd=measured).returncode == Exit.GOOD
    assert claims_of(plan_of(measured)) == ["000001.json", "000002.json"]
    assert inside("merge", "store", "--out", "all.csv", cwd=measured).returncode == Exit.GOOD


def test_a_shard_with_times_is_not_measured_again(measured: Path) -> None:
    """--again leaves what is good as it is."""
    done = inside("work", "store", "--again", cwd=measured)
    assert (done.returncode, "is measured already" in done.stdout) == (Exit.GOOD, True)
    assert claims_of(plan_of(measured)) == ["000001.json"]


def test_the_first_result_stays_if_the_second_try_is_killed(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`work` then takes what was there; `work --again` resumes the second try."""

    def until_killed(case: Case, session: int, round_: int) -> float | BaseException:
        return KeyboardInterrupt() if round_ == 5 else steady(case, session, round_)

    lose_times(measured)
    with monkeypatch.context() as patch:
        patch.setattr(Claim, "release", lambda self: None)
        inside("work", "store", "--again", cwd=measured, script=RealFacts(until_killed))
    shutil.copytree(measured / "store", measured / "copy")
    assert inside("work", "copy", cwd=measured).returncode == Exit.UNDECIDED
    assert inside("work", "store", "--again", cwd=measured).returncode == Exit.GOOD
    assert journal_of(measured, "000003").startswith(journal_of(measured, "000002"))


def test_a_damaged_shard_can_be_left_out_and_measured_again(measured: Path) -> None:
    """--allow-partial merges the other shards; --again mends it."""
    shard = shard_of(measured)
    add_shard(measured, "bbb")
    (shard / "000001" / "run.json").write_text("{")
    assert inside("merge", "store", cwd=measured).returncode == Exit.BAD_REQUEST
    done = inside("merge", "store", "--allow-partial", cwd=measured)
    assert (done.returncode, f"missing: shard {shard.name}" in done.stdout) == (Exit.GOOD, True)
    assert len(pd.read_parquet(measured / "fleet.parquet")) == 3
    assert inside("work", "store", cwd=measured).returncode == Exit.BAD_REQUEST
    assert inside("work", "store", "--again", cwd=measured).returncode == Exit.GOOD
    assert inside("merge", "store", cwd=measured).returncode == Exit.GOOD


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda frame: frame[1:], "table.parquet: has no row of "),
        (lambda frame: frame[:0], "table.parquet: has no row of "),
        (lambda frame: pd.concat([frame, frame[:1]]), "has 4 rows of 3 cases"),
        (lambda frame: frame.assign(run="another"), "run is 'another', and that of the run is"),
        (lambda frame: frame.assign(machine="fff"), "machine is 'fff', and that of the run is"),
        (lambda frame: frame.assign(code="dead"), "code is 'dead', and that of the run is"),
        (lambda frame: frame.assign(start=pd.Timestamp(0)), "table.parquet: "),
        (lambda frame: frame.assign(module=b"se"), "table.parquet: "),
    ],
)
def test_a_table_that_is_not_the_whole_run_of_its_shard_is_damaged(
    change: Callable[[pd.DataFrame], pd.DataFrame], complaint: str, measured: Path
) -> None:
    """It is named and left out by --allow-partial, and --again mends it."""
    change_table(shard_of(measured), change)
    done = inside("merge", "store", cwd=measured)
    assert (done.returncode, complaint in done.stderr) == (Exit.BAD_REQUEST, True), done
    assert inside("merge", "store", "--allow-partial", cwd=measured).returncode == 2
    assert inside("work", "store", "--again", cwd=measured).returncode == Exit.GOOD
    assert inside("merge", "store", cwd=measured).returncode == Exit.GOOD


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"state": "interrupted"}, "is of a run that is interrupted"),
        ({"kind": "check"}, "is of a check that is finished"),
        ({"code": "0123456789abcdef"}, "its code is not the hash of its sources"),
        ({"environment": {"fingerprint": "ffffffffffff"}}, "on the machine ffffffffffff"),
    ],
)
def test_a_run_of_another_kind_machine_or_code_is_damaged(
    change: dict[str, Any], complaint: str, measured: Path
) -> None:
    """run.json says what its figures are of, and must say that of the shard."""
    file = shard_of(measured) / "000001" / "run.json"
    info = json.loads(file.read_text())
    new = {k: {**info[k], **v} if isinstance(v, dict) else v for k, v in change.items()}
    file.write_text(json.dumps({**info, **new}))
    done = inside("merge", "store", cwd=measured)
    assert (done.returncode, complaint in done.stderr) == (Exit.BAD_REQUEST, True), done


def test_a_run_that_began_with_other_settings_is_not_resumed(host: Path) -> None:
    """The settings are those of the plan, whatever begun.json says."""

    def until_interrupted(case: Case, session: int, round_: int) -> float | BaseException:
        return KeyboardInterrupt() if round_ == 5 else steady(case, session, round_)

    assert inside(*WORK, cwd=host, script=RealFacts(until_interrupted)).returncode == 130
    file = shard_of(host) / "000001" / "begun.json"
    begun = json.loads(file.read_text())
    file.write_text(json.dumps({**begun, "settings": {**begun["settings"], "seed": 77}}))
    assert inside("work", "store", cwd=host).returncode == Exit.GOOD
    (one,) = read_fleet(str(host / "store")).done
    assert one.info.settings.seed == 0


def test_an_epoch_without_its_claim_is_not_used_again(measured: Path) -> None:
    """Its owner may still write there: the next claim is above it, and what is finished counts."""
    shard = shard_of(measured)
    (shard / "claims" / "000001.json").unlink()
    assert inside("work", "store", cwd=measured).returncode == Exit.GOOD
    assert [file.name for file in (shard / "claims").iterdir()] == ["000002.json"]
    assert [one.name for one in (shard / "000002").iterdir()] == ["released"]
    assert inside("merge", "store", cwd=measured).returncode == Exit.GOOD


def test_a_claim_that_is_a_folder_is_named(measured: Path) -> None:
    """`work` does not try for ever to create it."""
    shutil.rmtree(shard_of(measured) / "000001")
    claim_file = shard_of(measured) / "claims" / "000001.json"
    claim_file.unlink()
    claim_file.mkdir()
    done = inside("work", "store", cwd=measured)
    assert (done.returncode, "000001.json: cannot be read: it is" in done.stderr) == (
        2,
        True,
    ), done


@pytest.mark.parametrize("damage", ["large", "folder"])
def test_a_damaged_beat_of_a_done_shard_is_no_obstacle(damage: str, measured: Path) -> None:
    """It only says how far the owner was."""
    beat = shard_of(measured) / "000001" / "beat"
    beat.unlink()
    beat.mkdir() if damage == "folder" else beat.write_bytes(b" " * 2**17)
    assert inside("merge", "store", cwd=measured).returncode == Exit.GOOD


def test_a_claim_with_the_last_number_is_named(measured: Path) -> None:
    """Nobody can claim after 999999: `work` names the file, and does not try for ever."""
    claims = shard_of(measured) / "claims"
    (claims / "000001.json").rename(claims / "999999.json")
    (shard_of(measured) / "000001" / "run.json").unlink()
    (shard_of(measured) / "999999").mkdir()
    (shard_of(measured) / "999999" / "released").write_text("")
    done = inside("work", "store", cwd=measured)
    assert (done.returncode, "999999 is the last number" in done.stderr) == (Exit.BAD_REQUEST, True)


def test_a_fleet_that_nobody_began_is_not_measured(measured: Path) -> None:
    """`merge` says why it writes nothing; for `report` it is the same status."""
    shutil.rmtree(shard_of(measured).parent)
    done = inside("merge", "store", cwd=measured)
    assert (done.returncode, done.stdout) == (Exit.NOT_MEASURED, "missing: no host has begun\n")
    assert inside("report", "store", cwd=measured).returncode == Exit.NOT_MEASURED


def test_a_folder_that_cannot_be_listed_is_not_empty(measured: Path) -> None:
    """What is there but cannot be read is named, not taken for a fleet without shards."""
    shards = shard_of(measured).parent
    shutil.rmtree(shards)
    shards.write_text("")
    done = inside("merge", "store", cwd=measured)
    assert (done.returncode, "shards: cannot be read: Not a directory" in done.stderr) == (2, True)
