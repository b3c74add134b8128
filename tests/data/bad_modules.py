"""Modules that do what no module may do, and one that is fine."""

import os
import signal
import time

import torch
from torch import nn

from attn_bench import register


class Base(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()


@register("good")
class Good(Base):
    """Doubles its input, and prints on standard output."""

    def forward(self, x):
        print("a module may print")
        return 2 * x


@register("bad_constructor")
class BadConstructor(Base):
    def __init__(self, channels: int) -> None:
        raise ValueError("no such width\nand a second line")


@register("bad_forward")
class BadForward(Base):
    def forward(self, x):
        raise RuntimeError("forward is broken")


class _BrokenGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("backward is broken")


@register("bad_backward")
class BadBackward(Base):
    def forward(self, x):
        return _BrokenGradient.apply(x)


@register("other_shape")
class OtherShape(Base):
    def forward(self, x):
        return x.mean((2, 3), keepdim=True)


@register("not_a_number")
class NotANumber(Base):
    def forward(self, x):
        return x * float("nan")


@register("in_place")
class InPlace(Base):
    def forward(self, x):
        return x.mul_(1.0)


@register("through_data")
class ThroughData(Base):
    def forward(self, x):
        x.data.add_(1.0)
        return 2 * x


@register("no_tensor")
class NoTensor(Base):
    def forward(self, x):
        return (x, x)


@register("for_ever")
class ForEver(Base):
    def forward(self, x):
        time.sleep(3600)
        return x


@register("crash")
class Crash(Base):
    def forward(self, x):
        os.kill(os.getpid(), signal.SIGSEGV)
        return x


@register("too_large")
class TooLarge(Base):
    def forward(self, x):
        return x + torch.empty(2**50).sum()


@register("greedy")
class Greedy(Base):
    """Takes and fills memory for as long as it is given any."""

    def forward(self, x):
        taken = [x]
        while True:
            taken.append(torch.ones(16 * 2**20))


@register("late")
class Late(Base):
    """Fine while it is inspected, and broken later, in the middle of the rounds."""

    calls = 0

    def forward(self, x):
        Late.calls += 1
        if Late.calls > 45:
            raise RuntimeError("broken after a while")
        time.sleep(0.001)
        return x + 1
