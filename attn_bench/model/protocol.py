"""The messages between coordinator and worker: one JSON object a line, one reply a message.

The coordinator's first message is `Open`. The worker answers each message with its result, or with
`Failure` where the module under test failed. A fault of the worker itself gets no reply: the worker
dies, and the coordinator reads the reason from its standard error. VERSION changes with any
message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Discriminator, TypeAdapter

from attn_bench.model.axes import DeviceName, DType, Pages
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.model.checks import Check, Checked
from attn_bench.model.entry import Description
from attn_bench.model.foreign import Compared
from attn_bench.model.metrics import Timing
from attn_bench.model.run import Facts, Rates
from attn_bench.model.status import Status

VERSION = 10
# How the names of the variables begin that change how fast or how exactly a worker computes.
SETTINGS = (
    *("CXX", "OMP_", "GOMP_", "KMP_", "MKL_", "MALLOC_", "THP_", "GLIBC_TUNABLES", "LD_PRELOAD"),
    *(
        "ATEN_",
        "ONEDNN_",
        "DNNL_",
        "TORCH",
        "PYTORCH_",
        "NVIDIA_TF32_OVERRIDE",
        "CUBLAS_",
        "CUDNN_",
    ),
)
# Variables that only name a folder, or what is logged.
NO_SETTINGS = (
    *("TORCH_HOME", "TORCH_LOGS", "TORCH_EXTENSIONS_DIR", "TORCHINDUCTOR_CACHE_DIR"),
    "PYTORCH_KERNEL_CACHE_PATH",
)


def settings_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environment` that change how a worker computes. A path loses its folders.

    >>> settings_in({"LD_PRELOAD": "/usr/lib/libjemalloc.so.2", "TORCH_HOME": "/home/me"})
    {'LD_PRELOAD': 'libjemalloc.so.2'}
    """
    return {
        name: re.sub(r"[^\s:=]*/", "", value)
        for name, value in environment.items()
        if name.startswith(SETTINGS) and name not in NO_SETTINGS
    }


@dataclass(frozen=True, slots=True)
class BaselineCode:
    """Another version of the modules, to be loaded beside the current one.

    package: the folder of the built-ins, `modules/` of another revision.
    files: users' files, packages or modules, as `--modules-from` takes them.
    moved: a folder of the current version -> the folder of the other one that takes its place.
    """

    package: str | None
    files: list[str]
    moved: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Open:
    """The first message: which device and which modules to open. -> Hello

    device: a choice of `--device`; "auto" lets the worker choose.
    memory_bytes: the most memory that the worker may take; None uses the device's default.
    pages: what its memory lies in; the environment of its process has the settings.
    exports: a folder for exported modules, which all workers of the run share.
    """

    version: int
    device: str
    threads: int | None
    modules_from: list[str]
    memory_bytes: int | None = None
    baseline: BaselineCode | None = None
    pages: Pages = "default"
    exports: str | None = None
    kind: Literal["open"] = "open"


@dataclass(frozen=True, slots=True)
class Hello:
    """The worker is ready. `device_facts`, `software` and `sources` go to run.json.

    sources: the digest of each module of the code under test that is loaded (`catalog/code.py`).
    changes: what the users' files changed in the process when they were loaded, each with its file.
    """

    version: int
    device: DeviceName
    device_facts: Mapping[str, Any]
    software: Mapping[str, str]
    threads: int
    settings: Mapping[str, str]
    sources: Mapping[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    kind: Literal["hello"] = "hello"


@dataclass(frozen=True, slots=True)
class Describe:
    """Describe every registered module, including entry points and files. -> Described"""

    kind: Literal["describe"] = "describe"


@dataclass(frozen=True, slots=True)
class Load:
    """Import the code of these modules before the first round. -> Loaded"""

    modules: list[str]
    kind: Literal["load"] = "load"


@dataclass(frozen=True, slots=True)
class Loaded:
    kind: Literal["loaded"] = "loaded"


@dataclass(frozen=True, slots=True)
class Described:
    entries: list[Description]
    kind: Literal["described"] = "described"


@dataclass(frozen=True, slots=True)
class FindSources:
    """Find the digests of these modules, loaded or not. -> SourcesFound"""

    names: list[str]
    kind: Literal["find_sources"] = "find_sources"


@dataclass(frozen=True, slots=True)
class SourcesFound:
    """The digests of all loaded modules, and of the others that exist."""

    sources: Mapping[str, str]
    kind: Literal["sources_found"] = "sources_found"


@dataclass(frozen=True, slots=True)
class FindNetwork:
    """Build a network and find its places, for such images. -> NetworkFound

    layers: patterns, each of which must match a layer.
    """

    name: str
    image: Shape
    layers: list[str] = field(default_factory=list)
    kind: Literal["find_network"] = "find_network"


@dataclass(frozen=True, slots=True)
class NetworkFound:
    """The facts of a network, as `catalog.backbones.Backbone` has them.

    sources: the digests of the modules that were loaded for it.
    """

    stages: int
    places: list[str]
    attention: int
    sources: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["network_found"] = "network_found"


@dataclass(frozen=True, slots=True)
class ShareMemory:
    """Take a fair share of the free memory, since so many workers live at once. -> MemoryShared"""

    workers: int
    kind: Literal["share_memory"] = "share_memory"


@dataclass(frozen=True, slots=True)
class MemoryShared:
    """limit_bytes: the most memory that the worker may take now; None if the device sets none."""

    limit_bytes: int | None
    kind: Literal["memory_shared"] = "memory_shared"


@dataclass(frozen=True, slots=True)
class MeasureRates:
    """Measure the rates of copies and matrix products in this dtype. -> RatesMeasured"""

    dtype: DType
    kind: Literal["measure_rates"] = "measure_rates"


@dataclass(frozen=True, slots=True)
class RatesMeasured:
    rates: Rates
    kind: Literal["rates_measured"] = "rates_measured"


@dataclass(frozen=True, slots=True)
class Prepare:
    """Build the case and call it once: what is compiled or exported then lies ready. -> Prepared"""

    case: Case
    kind: Literal["prepare"] = "prepare"


@dataclass(frozen=True, slots=True)
class Prepared:
    """sources: as in `Timed`."""

    sources: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["prepared"] = "prepared"


@dataclass(frozen=True, slots=True)
class Inspect:
    """Build the case, check its behaviour, measure its exact metrics. -> Inspected"""

    case: Case
    kind: Literal["inspect"] = "inspect"


@dataclass(frozen=True, slots=True)
class Inspected:
    facts: Facts
    kind: Literal["inspected"] = "inspected"


@dataclass(frozen=True, slots=True)
class RunBlock:
    """Make one untimed call, then time `calls` calls as one. -> Timed

    place: chooses where the input lies; the cases of a round have the same.
    """

    case: Case
    calls: int
    place: int = 0
    kind: Literal["run_block"] = "run_block"


OfCase = Prepare | Inspect | RunBlock


@dataclass(frozen=True, slots=True)
class Timed:
    """notes: what the case changed in its process, and the worker put back.

    sources: the digests of the modules that were loaded since the last request.
    """

    timing: Timing
    notes: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["timed"] = "timed"


@dataclass(frozen=True, slots=True)
class Verify:
    """Check one rule of conformance on the variant. -> Verified"""

    variant: Variant
    check: Check
    kind: Literal["verify"] = "verify"


@dataclass(frozen=True, slots=True)
class Verified:
    checked: Checked
    kind: Literal["verified"] = "verified"


@dataclass(frozen=True, slots=True)
class Compare:
    """Compare a foreign class with the formula of a registered module. -> ComparedForeign

    word: FILE.py:CLASS. arguments: those of its constructor that the user gave.
    pairs: names of its tensors or layers -> those of the registered module.
    """

    word: str
    variant: Variant
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pairs: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["compare"] = "compare"


@dataclass(frozen=True, slots=True)
class ComparedForeign:
    compared: Compared
    kind: Literal["compared_foreign"] = "compared_foreign"


@dataclass(frozen=True, slots=True)
class Failure:
    """The module under test failed: the status, and the reason in one line.

    poisoned: the worker itself is not to be trusted any more, and must be replaced.
    """

    status: Status
    error: str
    poisoned: bool = False
    kind: Literal["failure"] = "failure"


@dataclass(frozen=True, slots=True)
class Quit:
    kind: Literal["quit"] = "quit"


Message = (
    Open
    | Describe
    | Load
    | FindSources
    | FindNetwork
    | ShareMemory
    | MeasureRates
    | OfCase
    | Verify
    | Compare
    | Quit
)
Reply = (
    Hello
    | Described
    | Loaded
    | SourcesFound
    | NetworkFound
    | MemoryShared
    | RatesMeasured
    | Prepared
    | Inspected
    | Timed
    | Verified
    | ComparedForeign
    | Failure
)
# What answers a request, besides Failure. Code under test may write to the pipe of its worker.
ANSWER: Mapping[type[Message], type[Reply]] = {
    Open: Hello,
    Describe: Described,
    Load: Loaded,
    FindSources: SourcesFound,
    FindNetwork: NetworkFound,
    ShareMemory: MemoryShared,
    MeasureRates: RatesMeasured,
    Prepare: Prepared,
    Inspect: Inspected,
    RunBlock: Timed,
    Verify: Verified,
    Compare: ComparedForeign,
}
Line = Annotated[Message | Reply, Discriminator("kind")]


@cache
def _adapter() -> TypeAdapter[Message | Reply]:
    return TypeAdapter(Line)


def encode(message: Message | Reply) -> bytes:
    return _adapter().dump_json(message) + b"\n"


def decode(line: bytes) -> Message | Reply:
    """The message in `line`. Raises pydantic's ValueError if it is not one of this version."""
    return _adapter().validate_json(line)
