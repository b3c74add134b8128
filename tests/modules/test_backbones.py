"""Each place of each backbone gets one module, built for the size of its maps."""

import re

import pytest
import torch
from torch import nn

from attn_bench.catalog.backbones import BACKBONES
from attn_bench.catalog.registry import builtin
from attn_bench.modules import backbones

# One of each family, with its blocks and the map that leaves its last stage at 64×64.
FAMILIES = {
    "resnet18": (8, (512, 2, 2)),
    "resnet50": (16, (2048, 2, 2)),
    "resnet50_caffe": (16, (2048, 2, 2)),
    "resnext50_32x4d": (16, (2048, 2, 2)),
    "mobilenetv1_100": (13, (1024, 2, 2)),
    "mobilenetv2_100": (17, (320, 2, 2)),
    "efficientnet_b0": (16, (320, 2, 2)),
    "convnext_atto": (12, (320, 2, 2)),
    "regnetx_002": (13, (368, 2, 2)),
    "regnety_002": (13, (368, 2, 2)),
}
PLACES = ("block", "inner", "slot", "stage")


class Seen(nn.Module):
    """A module that asserts the size of its maps and counts its calls."""

    def __init__(self, channels, feat_size, stage):
        super().__init__()
        self.told, self.stage, self.calls = (channels, *feat_size), stage, 0
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        assert tuple(x.shape[1:]) == self.told
        self.calls += 1
        return x * self.scale


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_block_or_stage_has_one_module_with_its_size(name, place):
    """Each block, or each stage, has one module, which is called once with maps of its size."""
    blocks, last = FAMILIES[name]
    if place not in BACKBONES[name].places:
        with pytest.raises(ValueError, match="no attention slot"):
            backbones.build(name, Seen, place=place, input_size=64)
        return
    made = []

    def make(*size):
        made.append(Seen(*size))
        return made[-1]

    model = backbones.build(name, make, place=place, input_size=64).eval()
    assert len(made) == (BACKBONES[name].stages if place == "stage" else blocks)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 1000)
    assert [module.calls for module in made] == [1] * len(made)
    assert {module.stage for module in made} == set(range(1, BACKBONES[name].stages + 1))
    if place in ("block", "stage"):
        assert made[-1].told == last


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("module", ["se", "ge_theta"])
def test_gradients_reach_every_module(name, module):
    """A training step gives each module a gradient other than 0, whatever its extent."""
    entry = builtin().get(module)
    made = []

    def make(channels, feat_size, stage):
        extent = None if entry.extents is None else (2, "global")[stage % 2]
        made.append(entry.build(channels, feat_size, extent))
        return made[-1]

    torch.manual_seed(1)
    model = backbones.build(name, make, input_size=64).train()
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    for inserted in made:
        gradients = [p.grad for p in inserted.parameters()]
        assert all(gradient is not None for gradient in gradients)
        assert any(gradient.any() for gradient in gradients)


def test_chosen_stages_alone():
    """With `stages`, the other stages do not change."""
    made = []

    def make(*size):
        made.append(size)
        return nn.Identity()

    backbones.build("resnet18", make, stages=[2, 4], input_size=64)
    assert made == [(128, (8, 8), 2)] * 2 + [(512, (2, 2), 4)] * 2


def test_the_slot_takes_the_place_of_the_backbones_own_module():
    """A module in the slot replaces EfficientNet's own SE; at other places the SE stays."""

    def own(**options):
        with torch.device("meta"):
            model = backbones.build("efficientnet_b0", **options)
        return sum(type(layer).__name__ == "SqueezeExcite" for layer in model.modules())

    def make(*size):
        return nn.Identity()

    assert own() == own(make_module=make) == 16
    assert own(make_module=make, place="slot") == 0


def test_the_papers_strides():
    """A `_caffe` backbone has the stride in the first 1×1, and the same parameters."""
    with torch.device("meta"):
        papers, timms = (backbones.build(name) for name in ("resnet50_caffe", "resnet50"))
    assert (papers.layer2[0].conv1.stride, papers.layer2[0].conv2.stride) == ((2, 2), (1, 1))
    assert (timms.layer2[0].conv1.stride, timms.layer2[0].conv2.stride) == ((1, 1), (2, 2))
    assert sum(p.numel() for p in papers.parameters()) == 25_557_032
    with pytest.raises(ValueError, match=re.escape("resnet18_caffe: a resnet18 has no 1×1")):
        backbones.build("resnet18_caffe")


@pytest.mark.parametrize("name", [*FAMILIES, *sorted(BACKBONES)[::40]])
def test_the_catalog_describes_the_backbones(name):
    """A backbone of the catalog has the stages, places and attention that are listed there.

    benchmarks/list_backbones.py --check compares all of them.
    """
    with torch.device("meta"):
        model = backbones.plain(name).eval()
        found = backbones.all_sites(model, input_size=64)
    listed = BACKBONES[name]
    assert tuple(found) == listed.places
    assert max(site.stage for sites in found.values() for site in sites) == listed.stages
    assert len(backbones.attention(model, found)) == listed.attention
