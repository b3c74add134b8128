"""Channel prior convolutional attention, arXiv:2306.05196."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .parts import State, mlp
from .steps import Changes, Step, activations, both_hw, gates, mean_hw, most_hw, same
from .taps import conv


def cpca(
    x: Tensor,
    state: State,
    squeezes: Sequence[Step] = (mean_hw, most_hw),
    act: Step = torch.relu,
    gate: Step = torch.sigmoid,
    each: bool = False,
    skip: bool = True,
    mixed: bool = True,
    position: Step = same,
    of_input: bool = False,
) -> Tensor:
    """z = x ⊙ σ(mlp(mean(x)) + mlp(max(x))), z ⊙ mix(u + Σ_k dw(dw(u))), u = dw 5×5(z).

    each: whether each term has the gate before the sum. skip: whether u is in the sum.
    position: follows `mix`. of_input: whether x stands for the second z.
    """
    logits = [mlp(squeeze(x), state, "", act) for squeeze in squeezes]
    z = x * (sum(map(gate, logits)) if each else gate(torch.stack(logits).sum(0)))
    square = conv(z, state, "square")
    context = square if skip else torch.zeros_like(square)
    for i in range(3):
        context = context + conv(conv(square, state, f"strips.{i}.0"), state, f"strips.{i}.1")
    context = position(conv(context, state, "mix") if mixed else context)
    return (x if of_input else z) * context


FORMS: Mapping[str, Changes] = {
    "cpca": {"each branch has a sigmoid before the sum": {"each": True}}
}
VARIANTS: Mapping[str, Changes] = {
    "cpca": {
        "the max-pool branch is missing": {"squeezes": (mean_hw,)},
        "the mean branch is missing": {"squeezes": (most_hw,)},
        "mean and maximum are added before the MLP, not after it": {"squeezes": (both_hw,)},
        "the 5×5 is not added to the strips": {"skip": False},
        "the 1×1 after the strips is missing": {"mixed": False},
        "a sigmoid follows the 1×1": {"position": torch.sigmoid},
        "the attention multiplies the input, not the gated map": {"of_input": True},
        **activations(),
        **gates(),
    }
}
