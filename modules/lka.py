"""Large-kernel attention: a 21×21 depthwise convolution in two steps and a 1×1, as factor.

Source card
  paper       Visual Attention Network. Meng-Hao Guo, Cheng-Ze Lu, Zheng-Ning Liu,
              Ming-Ming Cheng, Shi-Min Hu. Computational Visual Media 2023. arXiv:2202.09741
  code        github.com/Visual-Attention-Network (Apache 2.0)
  formula     y = x ⊙ conv1×1(dw_d(dw(x))), equations 1 and 2; dw is depthwise (2d−1)×(2d−1), dw_d
              is depthwise ⌈K/d⌉×⌈K/d⌉ with dilation d; K = 21, d = 3. There is no sigmoid
  place       in each block of VAN, between a 1×1 with GELU and a 1×1
  left open   nothing. All convolutions have biases, as in the authors' code.
"""

from __future__ import annotations

from torch import Tensor, nn


class LKA(nn.Module):
    """y = x ⊙ conv1×1(dw_d(dw(x))): N×C×H×W to the same.

    kernel_size: K, the side of the kernel that the two depthwise steps make up.
    dilation: d.

    Raises ValueError if ⌈K/d⌉ is even.
    """

    def __init__(self, channels: int, kernel_size: int = 21, dilation: int = 3) -> None:
        super().__init__()
        near, far = 2 * dilation - 1, -(-kernel_size // dilation)
        if far % 2 == 0:
            raise ValueError(f"LKA: kernel {kernel_size} with dilation {dilation} is {far}×{far}")
        reach = dilation * (far // 2)
        self.near = nn.Conv2d(channels, channels, near, padding=near // 2, groups=channels)
        self.far = nn.Conv2d(
            channels, channels, far, padding=reach, dilation=dilation, groups=channels
        )
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        attention: Tensor = self.mix(self.far(self.near(x)))
        return x * attention
