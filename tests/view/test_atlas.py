"""The page of a fleet: what changes between devices, ratios of each host alone, sick hosts."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pages import Page, Watched
from pretended import by_module, fleet, scaled, shard

from attn_bench.cli.main import main
from attn_bench.jobs.fleet.atlas import make_atlas, name_shards, write_rows
from attn_bench.model.errors import RequestError
from attn_bench.model.fleet import Shard
from attn_bench.store.fleet import Fleet
from attn_bench.view.page.atlas import make_picture, render
from attn_bench.view.page.template import TEMPLATES

CPU, GPU = shard("AMD EPYC", "a"), shard("NVIDIA H200", "b", by_module({"se": 4.0, "cbam": 0.2}))


def page_of(found: Fleet) -> Page:
    atlas = make_atlas(found, "store")
    return Page(render(atlas, make_picture(atlas), "atlas.parquet"))


def test_changes_of_order_come_with_their_devices() -> None:
    """A pair has one line, with the devices of each order and the factor there."""
    page = page_of(fleet(CPU, GPU, shard("NVIDIA L4", "c", by_module({"se": 4.0, "cbam": 0.2}))))
    assert "pairs of modules certainly change order between devices" in page.words
    lines = [row for row in page.rows if len(row) == 5 and row[0] == "se, cbam"]
    shapes = [row[1] for row in lines]
    assert shapes == list(dict.fromkeys(shapes))
    for _, _, first, second, false in lines:
        assert first.endswith("× AMD EPYC")
        assert [line.partition("× ")[2] for line in second.split("\n")] == [
            "NVIDIA H200",
            "NVIDIA L4",
        ]
        assert false == "< 0.1 %"


def test_devices_with_the_same_ratios_agree() -> None:
    """No change is certain, and tau is 1 up to the errors."""
    page = page_of(fleet(CPU, shard("NVIDIA H200", "b")))
    assert "No change in the order of modules between two devices is certain." in page.words
    assert re.search(r"tau 1\.00 \(0\.\d\d … 1\.00\)", page.words)


def test_each_ratio_is_of_one_host() -> None:
    """A column has the ratios of its device to the baseline, and to SE of the same host."""
    twice = shard("NVIDIA H200", "b", lambda row: scaled(row, 2.0))
    page = page_of(fleet(CPU, twice))
    found = [row[1:] for row in page.rows if row and row[0] == "ge_theta 2"]
    to_baseline, to_se = found[:2]
    assert to_baseline == ["1.48 ± 0.19", "3.0 ± 0.4"]
    assert to_se[0] == to_se[1]


def test_sick_and_missing_hosts_are_warnings() -> None:
    """A host that differs from its kind, a shard that is not measured, a device nobody has."""
    kind = [shard("AMD EPYC", name) for name in ("a", "b")]
    sick = shard("AMD EPYC", "c", lambda row: scaled(row, 1.3))
    held = Shard("f0", "Apple M3", "d", "held", 3, 60, "se", 1.0)
    page = page_of(fleet(*kind, sick, unfinished=[held], missing=["L4"]))
    assert "AMD EPYC, c: its ratios are 30 % from those of its kind, over" in page.words
    assert "AMD EPYC, a: its" not in page.words
    assert "Apple M3: not measured yet (held, 3 of 60 cases)." in page.words
    assert "L4: no host with this device has begun." in page.words


def test_names_of_others_are_text_and_nothing_is_fetched() -> None:
    """A device or a host that looks like HTML is shown as it is; the page has no script."""
    evil = shard('<script>alert(1)</script>"', "<img src=x>")
    source = page_of(fleet(CPU, evil)).source
    assert "<script" not in source
    assert "<img" not in source
    assert "&lt;script&gt;" in source
    assert not re.search(r'(?:src|href)="(?!data:|#)', source)
    assert "default-src 'none'" in source


def test_cost_against_gain_has_panels_for_each_device() -> None:
    """Each panel names its device."""
    atlas = make_atlas(fleet(CPU, GPU), "store")
    titles = [panel.title for panel in make_picture(atlas).panels]
    assert [title.endswith("AMD EPYC") for title in titles].count(True) == len(titles) / 2
    assert [title.endswith("NVIDIA H200") for title in titles].count(True) == len(titles) / 2


def test_hosts_of_one_kind_have_different_names() -> None:
    """The host is named where several have the device, and the shard where hosts are alike."""
    shards = [shard("A", "x"), shard("A", "y"), shard("B", "x")]
    assert name_shards(shards) == ["A, x", "A, y", "B"]
    alike = [CPU, replace(CPU, shard=replace(CPU.shard, name="f9"))]
    assert name_shards(alike) == ["AMD EPYC, a, fa", "AMD EPYC, a, f9"]


def test_the_rows_are_beside_the_page() -> None:
    """Parquet has all rows with their device, and the ratio to SE of the same host."""
    read = pd.read_parquet(io.BytesIO(write_rows(make_atlas(fleet(CPU, GPU), "store"))))
    assert len(read) == 120
    assert list(read.columns[:3]) == ["device_name", "fingerprint", "host"]
    known = read[read.over_se.notna()]
    assert set(known.device_name) == {"AMD EPYC", "NVIDIA H200"}
    assert (known.over_se_lo < known.over_se).all()


def test_a_host_that_was_too_busy_has_no_ratios() -> None:
    """Its times hold for no quiet machine: it changes no order, and a warning names it."""
    busy = replace(GPU.info.environment, cores_usable=2, other_load_cores=1.5, threads=2)
    page = page_of(fleet(CPU, replace(GPU, info=replace(GPU.info, environment=busy))))
    assert "NVIDIA H200: was too busy for valid times" in page.words
    assert not [row for row in page.rows if row and row[0] == "se, cbam"]
    for seen, is_known in ((GPU.info.environment, True), (busy, False)):
        one = fleet(replace(GPU, info=replace(GPU.info, environment=seen)))
        data = pd.read_parquet(io.BytesIO(write_rows(make_atlas(one, "store"))))
        assert data.over_se.notna().any() == is_known


def test_a_fleet_without_a_measured_shard_has_no_atlas() -> None:
    """The states of its shards are named."""
    held = Shard("f0", "Apple M3", "d", "held", 3, 60, "se", 1.0)
    with pytest.raises(RequestError, match=r"store: no shard is measured yet \(1 held\)"):
        make_atlas(fleet(unfinished=[held]), "store")
    with pytest.raises(RequestError, match="no case is selected"):
        make_atlas(fleet(CPU), "store", modules="nothing")


def test_report_writes_the_atlas_of_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder with a plan is a store; the page and its data are written where asked."""
    store = tmp_path / "store"
    (store / "ge-1").mkdir(parents=True)
    (store / "ge-1" / "plan.json").touch()
    monkeypatch.setattr("attn_bench.view.page.report.read_fleet", lambda _: fleet(CPU, GPU))
    page = tmp_path / "out.html"
    assert main(["report", str(store), "--out", str(page)]) == 0
    assert "out.parquet beside this page" in page.read_text(encoding="utf-8")
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 120
    assert main(["report", str(store), "--png", str(tmp_path)]) == 2
    assert "--png is for runs" in capsys.readouterr().err


def test_pages_share_one_head() -> None:
    """The policy that forbids a page to fetch anything is written once."""
    heads = [file.name for file in TEMPLATES.iterdir() if "<head>" in file.read_text("utf-8")]
    assert heads == ["base.html"]


def test_it_opens_on_a_phone(browser: Any, tmp_path: Path) -> None:
    """It asks for nothing but itself, and only its tables scroll sideways."""
    atlas = make_atlas(fleet(CPU, shard("NVIDIA H200 " * 3, "b")), "store")
    file = tmp_path / "atlas.html"
    file.write_text(render(atlas, make_picture(atlas), "atlas.parquet"), encoding="utf-8")
    opened = Watched(browser, file.as_uri(), viewport={"width": 390, "height": 800})
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.page.locator("#ratios td").first.is_visible()
    assert (opened.asked, opened.said) == ([file.as_uri()], [])
    opened.context.close()
