"""Strip pooling, arXiv:2003.13328."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .parts import State, batch_norm
from .steps import Changes, Step, activations, gates, same
from .taps import conv


def strip_pooling(
    x: Tensor,
    state: State,
    pool: Callable[[Tensor, int], Tensor] = torch.mean,
    norms: bool = True,
    kinds: tuple[int, int] = (1, 1),
    act: Step = torch.relu,
    gate: Step = torch.sigmoid,
    join: Callable[[Tensor, Tensor], Tensor] = torch.add,
) -> Tensor:
    """x ⊙ σ(conv1×1(relu(u + v))), u and v from the means of rows and of columns.

    kinds: which of u and v count.
    """
    height, width = x.shape[2:]
    u = conv(pool(x, 3)[..., None], state, "conv_h")
    v = conv(pool(x, 2)[:, :, None], state, "conv_w")
    if norms:
        u, v = batch_norm(u, state, "norm_h"), batch_norm(v, state, "norm_w")
    strips = join(u.repeat(1, 1, 1, width) * kinds[0], v.repeat(1, 1, height, 1) * kinds[1])
    return x * gate(conv(act(strips), state, "mix"))


FORMS: Mapping[str, Changes] = {
    "strip_pooling": {
        "it has no norms": {"norms": False},
        "it has no ReLU": {"act": same},
        "it has neither norms nor a ReLU": {"norms": False, "act": same},
    }
}
VARIANTS: Mapping[str, Changes] = {
    "strip_pooling": {
        "the strips are multiplied, not added": {"join": torch.mul},
        "the strips of the columns are missing": {"kinds": (1, 0)},
        "the strips of the rows are missing": {"kinds": (0, 1)},
        "the maximum is taken, not the mean": {"pool": torch.amax},
        **{words: change for words, change in activations().items() if change["act"] is not same},
        **gates(),
    }
}
