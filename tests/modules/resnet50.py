"""timm's ResNet-50 with an attention module in every block; its parameters and its MACs counted."""

from collections.abc import Callable

import torch
from timm.models.resnet import resnet50
from torch import nn

Build = Callable[[int, tuple[int, int]], nn.Module]
STAGES = (("layer1", 56), ("layer2", 28), ("layer3", 14), ("layer4", 7))


def with_attention(
    build: Build | None, *, papers_strides: bool, global_pool: str = "fast"
) -> nn.Module:
    """ResNet-50 for 224×224 with `build(channels, (height, width))` in each of its 16 blocks.

    The module stands on the output of the block's last BatchNorm, before the sum with the shortcut.
    A block that halves the map does so in its first 1×1 (`papers_strides`, as in the papers) or in
    its 3×3 (as timm does). `global_pool` is timm's: "fast" is a plain mean before the classifier,
    which fvcore does not count, "avg" an AdaptiveAvgPool2d, which it does.
    """
    model = resnet50(global_pool=global_pool)
    for stage, size in STAGES:
        for block in getattr(model, stage):
            if papers_strides:
                block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
            if build is not None:
                module = build(block.bn3.num_features, (size, size))
                block.bn3 = nn.Sequential(block.bn3, module)
    return model.eval()


def parameters(model: nn.Module, *, running_statistics: bool = False) -> int:
    """The number of learnable parameters, with BatchNorm's means and variances on request."""
    count = sum(p.numel() for p in model.parameters())
    if running_statistics:
        count += sum(b.numel() for b in model.buffers() if b.is_floating_point())
    return count


def conv_and_fc_macs(model: nn.Module) -> int:
    """Multiply-accumulates of convolutions and linear layers for one image of 224×224."""
    macs = 0

    def count(layer: nn.Conv2d | nn.Linear, _: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal macs
        macs += output.numel() * layer.weight[0].numel()

    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        model(torch.zeros(1, 3, 224, 224, device=next(model.parameters()).device))
    for handle in handles:
        handle.remove()
    return macs
