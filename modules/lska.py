"""LSKA: large-kernel attention whose depthwise steps are strips, first along W, then along H.

Source card
  paper       Large Separable Kernel Attention: Rethinking the Large Kernel Attention Design in
              CNN. Kin Wai Lau, Lai-Man Po, Yasar Abbas Ur Rehman. Expert Systems with
              Applications 236, 2024. arXiv:2309.01439
  code        github.com/StevenLauHKHK/Large-Separable-Kernel-Attention (no licence file)
  formula     y = x ⊙ conv1×1(dw_d n×1(dw_d 1×n(dw m×1(dw 1×m(x))))), m = 2d−1, n = ⌊K/d⌋,
              dilation d; K = 23, d = 3 (K = 7 and 11 have d = 2). There is no sigmoid
  place       as LKA, in each block of VAN
  left open   nothing. All convolutions have biases, as in the authors' code.
"""

from __future__ import annotations

from torch import Tensor, nn


class LSKA(nn.Module):
    """x ⊙ conv1×1 of four depthwise strips: N×C×H×W to the same.

    kernel_size: K, the side of the kernel that the strips make up.
    dilation: d of the last two strips.

    Raises ValueError if ⌊K/d⌋ is even.
    """

    def __init__(self, channels: int, kernel_size: int = 23, dilation: int = 3) -> None:
        super().__init__()
        near, far = 2 * dilation - 1, kernel_size // dilation
        if far % 2 == 0:
            raise ValueError(f"LSKA: kernel {kernel_size} with dilation {dilation} has {far} taps")
        self.strips = nn.Sequential(
            _strip(channels, (1, near), 1),
            _strip(channels, (near, 1), 1),
            _strip(channels, (1, far), dilation),
            _strip(channels, (far, 1), dilation),
        )
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        attention: Tensor = self.mix(self.strips(x))
        return x * attention


def _strip(channels: int, kernel: tuple[int, int], dilation: int) -> nn.Conv2d:
    padding = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2))
    return nn.Conv2d(
        channels, channels, kernel, padding=padding, dilation=dilation, groups=channels
    )
