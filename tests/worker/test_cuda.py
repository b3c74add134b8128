"""The CUDA device on a pretended GPU: a queue that works while the host launches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from attn_bench.worker import nvml
from attn_bench.worker.devices import cuda
from attn_bench.worker.devices.base import open_device
from attn_bench.worker.devices.cuda import Cuda

LAUNCH, KERNEL = 10e-6, 2e-6  # seconds: ten such kernels wait for their launches
UUID = "0a1b2c3d-0000-0000-0000-000000000001"


@dataclass
class Gpu:
    """Two clocks: the host's, and the moment at which all that was launched is done."""

    host: float = 0.0
    done: float = 0.0
    graph: list[float] | None = None  # what is captured now
    can_capture: bool = True
    forbids_waiting: bool = False
    captures: int = 0
    devices: list[int] = field(default_factory=list)
    emptied: int = 0

    def launch(self, kernel: float, launch: float = 1e-6) -> None:
        if self.graph is not None:
            if not self.can_capture:
                raise RuntimeError("operation not permitted when stream is capturing")
            self.graph.append(kernel)
            return
        self.host += launch
        self.done = max(self.done, self.host) + kernel

    def wait(self) -> None:
        if self.forbids_waiting:
            raise RuntimeError("called a synchronizing CUDA operation")
        self.host = max(self.host, self.done)

    def torch(self) -> SimpleNamespace:
        """What `cuda.py` uses of torch."""
        gpu = self

        class Event:
            at = 0.0

            def record(self) -> None:
                self.at = max(gpu.host, gpu.done)

            def query(self) -> bool:
                return gpu.host >= self.at

            def elapsed_time(self, end: Event) -> float:
                return 1e3 * (end.at - self.at)

        class Graph:
            kernels: tuple[float, ...] = ()

            def replay(self) -> None:
                gpu.launch(sum(self.kernels), LAUNCH)

        @contextmanager
        def capture(graph: Graph, stream: object) -> Iterator[None]:
            gpu.captures += 1
            gpu.graph = []
            try:
                yield
                graph.kernels = tuple(gpu.graph)
            finally:
                gpu.graph = None

        @contextmanager
        def on(stream: object) -> Iterator[None]:
            yield

        properties = SimpleNamespace(
            name="GPU X", major=9, minor=0, total_memory=1 << 30, multi_processor_count=8, uuid=UUID
        )
        return SimpleNamespace(
            int8="int8",
            empty=lambda size, dtype, device: SimpleNamespace(zero_=lambda: gpu.launch(20e-6)),
            version=SimpleNamespace(cuda="13.0"),
            backends=SimpleNamespace(cudnn=SimpleNamespace(version=lambda: 9)),
            cuda=SimpleNamespace(
                Event=lambda enable_timing: Event(),
                CUDAGraph=Graph,
                Stream=object,
                graph=capture,
                stream=on,
                synchronize=gpu.wait,
                _sleep=lambda cycles: gpu.launch(cycles / 1e9),
                set_sync_debug_mode=lambda mode: setattr(gpu, "forbids_waiting", mode == "error"),
                set_device=gpu.devices.append,
                get_device_properties=lambda index: properties,
                is_available=lambda: True,
                device_count=lambda: 2,
                empty_cache=lambda: setattr(gpu, "emptied", gpu.emptied + 1),
            ),
        )


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """The pretended GPU, which `Cuda` uses, without NVML."""
    gpu = Gpu()
    monkeypatch.setattr(cuda, "torch", gpu.torch())
    monkeypatch.setattr(cuda, "_clock", lambda: gpu.host)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    return gpu


def ten_kernels(gpu: Gpu) -> None:
    for _ in range(10):
        gpu.launch(KERNEL, LAUNCH)


def test_the_device_time_is_free_of_launch_gaps(gpu: Gpu) -> None:
    """Ten kernels of 2 µs take 20 µs on the device, however long their launches take."""
    timing = Cuda().time_block(lambda: ten_kernels(gpu), 5)
    assert timing.device_s == pytest.approx(5 * 10 * KERNEL)
    assert timing.device_clock == "graph"


def test_a_call_that_cannot_be_captured_waits_in_a_blocked_stream(gpu: Gpu) -> None:
    """Its device time is free of gaps, too, and its capture is tried once."""
    gpu.can_capture = False
    device, call = Cuda(), lambda: ten_kernels(gpu)
    timings = [device.time_block(call, 5) for _ in range(2)]
    assert {timing.device_clock for timing in timings} == {"queue"}
    assert timings[1].device_s == pytest.approx(5 * 10 * KERNEL)
    assert gpu.captures == 1


def test_a_call_that_waits_for_the_device_includes_its_launches(gpu: Gpu) -> None:
    """It is never captured, because a failed capture harms the process; its time says so."""

    def call() -> None:
        ten_kernels(gpu)
        gpu.wait()
        ten_kernels(gpu)

    timing = Cuda().time_block(call, 5)
    assert timing.device_clock == "launches"
    assert timing.device_s is not None
    assert timing.device_s > 5 * 10 * LAUNCH
    assert (gpu.captures, gpu.forbids_waiting) == (0, False)


def test_latency_waits_for_each_call_and_throughput_does_not(gpu: Gpu) -> None:
    """A kernel of 50 µs has a latency of its launch and itself; queued, its launch is hidden."""
    timing = Cuda().time_block(lambda: gpu.launch(50e-6, LAUNCH), 20)
    assert timing.seconds == pytest.approx(20 * (LAUNCH + 50e-6))
    assert timing.queued_s == pytest.approx(LAUNCH + 20 * 50e-6)


def test_all_the_time_of_a_block_counts_as_calling(gpu: Gpu) -> None:
    """A budget counts the queued calls and those of the device's clock as well."""
    device = Cuda()
    begin = gpu.host
    timing = device.time_block(lambda: ten_kernels(gpu), 5)
    assert timing.calling_s == pytest.approx(gpu.host - begin)
    assert timing.calling_s > 2 * timing.seconds


def test_an_index_chooses_the_gpu(gpu: Gpu) -> None:
    """`cuda:1` makes the second GPU the current one; the axis and the identity stay `cuda`'s."""
    device = open_device("cuda:1")
    assert gpu.devices == [1]
    assert (device.name, device.facts()["index"], device.facts()["gpu"]) == ("cuda", 1, "GPU X")


def test_memory_is_given_back(gpu: Gpu) -> None:
    """`release` empties the allocator's cache, for workers on the same GPU."""
    Cuda().release()
    assert gpu.emptied == 1


class FakeNvml:
    """What `nvml.py` uses of pynvml. handles: by UUID; what it asks of another one is an error."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    class NVMLError(Exception):
        pass

    def __init__(self, handles: dict[str, str], reasons: list[int]) -> None:
        self.handles, self.reasons, self.begun = handles, reasons, 0

    def nvmlInit(self) -> None:
        self.begun += 1

    def nvmlShutdown(self) -> None:
        pass

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.1"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in self.handles:
            raise self.NVMLError("not found")
        return self.handles[uuid]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> str:
        return f"the GPU of {handle}"

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:
        self.asked = handle
        return self.reasons.pop(0)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def unsupported(*words: object) -> Any:
            raise self.NVMLError("not supported")

        return unsupported


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeNvml], FakeNvml]:
    """Installs a pretended binding of NVML."""
    monkeypatch.setattr(nvml, "atexit", SimpleNamespace(register=lambda stop: None))

    def install(fake: FakeNvml) -> FakeNvml:
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        return fake

    return install


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [([0, 0], False), ([0x1, 0x2], False), ([0x4, 0], True), ([0, 0x40], True)],
)
def test_throttling_is_read_before_and_after_a_block(
    gpu: Gpu, install: Callable[[FakeNvml], FakeNvml], reasons: list[int], expected: bool
) -> None:
    """A block is marked if the GPU reduced its clocks at either end; an idle GPU did not."""
    fake = install(FakeNvml({f"GPU-{UUID}": "handle"}, reasons))
    assert Cuda().time_block(lambda: ten_kernels(gpu), 2).throttled is expected
    assert (fake.begun, fake.reasons) == (1, [])


def test_nvml_is_asked_about_the_gpu_in_use(install: Callable[[FakeNvml], FakeNvml]) -> None:
    """The UUID finds it, and for a MIG instance the GPU that it is a part of."""
    handles = {f"GPU-{UUID}": "one", "MIG-22": "instance"}
    fake = install(FakeNvml(handles, [0, 0]))
    for uuid, expected in ((UUID, "one"), ("22", "the GPU of instance")):
        assert nvml.Nvml(uuid).is_throttled() is False
        assert fake.asked == expected


def test_what_nvml_does_not_tell_is_unknown(
    gpu: Gpu, install: Callable[[FakeNvml], FakeNvml]
) -> None:
    """Without the binding, or for an unknown GPU, nothing is reported as not throttled."""
    assert Cuda().time_block(lambda: ten_kernels(gpu), 1).throttled is None
    install(FakeNvml({}, []))
    assert nvml.Nvml(UUID).is_throttled() is None
    assert nvml.Nvml(UUID).facts() == {}
    install(FakeNvml({f"GPU-{UUID}": "handle"}, []))
    assert nvml.Nvml(UUID).facts() == {"driver": "580.1"}  # a question without answer is left out
