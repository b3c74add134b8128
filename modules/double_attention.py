"""Double attention: gathers a few descriptors of the whole map, and gives each position some.

Source card
  paper       A²-Nets: Double Attention Networks. Yunpeng Chen, Yannis Kalantidis, Jianshu Li,
              Shuicheng Yan, Jiashi Feng. NeurIPS 2018. arXiv:1810.11579
  formula     y = x + W z, z_i = Σ_n g_n v_ni, g_n = Σ_j a_j b_nj, equations 4 to 6:
              a = φ(x): m channels; b = softmax over positions of θ(x): n maps;
              v = softmax over the n maps of ρ(x); φ, θ, ρ, W are 1×1 convolutions
  place       in residual blocks of stages 2 and 3 (conv3 and conv4), after the last norm
  left open   - m and n. Chosen: C/4 both, as the paper reduces its channels in ablations.
              - Biases and norms. Chosen: biases, no norm.
              - The blocks. Which ones the paper takes could not be read. `docs/networks.md` has
                the count of one in each block of stages 2 and 3.
"""

from __future__ import annotations

from torch import Tensor, nn


class DoubleAttention(nn.Module):
    """y = x + W (φ(x) softmax(θ(x))ᵀ) softmax(ρ(x)): N×C×H×W to the same.

    rd_ratio: m and n as a part of C.
    """

    def __init__(self, channels: int, rd_ratio: float = 1 / 4) -> None:
        super().__init__()
        width = max(1, int(channels * rd_ratio))
        self.features = nn.Conv2d(channels, width, 1)
        self.gather = nn.Conv2d(channels, width, 1)
        self.distribute = nn.Conv2d(channels, width, 1)
        self.expand = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x).flatten(2)  # N×m×H·W
        maps = self.gather(x).flatten(2).softmax(dim=2)  # N×n×H·W
        vectors = self.distribute(x).flatten(2).softmax(dim=1)  # N×n×H·W
        descriptors = features @ maps.transpose(1, 2)  # N×m×n
        z = (descriptors @ vectors).unflatten(2, x.shape[2:])  # N×m×H×W
        together: Tensor = x + self.expand(z)
        return together
