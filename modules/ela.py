"""Efficient local attention: 1-d convolutions of the means of rows and of columns.

Source card
  paper       ELA: Efficient Local Attention for Deep Convolutional Neural Networks. Wei Xu, Yi Wan.
              2024. arXiv:2403.01123
  code        not published by the authors
  formula     y = x ⊙ σ(gn(F(mean_w(x)))) ⊙ σ(gn(F(mean_h(x)))), F a 1-d convolution along the strip

              form   kernel  channels a group of F  groups of gn
              ELA-T  5       1                      32
              ELA-B  7       1                      16
              ELA-S  5       8                      16
              ELA-L  7       8                      16

  place       before the sum with the shortcut
  left open   - Whether rows and columns share F and gn. Chosen: they do, as in the copy that
                SCSA's authors compare with (github.com/HZAI-ZJNU/SCSA).
              - The biases. Chosen: none, as in that copy.
              - The four forms are quoted from memory; F's groups could not be checked.
  timm        `timm/ela` does not share F and gn, has a SiLU before σ, and norms over one group.
"""

from __future__ import annotations

from torch import Tensor, nn


class ELA(nn.Module):
    """y = x ⊙ σ(gn(F(mean_w(x)))) ⊙ σ(gn(F(mean_h(x)))): N×C×H×W to the same; by default ELA-B.

    kernel_size: of F, odd.
    group_width: the channels of one group of F.
    norm_groups: the groups of gn.

    Raises ValueError if `group_width` or `norm_groups` does not divide C.
    """

    def __init__(
        self, channels: int, kernel_size: int = 7, group_width: int = 1, norm_groups: int = 16
    ) -> None:
        super().__init__()
        if channels % group_width or channels % norm_groups:
            wrong = group_width if channels % group_width else norm_groups
            raise ValueError(f"ELA: {channels} channels are not a multiple of {wrong}")
        self.conv = nn.Conv1d(
            *(channels, channels, kernel_size),
            padding=kernel_size // 2,
            groups=channels // group_width,
            bias=False,
        )
        self.norm = nn.GroupNorm(norm_groups, channels)

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = self.norm(self.conv(x.mean(dim=3))).sigmoid()  # N×C×H
        columns: Tensor = self.norm(self.conv(x.mean(dim=2))).sigmoid()  # N×C×W
        return x * rows[:, :, :, None] * columns[:, :, None]
