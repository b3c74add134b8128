"""The contextual transformer block: a static context, and a dynamic one whose weights it makes.

Source card
  paper       Contextual Transformer Networks for Visual Recognition. Yehao Li, Ting Yao,
              Yingwei Pan, Tao Mei. TPAMI 2022. arXiv:2107.12292
  code        github.com/JDAI-CV/CoTNet, Apache-2.0
  formula     k = relu(bn(conv k×k in 4 groups(x))), the static context
              a = gn(W_δ relu(bn(W_θ [x, k]))): k² weights for each position and C/8 channels
              v = bn(W_v x), d = swish(bn(Σ over the k×k window of a ⊙ v)), the dynamic context
              y = s ⊙ d + (1 − s) ⊙ k, [s, 1 − s] = softmax(W₂ relu(bn(W₁ mean(d + k))))
  place       instead of the 3×3 of a bottleneck. `docs/networks.md` has the count
  left open   - The widths, the norms and the sum y. From the authors' code: W_θ is C/2 wide, W_1
                C/2 and at least 32, and the paper's k and v share nothing.
              - Which channels share the weights. From that code: c and c + C/8, and so on.
              - A block with stride first averages. Here the stride is 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHARED = 8  # channels that share the weights of a window
KEY_GROUPS = 4


class ContextualTransformer(nn.Module):
    """y = s ⊙ dynamic + (1 − s) ⊙ static context: N×C×H×W to the same.

    In training the batch must be at least 2, because a norm sees one value for each channel and
    image.

    kernel_size: k, odd.

    Raises ValueError if C is not a multiple of 8.
    """

    def __init__(self, channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        if channels % SHARED:
            raise ValueError(f"CoT: {channels} channels are not a multiple of {SHARED}")
        self.kernel_size, self.padding = kernel_size, kernel_size // 2
        wide = {"padding": self.padding, "groups": KEY_GROUPS}
        window, inner, mixed = kernel_size**2, channels // 2, max(channels // 2, 32)
        shares = channels // SHARED
        self.key = _layer(channels, channels, kernel_size, **wide)
        self.weigh = nn.Sequential(
            *_layer(2 * channels, inner, 1),
            nn.Conv2d(inner, window * shares, 1),
            nn.GroupNorm(shares, window * shares),
        )
        self.value = _layer(channels, channels, 1)[:2]
        self.norm = nn.BatchNorm2d(channels)
        self.mix = nn.Sequential(
            nn.Conv2d(channels, mixed, 1),
            nn.BatchNorm2d(mixed),
            nn.ReLU(),
            nn.Conv2d(mixed, 2 * channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        static = self.key(x)
        weights = self.weigh(torch.cat([x, static], dim=1))  # N×C/8·k²×H×W
        dynamic = F.silu(self.norm(self.aggregate(self.value(x), weights)))
        mean = (static + dynamic).mean(dim=(2, 3), keepdim=True)
        shares = self.mix(mean).unflatten(1, (-1, 2)).softmax(dim=2)  # N×C×2×1×1
        fused: Tensor = dynamic * shares[:, :, 0] + static * shares[:, :, 1]
        return fused

    def aggregate(self, value: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum over each window; channel c has the weights of c mod C/8."""
        height, width = value.shape[2:]
        weights = weights.unflatten(1, (1, -1, self.kernel_size**2))  # N×1×C/8×k²×H×W
        padded = F.pad(value, [self.padding] * 4).unflatten(1, (SHARED, -1))
        total = torch.zeros_like(padded[..., :height, :width])
        for position in range(self.kernel_size**2):
            top, left = divmod(position, self.kernel_size)
            moved = padded[..., top : top + height, left : left + width]  # N×8×C/8×H×W
            total = total + moved * weights[:, :, :, position]
        return total.flatten(1, 2)


def _layer(channels: int, width: int, kernel: int, **options: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, kernel, bias=False, **options)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())
