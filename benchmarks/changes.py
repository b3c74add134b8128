"""The changes that `change_cost.py` makes: a small but real one of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

A = "attn_bench/"
SMALL = "--modules se --device cpu --sessions 2 --budget 2"


@dataclass(frozen=True)
class Change:
    """A kind of change.

    most: the number of source files that the design allows.
    files: new files.
    edits: the old and the new text, by file.
    probes: words of the program, and a text that its output then contains.
    """

    most: int
    probes: tuple[tuple[str, str], ...]
    files: Mapping[str, str] = field(default_factory=dict)
    edits: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


METRIC = Change(
    most=2,
    probes=(
        (f"run --suite smoke {SMALL}", "tensors"),
        ("recommend --help", "--max-tensors"),
        ("list metrics", "state_tensors"),
        (
            "check --suite smoke --modules se --against HEAD --tolerance nothing=1",
            "state_tensors",  # the metrics that a tolerance may name
        ),
    ),
    files={
        f"{A}worker/metrics/state.py": '''"""What a checkpoint of a module holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attn_bench.worker.called import CalledCase


def measure(called: CalledCase) -> Mapping[str, Any]:
    return {"state_tensors": len(called.built.module.state_dict())}
'''
    },
    edits={
        f"{A}model/metrics.py": (
            (
                "    peak_memory_bytes: Number | None = column(",
                """    state_tensors: Number | None = column(
        "",
        "tensors of the state dict",
        heading="tensors",
        show=units.count,
        gated=True,
        limit="tensors",
        example="30",
    )
    peak_memory_bytes: Number | None = column(""",
            ),
        )
    },
)

TIMED_METRIC = Change(
    most=3,
    probes=(
        (f"run --suite smoke {SMALL}", "cores' time"),
        ("list metrics", "cpu_hi_us"),
        ("recommend --help", "--max-cores-time"),
    ),
    edits={
        f"{A}model/metrics.py": (
            (
                "    throttled: bool | None = None\n",
                "    throttled: bool | None = None\n    cpu_s: float | None = None\n",
            ),
            (
                "    ratio: float | None = column(",
                """    cpu_us: float | None = column(
        "µs",
        "time of all cores for one call",
        heading="cores' time",
        show=units.microseconds,
        limit="cores-time",
        example="80ms",
        sample=lambda timing: timing.cpu_s,
    )
    cpu_lo_us: float | None = end("lower", "µs")
    cpu_hi_us: float | None = end("upper", "µs")
    ratio: float | None = column(""",
            ),
        ),
        f"{A}worker/devices/cpu.py": (
            ("import resource\n", "import resource\nimport time\n"),
            (
                "            start = _clock()\n",
                "            start = _clock()\n            cpu_start = time.process_time()\n",
            ),
            (
                "            end = _clock()\n",
                "            end = _clock()\n            cpu_end = time.process_time()\n",
            ),
            (
                "first_call_s=(start - begin) / 1e9,",
                "first_call_s=(start - begin) / 1e9, cpu_s=cpu_end - cpu_start,",
            ),
        ),
    },
)

EXECUTION = Change(
    most=2,
    probes=((f"run --suite traced.toml {SMALL}", "1×64×16×16 traced"),),
    files={
        f"{A}worker/executions/trace.py": '''"""Traced: torch.jit.trace, in inference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attn_bench.model.case import Case
from attn_bench.worker.executions.base import Execution, Forward


class Trace(Execution):
    def problem(self, case: Case) -> str | None:
        return "a trace cannot be trained" if case.mode == "training" else None

    def prepare(self, module: nn.Module, x: Tensor, case: Case) -> Forward:
        traced: Any = torch.jit.trace(module, x)
        return traced
''',
        "traced.toml": """title = "Traced"
execution = ["eager", "trace"]
[[grid]]
module = "se"
[shapes]
stages = [[64, 16, 16]]
""",
    },
    edits={
        f"{A}model/axes.py": (
            ('Literal[\n    "eager",\n', 'Literal[\n    "eager",\n    "trace",\n'),
            (
                '    "openvino": ExecutionFacts(\n',
                '    "trace": ExecutionFacts(),\n    "openvino": ExecutionFacts(\n',
            ),
            (
                '{\n            "eager": "PyTorch",\n',
                '{\n            "eager": "PyTorch",\n            "trace": "traced",\n',
            ),
        )
    },
)

DEVICE = Change(
    most=2,
    # This machine does not have the device: the probe shows that the program knows it.
    probes=(
        ("run --help", "xpu"),
        (
            "run --suite smoke --modules se --device xpu",
            "--device xpu: PyTorch finds no such device here",
        ),
    ),
    files={
        f"{A}worker/devices/xpu.py": '''"""An Intel GPU, timed by the caller's clock."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from attn_bench.model.axes import DeviceName
from attn_bench.model.metrics import Timing
from attn_bench.worker.devices.base import Call, Device
from attn_bench.worker.devices.cpu import Cpu


class Xpu(Device):
    name: ClassVar[DeviceName] = "xpu"
    matrix_side: ClassVar[int] = 4096

    @classmethod
    def count(cls) -> int:
        return torch.xpu.device_count()

    def facts(self) -> dict[str, Any]:
        return {"gpu": torch.xpu.get_device_name(0)}

    def limit_memory(self, limit_bytes: int | None) -> None:
        pass

    def drain(self) -> None:
        torch.xpu.synchronize()

    def time_block(self, call: Call, calls: int) -> Timing:
        def waited() -> None:
            call()
            self.drain()

        return Cpu().time_block(waited, calls)

    def peak_memory_bytes(self, call: Call) -> int:
        torch.xpu.reset_peak_memory_stats()
        before = torch.xpu.memory_allocated()
        call()
        self.drain()
        return int(torch.xpu.max_memory_allocated() - before)
'''
    },
    edits={
        f"{A}model/axes.py": (
            (
                'DeviceName = Literal["cpu", "cuda"]',
                'DeviceName = Literal["cpu", "cuda", "xpu"]',
            ),
            (
                '    "cpu": DeviceFacts(),\n',
                '    "xpu": DeviceFacts(drivers=("/dev/dri/renderD128",)),\n'
                '    "cpu": DeviceFacts(),\n',
            ),
        )
    },
)

AXIS = Change(
    most=2,
    probes=((f"run --suite frozen.toml {SMALL}", "8×64×16×16 training frozen"),),
    files={
        "frozen.toml": """title = "BatchNorm frozen"
mode = "training"
batchnorm = ["own", "frozen"]
[[grid]]
module = ["se", "bam"]
[shapes]
batch = 8
stages = [[64, 16, 16]]
""",
    },
    edits={
        f"{A}model/axes.py": (
            (
                "    device: DeviceName = axis(",
                """    batchnorm: Literal["own", "frozen"] = axis(
        "own: BatchNorm trains; frozen: it keeps its statistics", "own"
    )
    device: DeviceName = axis(""",
            ),
        ),
        f"{A}worker/build.py": (
            (
                '        return module.train(case.mode == "training"), under_test\n',
                """        module.train(case.mode == "training")
        for layer in module.modules():
            if case.batchnorm == "frozen" and isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return module, under_test
""",
            ),
        ),
    },
)

COMMAND = Change(
    most=3,
    probes=(("--help", "count"), ("count smoke", "9 cases")),
    files={
        f"{A}cli/count.py": '''"""`count`: how many cases a suite has."""

from __future__ import annotations

import click

from attn_bench.model.status import Exit


@click.command()
@click.argument("suite")
def command(suite: str) -> int:
    """Count the cases of a suite."""
    from attn_bench.jobs.count import count
    from attn_bench.view.console.count import show

    show(count(suite))
    return Exit.GOOD
''',
        f"{A}jobs/count.py": '''"""The job of `count`."""

from __future__ import annotations

from attn_bench.catalog.registry import builtin
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan


def count(suite: str) -> int:
    return len(make_plan(suite_file.load(suite, builtin()), "cpu").cases)
''',
        f"{A}view/console/count.py": '''"""A count in words."""

from __future__ import annotations

from attn_bench.model import units
from attn_bench.view.console import plain


def show(cases: int) -> None:
    plain.line(units.number(cases, "case"))
''',
    },
)

FORMAT = Change(
    most=1,
    probes=(("show ge_extents-cpu --format tex --columns variant,params", "cbam & 132260"),),
    edits={
        f"{A}view/run_formats.py": (
            (
                "FORMATS: Mapping[str, Format] = {\n",
                """FORMATS: Mapping[str, Format] = {
    "tex": lambda run, columns: "".join(
        " & ".join(str(getattr(row, name)) for name in columns) + " \\\\\\\\\\n" for row in run.rows
    ),
""",
            ),
        )
    },
)

CHECK_FORMAT = Change(
    most=1,
    probes=(
        ("check --help", "--sentences"),
        ("compare ge_extents-cpu ge_extents-cpu --sentences out.txt", "undecided"),
    ),
    edits={
        f"{A}view/formats.py": (
            (
                "FORMATS: Mapping[str, Format] = {\n",
                """FORMATS: Mapping[str, Format] = {
    "sentences": Format("sentences", lambda answer: str(answer.findings)),
""",
            ),
        )
    },
)

SETTING = Change(
    most=2,
    probes=(
        ("run --help", "--block-ms"),
        ("run --suite smoke --modules se --block-ms 2 --dry-run", "would be measured"),
        ("run --suite smoke --modules se --block-ms no", "--block-ms"),
    ),
    edits={
        f"{A}model/request.py": (
            (
                "    out: str | None = option(",
                """    block_ms: float = option(
        3.0, metavar="MS", more_than=0, most=1000, help="How long a block takes; 3."
    )
    out: str | None = option(""",
            ),
        ),
        f"{A}plan/cases.py": (
            (
                "        timeout_s=request.timeout_s,\n",
                "        timeout_s=request.timeout_s,\n        block_s=request.block_ms / 1e3,\n",
            ),
        ),
    },
)

CHANGES: Mapping[str, Change] = {
    "metric": METRIC,
    "timed-metric": TIMED_METRIC,
    "execution": EXECUTION,
    "device": DEVICE,
    "axis": AXIS,
    "command": COMMAND,
    "format": FORMAT,
    "check-format": CHECK_FORMAT,
    "setting": SETTING,
}
