"""`attn_bench.recommend`, as an architect's notebook uses it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from data.my_net import Gated, MyNet
from inside import RealFacts, played, steady

import attn_bench

IMAGE = torch.zeros(1, 3, 64, 64)
HOW: dict[str, Any] = {"device": "cpu", "threads": 1, "budget": 6}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recommended(*words: Any, **more: Any) -> attn_bench.Recommended:
    with played(RealFacts(steady)):
        return attn_bench.recommend(*words, **HOW, **more)


def test_a_module_is_answered_with_a_table_a_choice_and_a_model(folder: Path) -> None:
    """A network gives the table, the choice with its reasons, and a copy with the choice put in."""
    net = MyNet()
    found = recommended(net, IMAGE, limits={"latency": "+80%"}, modules="se,timm/eca")
    assert found.exit_status == 0
    assert set(found.table.index) == {"se", "timm/eca"}
    assert set(found.table.fits) <= {"yes", "no", "unclear"}
    assert found.choice in found.table.index
    assert found.choice in found.reasons[0]
    added = sum(p.numel() for p in found.model.parameters()) - sum(
        p.numel() for p in net.parameters()
    )
    row = found.table.loc[found.choice]
    assert added == row.params - found.answer.choice.baseline.params
    assert found.model(IMAGE).shape == (1, 10)
    assert found.choice in found._repr_html_()


def test_the_weights_stay(folder: Path) -> None:
    """The copy with a module in it has the weights of the given network, which is not changed."""
    net = MyNet().eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    made = recommended(net, IMAGE, modules="se").with_module("se")
    assert set(map(id, made.parameters())).isdisjoint(map(id, net.parameters()))
    kept = made.state_dict()
    assert torch.equal(kept["layer1.0.conv1.weight"], before["layer1.0.conv1.weight"])
    assert all(torch.equal(net.state_dict()[name], before[name]) for name in before)


def test_the_name_of_a_backbone_will_do(folder: Path) -> None:
    """A name takes that network of timm with fresh weights; a place is that of the command."""
    found = recommended("resnet18", IMAGE, place="block 4", modules="se")
    assert list(found.table.index) == ["se at block 4"]
    assert found.model(IMAGE).shape == (1, 1000)


def test_a_network_with_attention_keeps_it(folder: Path) -> None:
    """Without a choice, the model is a plain copy."""
    found = recommended(Gated(), IMAGE, modules="se")
    assert found.choice is None
    assert found.reasons[1].startswith("Keep the 2 attention modules")
    assert found.model.state_dict().keys() == Gated().state_dict().keys()
    assert found.with_module("se")(IMAGE).shape == (1, 16)


def test_an_unknown_candidate_is_named(folder: Path) -> None:
    """`with_module` of a label that is no candidate raises, with the nearest one."""
    found = recommended(MyNet(), IMAGE, modules="se")
    with pytest.raises(attn_bench.AttnBenchError, match=r"unknown candidate 'sse'.*'se'"):
        found.with_module("sse")


def test_new_modules_are_in_the_mode_and_dtype_of_the_network(folder: Path) -> None:
    """A network in evaluation and in float64 gets such modules."""
    net = MyNet().eval()
    found = recommended(net, IMAGE, modules="se")
    net.double()
    assert not any(layer.training for layer in found.with_module("se").modules())
    assert found.with_module("se")(IMAGE.double()).dtype == torch.float64


def test_other_images(folder: Path) -> None:
    """Images need not be square, nor have three channels."""
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 16, 3), torch.nn.BatchNorm2d(16))
    found = recommended(net, torch.zeros(2, 1, 20, 30), modules="se")
    assert found.table.iloc[0].place == "inner"
    assert tuple(found.table.iloc[0][["batch", "channels", "height", "width"]]) == (2, 1, 20, 30)


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        ((MyNet(), torch.zeros(3, 64, 64)), {}, "must be N×C×H×W, not (3, 64, 64)"),
        ((MyNet(), IMAGE), {"limits": {"latncy": "+5%"}}, "did you mean 'latency'?"),
        ((MyNet(), IMAGE), {"limits": {"latency": "5%"}}, "did you mean +5%?"),
        ((MyNet(), IMAGE), {"place": "blok"}, "did you mean 'block'?"),
        (("resnet5",), {}, "did you mean 'resnet50'?"),
    ],
)
def test_wrong_requests(folder: Path, words: tuple[Any, ...], more: Any, said: str) -> None:
    """Each raises an AttnBenchError that names the nearest right one."""
    with pytest.raises(attn_bench.AttnBenchError) as raised:
        recommended(*words, **more)
    assert said in str(raised.value)


def test_a_network_that_cannot_be_pickled(folder: Path) -> None:
    """A network with a lock is refused in one line, and nothing is left below results/."""
    net = MyNet()
    net.lock = threading.Lock()
    with pytest.raises(attn_bench.AttnBenchError, match="cannot be pickled: TypeError"):
        recommended(net, IMAGE)
    assert not list(folder.rglob("*.pickle"))


def test_an_unknown_keyword(folder: Path) -> None:
    """An unknown keyword is a TypeError that names the nearest one."""
    with pytest.raises(TypeError, match="did you mean 'budget'"):
        recommended(MyNet(), IMAGE, budgt=3)
