"""The Bottleneck Attention Module: a channel branch and a spatial branch make up one gate.

Source card
  paper       BAM: Bottleneck Attention Module. Jongchan Park, Sanghyun Woo, Joon-Young Lee,
              In So Kweon. BMVC 2018. arXiv:1807.06514
  code        github.com/Jongchan/attention-module (MIT)
  formula     of the paper, equations 1 to 4: y = x + x ⊙ σ(Mc(x) + Ms(x))
              Mc: mean over H×W → C/r → C → bn                        N×C×1×1
              Ms: 1×1 to C/r → two 3×3, dilation d → 1×1 → bn         N×1×H×W
              of the authors' code: y = x + x ⊙ σ(Mc(x) · Ms(x)), with BatchNorm and ReLU after
              each convolution except the last one of a branch
  place       after the last block of stages 1 to 3, at the network's bottlenecks
  left open   - How the branches are joined. The paper adds them, and its table 2 has sum and
                product; the code multiplies. Chosen: both. `BAM` (registered as `bam`) is the
                code, from which the published weights are; `PaperBAM` (`bam_paper`) is the paper.
              - The activations between the convolutions, which the equations do not have. Chosen:
                ReLU, as in the code.
              - The biases. Chosen: as in the code, all convolutions have them.
"""

from __future__ import annotations

from torch import Tensor, nn


class BAM(nn.Module):
    """y = x ⊙ (1 + σ(Mc(x) · Ms(x))): N×C×H×W to the same.

    In training the batch must be at least 2, because the channel branch normalises one value for
    each channel and image.

    rd_ratio: 1/r, the width inside as a part of C.
    dilation: d of the two 3×3.
    """

    def __init__(self, channels: int, rd_ratio: float = 1 / 16, dilation: int = 4) -> None:
        super().__init__()
        width = max(1, int(channels * rd_ratio))
        wide = {"padding": dilation, "dilation": dilation}
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            *_layer(channels, width, 1),
            nn.Conv2d(width, channels, 1),
        )
        self.spatial = nn.Sequential(
            *_layer(channels, width, 1),
            *_layer(width, width, 3, **wide),
            *_layer(width, width, 3, **wide),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = (self.channel(x) * self.spatial(x)).sigmoid()  # N×C×1×1 · N×1×H×W
        return x * (1 + gate)


class PaperBAM(nn.Module):
    """y = x ⊙ (1 + σ(Mc(x) + Ms(x))), with one norm at the end of each branch: shape is kept.

    In training the batch must be at least 2, because the channel branch normalises one value for
    each channel and image.

    rd_ratio: 1/r, the width inside as a part of C.
    dilation: d of the two 3×3.
    """

    def __init__(self, channels: int, rd_ratio: float = 1 / 16, dilation: int = 4) -> None:
        super().__init__()
        width = max(1, int(channels * rd_ratio))
        wide = {"padding": dilation, "dilation": dilation}
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            *(nn.Conv2d(channels, width, 1), nn.ReLU()),
            *(nn.Conv2d(width, channels, 1), nn.BatchNorm2d(channels)),
        )
        self.spatial = nn.Sequential(
            *(nn.Conv2d(channels, width, 1), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, **wide), nn.ReLU()),  # type: ignore[arg-type]
            *(nn.Conv2d(width, width, 3, **wide), nn.ReLU()),  # type: ignore[arg-type]
            *(nn.Conv2d(width, 1, 1), nn.BatchNorm2d(1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = (self.channel(x) + self.spatial(x)).sigmoid()  # N×C×1×1 + N×1×H×W
        return x * (1 + gate)


def _layer(channels: int, width: int, kernel: int, **options: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, width, kernel, **options), nn.BatchNorm2d(width), nn.ReLU()  # type: ignore[arg-type]
