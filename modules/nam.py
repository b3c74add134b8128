"""NAM: gates by the normalised map, weighed by the share of each scale of the norm.

Source card
  paper       NAM: Normalization-based Attention Module. Yichao Liu, Zongru Shao, Yueyang Teng,
              Nico Hoffmann. NeurIPS 2021 workshop ImageNet PPF. arXiv:2111.12419
  code        github.com/Christian-lyc/NAM (no licence file)
  formula     z = x ⊙ σ(w(γ) ⊙ bn(x)), y = z ⊙ σ(w(λ) ⊙ bnₛ(z)), w(γ)ᵢ = γᵢ / Σⱼ γⱼ
              bn normalises each channel and has the scales γ. bnₛ normalises each position over
              the batch and the channels and has the scales λ
  place       at the end of each residual block, before the sum with the shortcut
  left open   - The sign of the scales. Chosen: |γᵢ| / Σⱼ |γⱼ|, as in the authors' code.
              - That code detaches w(γ) from the gradient. Chosen: the derivative of the formula.
              - One version of that code has a ReLU before the first σ. Chosen: none, as in the
                formula.
              - Which of the two gates a table has. Chosen: both; `spatial=False` has the first.
"""

from __future__ import annotations

from torch import Tensor, nn


class NAM(nn.Module):
    """z = x ⊙ σ(w(γ) ⊙ bn(x)), y = z ⊙ σ(w(λ) ⊙ bnₛ(z)): N×C×H×W to the same.

    feat_size: (H, W) of the maps; only the spatial gate needs it.
    spatial: has the second gate, with a scale and a shift for each position.

    Raises ValueError for a spatial gate without `feat_size`, and in the forward for a map of
    another size.
    """

    def __init__(
        self, channels: int, feat_size: tuple[int, int] | None = None, spatial: bool = True
    ) -> None:
        super().__init__()
        if spatial and feat_size is None:
            raise ValueError("NAM with spatial=True needs feat_size, the (height, width) of maps")
        self.feat_size = feat_size
        self.channel = nn.BatchNorm2d(channels)
        self.spatial = None
        if spatial and feat_size is not None:
            self.spatial = nn.BatchNorm1d(feat_size[0] * feat_size[1])

    def forward(self, x: Tensor) -> Tensor:
        share = _share(self.channel)[:, None, None]  # C×1×1
        x = x * (share * self.channel(x)).sigmoid()
        if self.spatial is None:
            return x
        if x.shape[2:] != self.feat_size:
            raise ValueError(f"NAM for maps of {self.feat_size} got one of {tuple(x.shape[2:])}")
        positions = x.flatten(2).transpose(1, 2)  # N×HW×C
        logits = _share(self.spatial) * self.spatial(positions).transpose(1, 2)  # N×C×HW
        gate: Tensor = logits.reshape(x.shape).sigmoid()
        return x * gate


def _share(norm: nn.Module) -> Tensor:
    """The magnitude of each scale of `norm`, as a part of their sum."""
    scale: Tensor = norm.weight.abs()  # type: ignore[operator]
    return scale / scale.sum()
