"""ParNet's skip-squeeze-and-excitation: a normed shortcut, gated by one linear map of its mean.

Source card
  paper       Non-deep Networks. Ankit Goyal, Alexey Bochkovskiy, Jia Deng, Vladlen Koltun.
              NeurIPS 2022. arXiv:2110.07641
  code        github.com/imankgoyal/NonDeepNetworks, BSD 3-Clause
  formula     y = z ⊙ σ(W mean(z)), z = bn(x)
  place       the shortcut branch of a ParNet block, beside its 1×1 and its 3×3
  left open   the bias of W. Chosen: none, as in the authors' code.
"""

from __future__ import annotations

from torch import Tensor, nn


class SkipSqueezeExcitation(nn.Module):
    """y = z ⊙ σ(W mean(z)), z = bn(x): N×C×H×W to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.fc = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        z = self.norm(x)
        gated: Tensor = z * self.fc(z.mean(dim=(2, 3), keepdim=True)).sigmoid()
        return gated
