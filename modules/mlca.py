"""MLCA: ECA's gate on a map of 5×5 means, mixed with the gate of the whole map.

Source card
  paper       Mixed local channel attention for object detection. Dahang Wan, Rongsheng Lu,
              Siyuan Shen, Ting Xu, Xianli Lang, Zhijie Ren. Engineering Applications of Artificial
              Intelligence 123, 2023 (not on arXiv)
  code        github.com/wandahangFY/MLCA (no licence file)
  formula     y = x ⊙ up(½ σ(conv_k(l)) + ½ σ(conv_k(g))); l = the means over 5×5 regions, g = the
              mean of l; each convolution is along the channels and has its own weights;
              k = |(log₂C + 1) / 2|_odd, as in ECA
  place       instead of SE in the detector's MobileNetV3
  left open   - The regions and `up` (the paper's UNAP). Chosen: as in the authors' code, both are
                adaptive average pooling: region i is [⌊iH/5⌋, ⌈(i+1)H/5⌉).
              - The convolution of l. Chosen: as in that code, it runs over the channels of one
                region after the other, without padding between them.
              - The two weights. Chosen: ½, as in that code.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .eca import odd_kernel


class MLCA(nn.Module):
    """y = x ⊙ up(w σ(conv(l)) + (1 − w) σ(conv(g))): N×C×H×W to the same.

    regions: the number of regions along each side.
    local_weight: w.
    """

    def __init__(self, channels: int, regions: int = 5, local_weight: float = 0.5) -> None:
        super().__init__()
        kernel = odd_kernel(channels)
        self.regions, self.local_weight = regions, local_weight
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.conv_local = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, channels = x.shape[:2]
        means = F.adaptive_avg_pool2d(x, self.regions)  # N×C×5×5
        sequence = means.flatten(2).transpose(1, 2).reshape(n, 1, -1)  # N×1×25C
        local = self.conv_local(sequence).reshape(n, -1, channels).transpose(1, 2)  # N×C×25
        whole = self.conv(means.mean(dim=(2, 3))[:, None]).transpose(1, 2)  # N×C×1
        weight = self.local_weight
        gate = weight * local.sigmoid() + (1 - weight) * whole.sigmoid()
        size = x.shape[2:]
        return x * F.adaptive_avg_pool2d(gate.reshape(means.shape), (size[0], size[1]))
