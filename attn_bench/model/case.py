"""A case: a variant at one shape and one value of every axis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from attn_bench.model.axes import AXES, ITEM_BYTES, Conditions, DType, MemoryFormat, conditions_of
from attn_bench.model.bounds import Size

Extent = int | Literal["global"]
StageExtents = tuple[Extent, ...]
Scalar = str | int | float | bool

# The reserved name of a backbone without a module: the baseline of the networks made of it.
PLAIN = "plain"
# The built-in module that computes nothing: in a slot it leaves out the network's own attention.
NOTHING = "none"
USUAL_PLACE = "block"
LEAST_IMAGE, USUAL_IMAGE = 32, 224  # sides of the images of networks

# `check` registers the baseline version of a module under the module's name and this suffix. Stored
# case ids contain it, so it must not change.
BASELINE = "@base"


@dataclass(frozen=True, slots=True)
class Shape:
    """An NCHW input."""

    batch: Size
    channels: Size
    height: Size
    width: Size

    def __str__(self) -> str:
        return f"{self.batch}x{self.channels}x{self.height}x{self.width}"

    @property
    def elements(self) -> int:
        return self.batch * self.channels * self.height * self.width

    @property
    def in_words(self) -> str:
        return str(self).replace("x", "×")


@dataclass(frozen=True, slots=True)
class Variant:
    """A registered module with fixed arguments. In a network, extents may vary by stage."""

    module: str
    extent: Extent | StageExtents | None = None
    arguments: tuple[tuple[str, Scalar], ...] = ()

    @property
    def label(self) -> str:
        """`ge_theta(extent=4, rd_ratio=0.25)`; only the name if nothing is fixed."""
        extent = None if self.extent is None else f"extent={self.extent_in_words}"
        inside = ", ".join(part for part in (extent, self.arguments_in_words) if part)
        return f"{self.module}({inside})" if inside else self.module

    @property
    def arguments_in_words(self) -> str | None:
        """The arguments as a table shows them: `rd_ratio=0.25`; None for the defaults."""
        return ", ".join(f"{name}={value!r}" for name, value in self.arguments) or None

    @property
    def extent_in_words(self) -> Extent | str | None:
        """The extent as a table shows it; one extent for each stage is `8-4-2-global`."""
        if isinstance(self.extent, tuple):
            return "-".join(str(extent) for extent in self.extent)
        return self.extent

    def at_stage(self, stage: int) -> Extent | None:
        """The extent in stage `stage` of a network; the first stage is 1."""
        return self.extent[stage - 1] if isinstance(self.extent, tuple) else self.extent


@dataclass(frozen=True, slots=True)
class Network:
    """A backbone, and the place in it where a variant goes, as `backbones.Place` reads it."""

    backbone: str
    place: str = USUAL_PLACE

    def __str__(self) -> str:
        usual = self.place == USUAL_PLACE
        return self.backbone if usual else f"{self.backbone}:{self.place}"


@dataclass(frozen=True)
class Case(Conditions):
    """A variant at one shape, dtype, memory format, mode, execution and device.

    With a network, the whole network is measured, and `shape` is the shape of its images. The
    variant called PLAIN is the backbone without a module.
    """

    variant: Variant
    shape: Shape
    network: Network | None = None

    @property
    def id(self) -> str:
        """A stable, readable name: `se/8x256x56x56/float32/contiguous/inference/eager/cpu`.

        The id of a network begins with `resnet50+se/1x3x224x224/`, or `resnet50/1x3x224x224/`
        without a module.
        """
        if self.network is None:
            what = self.variant.label
        else:
            what = f"{self.network}" + ("" if self.is_plain else f"+{self.variant.label}")
        conditions = (
            getattr(self, axis.name)
            for axis in AXES
            if axis.in_every_id or getattr(self, axis.name) != axis.usual
        )
        return "/".join([what, str(self.shape), *conditions])

    @property
    def is_plain(self) -> bool:
        return self.network is not None and self.variant.module == PLAIN

    @property
    def is_baseline(self) -> bool:
        return self.variant.module.endswith(BASELINE)

    @property
    def baseline(self) -> Case:
        """The same case of the baseline version."""
        return replace(self, variant=replace(self.variant, module=self.variant.module + BASELINE))

    @property
    def current(self) -> Case:
        """The same case of the current version."""
        name = self.variant.module.removesuffix(BASELINE)
        return replace(self, variant=replace(self.variant, module=name))

    @property
    def in_eager(self) -> Case:
        """The same case in eager execution: all executions have the same weights."""
        return replace(self, execution="eager")

    @property
    def input_key(self) -> tuple[Shape, DType, MemoryFormat]:
        """The facts that an input depends on: cases with the same key share one input tensor."""
        return self.shape, self.dtype, self.memory_format

    @property
    def input_bytes(self) -> int:
        return self.shape.elements * ITEM_BYTES[self.dtype]

    def columns(self) -> dict[str, Any]:
        """The columns of the table that are known before anything is measured."""
        return {
            "case_id": self.id,
            "module": self.variant.module,
            "variant": self.variant.label,
            "arguments": self.variant.arguments_in_words,
            "extent": self.variant.extent_in_words,
            "backbone": self.network.backbone if self.network else None,
            "place": self.network.place if self.network and not self.is_plain else None,
            "channels": self.shape.channels,
            "height": self.shape.height,
            "width": self.shape.width,
            "batch": self.shape.batch,
            **conditions_of(self),
        }
