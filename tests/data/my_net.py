"""A network of a user's: a plain CNN with functional activations and its own residual block."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """A residual block whose activations are functions."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.short = nn.Conv2d(cin, cout, 1, stride) if stride > 1 or cin != cout else None

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.short is None else self.short(x)))


class Gate(nn.Module):
    """Squeeze-and-Excitation under a name of the user's."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.mix(x.mean((2, 3), keepdim=True)))


class Gated(nn.Module):
    """A network whose two blocks have attention already."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.body = nn.ModuleList(Block(16, 16, 1) for _ in range(2))
        for block in self.body:
            block.bn2 = nn.Sequential(block.bn2, Gate(16))

    def forward(self, x):
        x = self.stem(x)
        for block in self.body:
            x = block(x)
        return x.mean((2, 3))


class GateFirst(nn.Module):
    """A network whose container begins with attention, and goes on with convolutions."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.body = nn.Sequential(Gate(16), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())

    def forward(self, x):
        return self.body(self.stem(x)).mean((2, 3))


class Alias(nn.Module):
    """A network that calls its layer by a second name."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.called = [self.conv]

    def forward(self, x):
        return self.called[0](x).mean((2, 3))


class Dense(nn.Module):
    """A network without maps."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(3, 10)

    def forward(self, x):
        return self.dense(x.mean((2, 3)))


class Shared(nn.Module):
    """A network with one activation for all of its convolutions."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x))).mean((2, 3))


class Straight(nn.Module):
    """A network without residual blocks."""

    def __init__(self):
        super().__init__()
        self.convs = nn.Sequential(
            *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(inplace=True)),
        )

    def forward(self, x):
        return self.convs(x).mean((2, 3))


class MyNet(nn.Module):
    """Three stages of two residual blocks each."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        self.layer1 = nn.Sequential(Block(32, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.head = nn.Linear(256, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(x)), 2)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.head(x.mean((2, 3)))
