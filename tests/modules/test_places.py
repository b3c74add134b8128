"""The places for a module that a forward of any network shows."""

import pytest
import torch
from data.my_net import Alias, Gated, GateFirst, MyNet, Shared, Straight
from torch import nn

from attn_bench.modules import backbones
from attn_bench.modules.places import find_places

KNOWN = ("resnet18", "resnet50", "regnety_002", "convnext_atto", "seresnet50")


def names(model, kind, size=64):
    return [found.name for found in getattr(places_of(model, size), kind)]


def places_of(model, size=64):
    return find_places(model.eval(), torch.zeros(1, 3, size, size))


def test_a_network_of_the_users_shows_its_blocks_and_stages():
    """Blocks end at a sum, also if activations are functions; a stage is a size of the maps."""
    found = places_of(MyNet())
    assert [each.name for each in found.block] == [
        f"layer{stage}.{block}.bn2" for stage in (1, 2, 3) for block in (0, 1)
    ]
    assert [each.name for each in found.stage] == ["layer1", "layer2", "layer3"]
    assert found.sizes == [(16, 16), (8, 8), (4, 4)]
    assert [found.stage_of(each) for each in found.block] == [1, 1, 2, 2, 3, 3]
    assert not found.slot


def test_without_residual_blocks_each_spatial_convolution_is_a_place():
    """A straight network has places after the norm and activation of each convolution."""
    assert names(Straight(), "block") == []
    assert names(Straight(), "inner") == ["convs.2", "convs"]
    assert names(Straight(), "stage") == ["convs.2", "convs"]


def test_a_layer_that_is_called_twice_is_no_place():
    """Where one ReLU serves two convolutions, the places are after the norms before it."""
    assert names(Shared(), "inner") == ["bn1", "bn2"]


def test_attention_is_found_by_what_it_computes():
    """A layer that weighs its input by a gate for each channel is attention, whatever its name."""
    assert names(Gated(), "slot") == ["body.0.bn2.1", "body.1.bn2.1"]


def test_attention_is_the_layer_that_weighs_and_not_its_container():
    """Convolutions beside attention in one container are no attention."""
    assert names(GateFirst(), "slot") == ["body.0"]


def test_a_layer_that_goes_by_another_name_takes_no_module():
    """A module that a forward would not call is refused, and names the layer."""
    with pytest.raises(ValueError, match=r"a forward calls conv\.1 0 times"):
        backbones.insert(Alias(), lambda *size: nn.Identity(), "inner", input_size=16)


def test_each_layer_stays_in_its_mode():
    """Looking for places leaves a frozen norm in evaluation, and the rest in training."""
    model = MyNet().train()
    model.layer1[0].bn1.eval()
    backbones.insert(model, lambda *size: nn.Identity(), "block", input_size=64)
    assert model.layer2.training
    assert not model.layer1[0].bn1.training


@pytest.mark.parametrize("name", ["ecaresnet26t", "mobilenetv3_small_050", "ghostnet_100"])
def test_timms_attention_is_found(name):
    """The modules that timm calls attention, and no others, are found."""
    with torch.device("meta"):
        model = backbones.plain(name).eval()
        found = find_places(model, torch.zeros(1, 3, 64, 64))
    inside = [
        path
        for path, layer in model.named_modules()
        if type(layer).__name__ in ("SqueezeExcite", "EcaModule")
    ]
    assert sorted(each.name for each in found.slot) == sorted(inside)


@pytest.mark.parametrize("name", KNOWN)
def test_a_forward_shows_the_places_of_the_papers(name):
    """In networks whose blocks are known, the found places have the same maps in the same order."""
    with torch.device("meta"):
        model = backbones.plain(name).eval()
        found = find_places(model, torch.zeros(1, 3, 64, 64))
    for kind, sites in backbones.all_sites(model, input_size=64).items():
        if kind == "slot" and not backbones.attention(model, {"slot": sites}):
            assert not found.slot
            continue
        listed = getattr(found, kind)
        assert len(listed) == len(sites), kind
        assert [found.stage_of(each) for each in listed] == [site.stage for site in sites], kind


@pytest.mark.parametrize("kind", ["block", "inner", "stage"])
def test_a_module_sees_the_maps_that_it_was_made_for(kind):
    """A module put into a user's network is called once, with maps of the size it was told."""
    made = []

    class Seen(nn.Module):
        def __init__(self, channels, size, stage):
            super().__init__()
            self.told, self.stage, self.calls = (channels, *size), stage, 0
            made.append(self)

        def forward(self, x):
            assert tuple(x.shape[1:]) == self.told
            self.calls += 1
            return x

    model = MyNet().eval()
    before = model(torch.ones(1, 3, 64, 64))
    backbones.insert(model, Seen, kind, input_size=64)
    assert made
    assert [module.calls for module in made] == [1] * len(made)  # a look
    torch.testing.assert_close(model(torch.ones(1, 3, 64, 64)), before)
    assert [module.calls for module in made] == [2] * len(made)
    assert [module.stage for module in made] == (
        [1, 2, 3] if kind == "stage" else [1, 1, 2, 2, 3, 3]
    )


def test_layers_are_named_by_a_pattern():
    """A pattern takes the layers with such names, and a wrong one is answered with near names."""
    found = backbones.sites(MyNet(), "layers", layers="layer*.conv2")
    assert [site.name for site in found] == [
        f"layer{stage}.{block}.conv2" for stage in (1, 2, 3) for block in (0, 1)
    ]
    with pytest.raises(ValueError, match=r"no layer is called 'layer1.0.con3'.*layer1.0.conv2"):
        backbones.sites(MyNet(), "layers", layers="layer1.0.con3")


def test_a_filled_slot_alone_is_replaced():
    """Where some blocks have attention, the slot is there alone: MobileNetV3 has 9 of 11."""
    with torch.device("meta"):
        model = backbones.plain("mobilenetv3_small_050").eval()
        found = backbones.all_sites(model, input_size=64)
    assert len(found["slot"]) == len(backbones.attention(model, found)) == 9
    assert len(found["block"]) == 11


def test_a_block_may_take_arguments_by_name():
    """A module after a block that is called with arguments by name gets the block's result."""

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x, *, scale):
            return self.conv(x) * scale

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Named()

        def forward(self, x):
            return self.body(x, scale=2.0)

    model = Net().eval()
    before = model(torch.ones(1, 3, 8, 8))
    backbones.insert(model, lambda *size: nn.Identity(), "layers", input_size=8, layers="bod*")
    torch.testing.assert_close(model(torch.ones(1, 3, 8, 8)), before)
