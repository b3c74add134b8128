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

from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple

import timm
import torch
from timm.models import _efficientnet_blocks as efficientnet
from timm.models import convnext, regnet, resnet
from torch import Tensor, nn

MakeModule = Callable[[int, tuple[int, int], int], nn.Module]
"""(channels, (height, width), stage from 1) -> the module for maps of that size."""

PlaceKind = Literal["block", "inner", "slot", "stage"]

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
    convnext.ConvNeXtBlock: Points("drop_path", "conv_dw", None),
}
SLOT = "se"  # its name in every block of timm that has one


class Site(NamedTuple):
    """One point of a backbone: a module takes the output of the layer `name`."""

    name: str
    stage: int
    slot: str | None = None


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
    model = _plain(backbone)
    if make_module is not None:
        found = sites(model, place, stages)
        for site, (channels, *size) in zip(found, _shapes(model, found, input_size), strict=True):
            _insert(model, site, make_module(channels, (size[0], size[1]), site.stage))
    return model


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


def sites(model: nn.Module, place: PlaceKind, stages: Collection[int] | None = None) -> list[Site]:
    """The sites of `place`, in the order of the forward. Raises ValueError if there are none."""
    names = stage_names(model)
    wanted = sorted(stages or range(1, len(names) + 1))
    if wanted[0] < 1 or wanted[-1] > len(names):
        raise ValueError(f"{type(model).__name__} has stages 1 to {len(names)}, not {wanted}")
    found = []
    for stage in wanted:
        top = names[stage - 1]
        if place == "stage":
            found.append(Site(top, stage))
            continue
        for inside, block in model.get_submodule(top).named_modules():
            points = BLOCKS.get(type(block))
            if points is None:
                continue
            name = getattr(points, place)
            if name is None:
                raise ValueError(f"{type(block).__name__} has no attention slot")
            path = f"{top}.{inside}"
            found.append(
                Site(f"{path}.{name}", stage, f"{path}.{SLOT}" if place == "slot" else None)
            )
    if not found:
        raise ValueError(f"{type(model).__name__} has no residual blocks of a known class")
    return found


def _plain(backbone: str) -> nn.Module:
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


def _shapes(model: nn.Module, found: list[Site], input_size: int) -> list[tuple[int, ...]]:
    """(C, H, W) at each site, measured with one image of zeros."""
    shapes: dict[str, tuple[int, ...]] = {}

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def record(layer: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
            shapes[name] = tuple(output.shape[1:])

        return record

    hooks = [
        model.get_submodule(site.name).register_forward_hook(recorder(site.name)) for site in found
    ]
    was_training = model.training
    device = next(model.parameters()).device
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, input_size, input_size, device=device))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return [shapes[site.name] for site in found]


def _insert(model: nn.Module, site: Site, module: nn.Module) -> None:
    path = site.slot or site.name
    parent, _, name = path.rpartition(".")
    after = module if site.slot else nn.Sequential(model.get_submodule(path), module)
    setattr(model.get_submodule(parent), name, after)
