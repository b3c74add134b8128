"""The oracle of Gather-Excite: float64, explicit loops, written from the paper's definitions.

It shares no code with the implementation and uses no torch.
Arrays are N×C×H×W; `state` is the module's state dict as arrays.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
State = Mapping[str, Array]


def gather_excite(
    x: Array, state: State, form: str, extent: int, *, training: bool = False
) -> Array:
    """x ⊙ σ(interp(excite(gather(x)))) for `form` theta_minus, theta or theta_plus; 0 is global."""
    if form == "theta_minus":
        context = windows_mean(x, extent)
    elif extent == 0:
        context = depthwise(x, state["gather.conv1.weight"], stride=1, padding=0)
        context = batch_norm(context, state, "gather.norm1", training)
    else:
        context, halvings = x, {2: 1, 4: 2, 8: 3, 16: 4}[extent]
        for i in range(1, halvings + 1):
            context = depthwise(context, state[f"gather.conv{i}.weight"], stride=2, padding=1)
            context = batch_norm(context, state, f"gather.norm{i}", training)
            context = relu(context) if i < halvings else context
    if form == "theta_plus":
        hidden = relu(pointwise(relu(context), state, "mlp.fc1"))
        context = pointwise(hidden, state, "mlp.fc2")
    return x * sigmoid(nearest(context, x.shape[2], x.shape[3]))


def windows_mean(x: Array, extent: int) -> Array:
    """The means over (2e−1)×(2e−1) windows, one every e elements, of the elements in the map."""
    n, c, height, width = x.shape
    if extent == 0:
        return x.sum(axis=(2, 3)).reshape(n, c, 1, 1) / (height * width)
    out = np.zeros((n, c, -(-height // extent), -(-width // extent)))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            total, count = np.zeros((n, c)), 0
            for row in range(i * extent - extent + 1, i * extent + extent):
                for column in range(j * extent - extent + 1, j * extent + extent):
                    if 0 <= row < height and 0 <= column < width:
                        total += x[:, :, row, column]
                        count += 1
            out[:, :, i, j] = total / count
    return out


def depthwise(x: Array, weight: Array, *, stride: int, padding: int) -> Array:
    """Correlates each channel with its own kernel (C×1×h×w), with zeros around the map."""
    n, c, height, width = x.shape
    kernel_h, kernel_w = weight.shape[2:]
    out_h = (height + 2 * padding - kernel_h) // stride + 1
    out_w = (width + 2 * padding - kernel_w) // stride + 1
    out = np.zeros((n, c, out_h, out_w))
    for i in range(out_h):
        for j in range(out_w):
            for u in range(kernel_h):
                for v in range(kernel_w):
                    row, column = i * stride + u - padding, j * stride + v - padding
                    if 0 <= row < height and 0 <= column < width:
                        out[:, :, i, j] += x[:, :, row, column] * weight[:, 0, u, v]
    return out


def batch_norm(x: Array, state: State, name: str, training: bool) -> Array:
    """(x − mean) / √(var + 1e-5), scaled and shifted; in training with the moments of the batch."""
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        mean, var = state[f"{name}.running_mean"][c], state[f"{name}.running_var"][c]
        if training:
            mean = x[:, c].sum() / x[:, c].size
            var = ((x[:, c] - mean) ** 2).sum() / x[:, c].size
        normed = (x[:, c] - mean) / np.sqrt(var + 1e-5)
        out[:, c] = normed * state[f"{name}.weight"][c] + state[f"{name}.bias"][c]
    return out


def pointwise(x: Array, state: State, name: str) -> Array:
    """A 1×1 convolution with bias: one matrix for all positions."""
    weight, bias = state[f"{name}.weight"][:, :, 0, 0], state[f"{name}.bias"]
    out = np.empty((x.shape[0], len(bias), *x.shape[2:]))
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            out[:, :, i, j] = x[:, :, i, j] @ weight.T + bias
    return out


def nearest(x: Array, height: int, width: int) -> Array:
    """Upsampling: takes the element at ⌊i·h/H⌋, ⌊j·w/W⌋, in exact integers."""
    out = np.empty((*x.shape[:2], height, width))
    for i in range(height):
        for j in range(width):
            out[:, :, i, j] = x[:, :, i * x.shape[2] // height, j * x.shape[3] // width]
    return out


def relu(x: Array) -> Array:
    return np.where(x > 0, x, 0.0)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))
