"""timm's backbones with a module at each place of one kind. A dry run finds the map sizes.

Source card: places
  block   on the output of a block's last convolution and its norm, before the sum with the
          shortcut: Squeeze-and-Excitation (arXiv:1709.01507, figure 3), CBAM, Gather-Excite, ECA.
          A block without a shortcut (where MobileNetV2 changes the width) has the same place.
          In ConvNeXt the place is after the layer scale.
  inner   after a block's spatial (3×3 or depthwise) convolution with its norm and activation. In a
          basic block the last convolution is a 3×3, so `inner` is the same as `block`.
  slot    where timm's block has a place for attention: in ResNet the same as `block`, in MobileNet,
          EfficientNet and RegNet the same as `inner`. The module replaces the backbone's own one
          there. At all other places the backbone's own module stays.
  stage   after a stage's last block: BAM (arXiv:1807.06514, figure 1).

  strides A ResNet's down-sampling block has its stride in the first 1×1 in the papers and in Caffe,
          in the 3×3 in timm. A name that ends in `_caffe` has the stride of the papers: ResNet-50
          then has 3.858 G instead of 4.089 G.
  weights Those of a fresh network. timm starts the scale of some norms at 0; here it is 0.25, so
          that the modules do not see maps of zeros.
  pooling A ResNet's head takes a plain mean ("fast"). It equals timm's AdaptiveAvgPool2d, whose
          elements fvcore counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

import timm
import torch
from timm.models import _efficientnet_blocks as efficientnet
from timm.models import convnext, regnet, resnet
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .places import find_places

MakeModule = Callable[[int, tuple[int, int], int], nn.Module]
"""(channels, (height, width), stage from 1) -> the module for maps of that size."""

ImageSize = int | tuple[int, int, int]
"""The side of RGB images, or their (channels, height, width)."""

PlaceKind = Literal["block", "inner", "slot", "stage", "layers"]
KINDS: tuple[PlaceKind, ...] = ("block", "inner", "slot", "stage")
MISSING = {"block": "residual blocks", "slot": "attention slot"}

CAFFE = "_caffe"
WOKEN_SCALE = 0.25


class Points(NamedTuple):
    """For each place, the layer of a block whose output the module takes; None without a place."""

    block: str
    inner: str
    slot: str | None


BLOCKS: dict[type[nn.Module], Points] = {
    resnet.BasicBlock: Points("bn2", "bn2", "bn2"),
    resnet.Bottleneck: Points("bn3", "act2", "bn3"),
    regnet.Bottleneck: Points("conv3", "conv2", "conv2"),
    efficientnet.DepthwiseSeparableConv: Points("bn2", "bn1", "bn1"),
    efficientnet.InvertedResidual: Points("bn3", "bn2", "bn2"),
    efficientnet.EdgeResidual: Points("bn2", "bn1", "bn1"),
    convnext.ConvNeXtBlock: Points("drop_path", "conv_dw", None),
}
# Their places depend on their options: a forward finds them.
TRACED = (
    efficientnet.CondConvResidual,
    efficientnet.MobileAttention,
    efficientnet.UniversalInvertedResidual,
)
SLOT = "se"  # its name in every block of timm that has one


class Site(NamedTuple):
    """One point of a backbone: a module takes the output of the layer `name`."""

    name: str
    stage: int
    slot: str | None = None


class Followed(nn.Sequential):
    """A layer, then a module. The layer may take several arguments, also by name."""

    def forward(self, *given: Any, **named: Any) -> Tensor:
        layer, module = self
        result: Tensor = module(layer(*given, **named))
        return result


def build(
    backbone: str,
    make_module: MakeModule | None = None,
    *,
    place: PlaceKind = "block",
    stages: Collection[int] | None = None,
    input_size: int = 224,
) -> nn.Module:
    """timm's `backbone` for 1000 classes, with a module from `make_module` at each `place`.

    Shape: N×3×input_size×input_size to N×1000. Without `make_module` the backbone is unchanged.

    stages: the stages that get modules, counted from 1; None is all of them.

    Raises ValueError for a place or a stage that the backbone does not have, for unknown blocks,
    and for `_caffe` after a backbone without such strides. Raises what timm raises for an unknown
    backbone, and what `make_module` raises.
    """
    model = plain(backbone)
    if make_module is not None:
        insert(model, make_module, place, stages, input_size=input_size)
    return model


def insert(
    model: nn.Module,
    make_module: MakeModule,
    place: PlaceKind = "block",
    stages: Collection[int] | None = None,
    *,
    input_size: ImageSize = 224,
    layers: str | None = None,
) -> None:
    """Put a module from `make_module` at each `place` of any network for images.

    stages, layers: as `sites` takes them. Raises ValueError like `sites`, for a place whose output
    is no map, and for a layer that a forward does not call once.
    """
    is_known, made = _has_known_blocks(model) and place != "layers", []
    found = sites(model, place, stages, input_size=input_size, layers=layers)
    for site, shape in zip(found, _shapes(model, found, input_size), strict=True):
        if len(shape) != 3:
            raise ValueError(f"the output of {site.name} has no channels, height and width")
        channels, height, width = shape
        made.append(make_module(channels, (height, width), site.stage))
        _insert(model, site, made[-1])
    if not is_known:
        _check_calls(model, made, input_size)


def stage_names(model: nn.Module) -> list[str]:
    """The names of a backbone's stages, first to last, for `get_submodule`."""
    for pattern in ("layer{}", "s{}"):
        if hasattr(model, pattern.format(1)):
            return [pattern.format(i) for i in range(1, 5)]
    for parent in ("blocks", "stages"):
        if hasattr(model, parent):
            return [f"{parent}.{name}" for name, _ in getattr(model, parent).named_children()]
    raise ValueError(
        f"{type(model).__name__} has stages under an unknown name (layerN, sN, blocks or stages?)"
    )


def sites(
    model: nn.Module,
    place: PlaceKind,
    stages: Collection[int] | None = None,
    *,
    input_size: ImageSize = 224,
    layers: str | None = None,
) -> list[Site]:
    """The sites of `place`, in the order of the forward. Raises ValueError if there are none.

    The blocks of BLOCKS have the places of their papers. In other networks a forward of an image of
    `input_size` finds them (`places.py`).
    layers: for the place "layers", a pattern of their names, as `fnmatch` takes it.
    """
    name = type(model).__name__
    if place == "layers":
        return _named(model, layers or "*")
    found = all_sites(model, input_size=input_size).get(place)
    if not found:
        raise ValueError(f"{name} has no {MISSING.get(place, f'place {place!r}')}")
    last = max(site.stage for site in found)
    if outside := [n for n in stages or () if not 1 <= n <= last]:
        raise ValueError(f"{name} has stages 1 to {last}, not {outside[0]}")
    return [site for site in found if stages is None or site.stage in stages]


def all_sites(model: nn.Module, *, input_size: ImageSize = 224) -> dict[PlaceKind, list[Site]]:
    """The sites of each kind of place that `model` has, as `sites` finds them."""
    if _has_known_blocks(model):
        found = {place: _known(model, place) for place in KINDS}
    else:
        found = _traced(model, input_size)
    return {place: listed for place, listed in found.items() if listed}


def attention(model: nn.Module, found: Mapping[PlaceKind, list[Site]]) -> list[str]:
    """The names of the attention modules that `model` has in the slots of `all_sites` already."""
    return [s.slot for s in found.get("slot", ()) if s.slot and _is_filled(model, s.slot)]


def _has_known_blocks(model: nn.Module) -> bool:
    layers = list(model.modules())
    is_known = any(type(layer) in BLOCKS for layer in layers)
    is_usual = any(hasattr(model, name) for name in ("layer1", "s1", "blocks", "stages"))
    return is_known and is_usual and not any(isinstance(layer, TRACED) for layer in layers)


def _known(model: nn.Module, place: PlaceKind) -> list[Site]:
    """The sites in blocks of known classes."""
    found = []
    for stage, top in enumerate(stage_names(model), 1):
        if place == "stage":
            found.append(Site(top, stage))
            continue
        for inside, block in model.get_submodule(top).named_modules():
            points = BLOCKS.get(type(block))
            if points is None:
                continue
            name = getattr(points, place)
            if name is None:
                continue
            path = f"{top}.{inside}"
            found.append(
                Site(f"{path}.{name}", stage, f"{path}.{SLOT}" if place == "slot" else None)
            )
    filled = [site for site in found if site.slot and _is_filled(model, site.slot)]
    return filled or found


def _traced(model: nn.Module, input_size: ImageSize) -> dict[PlaceKind, list[Site]]:
    """The sites of each place that a forward finds."""
    with _evaluated(model):
        places = find_places(model, _image(model, input_size))
    return {
        kind: [
            Site(each.name, places.stage_of(each), each.name if kind == "slot" else None)
            for each in getattr(places, kind)
        ]
        for kind in KINDS
    }


def _named(model: nn.Module, pattern: str) -> list[Site]:
    """A site after each layer whose name matches; those inside another one are left out."""
    names = [name for name, _ in model.named_modules() if name]
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        near = get_close_matches(pattern, names, 3, 0.4) or names[:3]
        raise ValueError(f"no layer is called {pattern!r} (there are: {', '.join(near)}, …)")
    return [Site(name, 1) for name in found if not any(name.startswith(f"{o}.") for o in found)]


def _is_filled(model: nn.Module, name: str) -> bool:
    """Whether the slot has a module that computes something."""
    parent, _, own = name.rpartition(".")
    there = getattr(model.get_submodule(parent), own, None)
    return there is not None and not isinstance(there, nn.Identity)


def plain(backbone: str) -> nn.Module:
    """timm's `backbone` without modules of ours."""
    name = backbone.removesuffix(CAFFE)
    pooling: dict[str, Any] = {"global_pool": "fast"} if name.startswith("resn") else {}
    model: nn.Module = timm.create_model(name, **pooling)
    if name != backbone:
        bottlenecks = [block for block in model.modules() if isinstance(block, resnet.Bottleneck)]
        if not bottlenecks:
            raise ValueError(f"{backbone}: a {name} has no 1×1 for the stride ({name}?)")
        for block in bottlenecks:
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    for layer in model.modules():
        if (
            isinstance(layer, nn.BatchNorm2d)
            and not layer.weight.is_meta
            and not layer.weight.any()
        ):
            nn.init.constant_(layer.weight, WOKEN_SCALE)
    return model


def _shapes(model: nn.Module, found: list[Site], input_size: ImageSize) -> list[tuple[int, ...]]:
    """(C, H, W) at each site, measured with one image of zeros."""
    shapes: dict[str, tuple[int, ...]] = {}

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def record(layer: nn.Module, given: tuple[Tensor], output: Any) -> None:
            if isinstance(output, Tensor):
                shapes[name] = tuple(output.shape[1:])

        return record

    hooks = [
        model.get_submodule(site.name).register_forward_hook(recorder(site.name)) for site in found
    ]
    _look(model, input_size, hooks)
    if missing := [site.name for site in found if site.name not in shapes]:
        raise ValueError(f"the layer {missing[0]} gives no tensor in a forward")
    return [shapes[site.name] for site in found]


def _check_calls(model: nn.Module, made: Sequence[nn.Module], size: ImageSize) -> None:
    """Raise ValueError if a forward does not call each of the modules `made` once."""
    calls: Counter[int] = Counter()

    def count(layer: nn.Module, given: Any) -> None:
        calls[id(layer)] += 1

    hooks = [module.register_forward_pre_hook(count) for module in made]
    _look(model, size, hooks)
    names = {id(layer): name for name, layer in model.named_modules()}
    for module in made:
        if calls[id(module)] != 1:
            raise ValueError(
                f"a forward calls {names[id(module)]} {calls[id(module)]} times, not once, so no "
                "module can be put there (--place for other layers?)"
            )


def _look(model: nn.Module, size: ImageSize, hooks: Sequence[RemovableHandle]) -> None:
    """Run a forward for its hooks, and remove them."""
    try:
        with torch.no_grad(), _evaluated(model):
            model(_image(model, size))
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _evaluated(model: nn.Module) -> Iterator[None]:
    """In evaluation; afterwards each layer is in its own mode again."""
    modes = [(layer, layer.training) for layer in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for layer, is_training in modes:
            layer.training = is_training


def _image(model: nn.Module, size: ImageSize) -> Tensor:
    """One image of zeros, on the device of the model and in its dtype."""
    like = next(iter(model.parameters()), torch.empty(0))
    shape = (3, size, size) if isinstance(size, int) else size
    return torch.zeros(1, *shape, device=like.device, dtype=like.dtype)


def _insert(model: nn.Module, site: Site, module: nn.Module) -> None:
    path = site.slot or site.name
    parent, _, name = path.rpartition(".")
    after = module if site.slot else Followed(model.get_submodule(path), module)
    if after is not module:
        after.training = model.training
    setattr(model.get_submodule(parent), name, after)
