"""`recommend --store`: one module for all devices, or the best for each, without measuring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pretended import REFERENCE_RUN, fleet, shard
from rows import network

from attn_bench.cli.main import main
from attn_bench.jobs.recommend.devices import DevicesRequest, recommend_for_devices
from attn_bench.jobs.recommend.limits import Limit
from attn_bench.model.case import Network
from attn_bench.model.errors import RequestError
from attn_bench.model.fleet import Shard
from attn_bench.model.row import Row
from attn_bench.model.status import Exit
from attn_bench.store.fleet import DoneShard, Fleet
from attn_bench.view.recommend.devices import list_reasons, make_table

WITHIN = (Limit.read("latency", "+10%"),)
PLAIN = network("plain", 1.0, half=0.0)


def device(name: str, *rows: Row) -> DoneShard:
    made = shard(name, name.lower(), rows=(PLAIN, *rows))
    suite = replace(made.info.suite, networks=(Network("resnet50"),), shapes=())
    return replace(made, info=replace(made.info, suite=suite))


def answer(*shards: DoneShard, unfinished: Sequence[Shard] = (), devices: str = "all"):  # type: ignore[no-untyped-def]
    question = DevicesRequest("store", WITHIN, devices)
    (found,) = recommend_for_devices(fleet(*shards, unfinished=unfinished), question)
    return found


SE_FAST, SE_SLOW = network("se", 1.05), network("se", 1.2)
ECA = network("timm/eca", 1.08)


def test_what_fits_on_all_devices_is_taken() -> None:
    """SE has the larger gain, but is too slow on one device; each device has its own best."""
    found = answer(device("A", SE_FAST, ECA), device("B", SE_SLOW, ECA))
    assert found.joint.chosen.label == "timm/eca"
    assert found.exit_status == Exit.GOOD
    assert found.by_device["B"].chosen.label == "timm/eca"
    headings, lines = make_table(found)
    assert headings == ("candidate", "A", "B", "fits all")
    assert lines[1] == ("  se", "+5.0 ± 1.0 %", "+20.0 ± 1.0 %!", "no")
    reasons = list_reasons(found)
    assert reasons[0].startswith("Take timm/eca on all 2 devices: it adds at most +8.0 ± 1.0 %")
    assert reasons[-1].startswith("The best for each device: A: ")


def test_the_cost_on_the_slowest_device_counts() -> None:
    """The joint candidate has the row of the device on which it costs most."""
    found = answer(device("A", network("se", 1.02)), device("B", network("se", 1.06)))
    assert found.joint.chosen.row.ratio == 1.06
    assert found.costs_most_on(found.joint.chosen) == "B"


def test_nothing_that_fits_on_all_is_status_1() -> None:
    """The devices that it breaks a limit on are named."""
    found = answer(device("A", SE_FAST), device("B", SE_SLOW))
    assert (found.joint.chosen, found.exit_status) == (None, Exit.BAD_ANSWER)
    assert list_reasons(found)[1] == "se keeps them but on B."


def test_an_interval_across_the_limit_on_one_device_is_undecided() -> None:
    """Status 4: a candidate may fit on all devices."""
    found = answer(device("A", SE_FAST), device("B", network("se", 1.1)))
    assert (found.joint.chosen, found.exit_status) == (None, Exit.UNDECIDED)


def test_a_device_that_lacks_the_candidate_is_not_passed_over() -> None:
    """Unknown on one device is unknown for all; an unmeasured device gives status 3."""
    found = answer(device("A", SE_FAST, ECA), device("B", SE_FAST))
    assert [(c.label, c.fits) for c in found.joint.candidates] == [
        ("se", "yes"),
        ("timm/eca", "unknown"),
    ]
    held = Shard("f0", "L4", "d", "held", 3, 60, "se", 1.0)
    late = answer(device("A", SE_FAST), unfinished=[held])
    assert (late.joint.chosen.label, late.exit_status) == ("se", Exit.NOT_MEASURED)
    assert list_reasons(late)[-1] == "Not measured yet: L4."


def test_devices_are_selected_by_globs() -> None:
    """The limits must hold on these alone; an unknown one is an error that names the nearest."""
    shards = (device("Arm A1", SE_FAST), device("Arm A2", SE_FAST), device("Intel", SE_SLOW))
    found = answer(*shards, devices="arm*")
    assert [*found.by_device] == ["Arm A1", "Arm A2"]
    assert found.exit_status == Exit.GOOD
    with pytest.raises(RequestError, match="no measured device"):
        answer(*shards, devices="intl")


def test_a_suite_without_networks_says_what_is_needed() -> None:
    """One line names a suite that has some; a wrong backbone has the nearest."""
    with pytest.raises(RequestError, match="has no whole networks: measure a suite with a backb"):
        recommend_for_devices(fleet(shard("A", "a")), DevicesRequest("store"))
    other = DevicesRequest("store", backbone="resnet5")
    with pytest.raises(RequestError, match="did you mean 'resnet50'"):
        recommend_for_devices(fleet(device("A", SE_FAST)), other)


def test_the_command_answers_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table and the JSON have every device; options of measuring are refused."""
    found: Fleet = fleet(device("A", SE_FAST, ECA), device("B", SE_SLOW, ECA))
    monkeypatch.setattr("attn_bench.store.fleet.read_fleet", lambda _: found)
    file = tmp_path / "answer.json"
    words = ["recommend", "--store", "s3://key:secret@bucket/x", "--devices", "all"]
    assert main([*words, "--max-latency", "+10%", "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "Take timm/eca on all 2 devices" in shown
    assert "secret" not in shown
    (told,) = json.loads(file.read_text(encoding="utf-8"))["answers"]
    assert (told["chosen"], [*told["devices"]]) == ("timm/eca", ["A", "B"])
    assert main([*words, "--minutes", "3"]) == 2
    assert "--minutes is for measuring" in capsys.readouterr().err
    assert main(["recommend", "--devices", "all", "--backbone", "resnet50"]) == 2


def test_no_ratio_is_of_two_hosts() -> None:
    """A limit of memory is relative to the plain network of the same host."""
    small = replace(PLAIN, peak_memory_bytes=6_000_000)
    limits = (Limit.read("memory", "+10%"),)
    one, other = device("A", SE_FAST), device("B", replace(SE_FAST, peak_memory_bytes=6_000_000))
    other = replace(other, rows=(small, *other.rows[1:]))
    (found,) = recommend_for_devices(fleet(one, other), DevicesRequest("store", limits))
    assert found.joint.chosen.label == "se"
    assert REFERENCE_RUN.info.suite.baseline == "identity"
