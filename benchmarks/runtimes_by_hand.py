"""SE over plain in ResNet-50, timed by hand in ONNX Runtime and OpenVINO.

    python benchmarks/runtimes_by_hand.py [--threads 2] [--rounds 40] [--processes 5]

Nothing of attn-bench measures here: both networks are exported once, and each process calls the
runtimes as their documentation shows, in turn. Compare with the suite runtimes_resnet50, or with
`attn-bench recommend --backbone resnet50 --execution onnxruntime --modules se`.

Prints, for each runtime, the ratio with a 95 % interval over processes (Student's t).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median, stdev

import numpy as np
from scipy.stats import t

SHAPE = (1, 3, 224, 224)
NAMES = ("plain", "se")
Call = Callable[[], object]


def export(folder: Path) -> None:
    """Write ResNet-50, plain and with SE in each block, as ONNX files."""
    import torch

    from attn_bench.catalog.registry import builtin
    from attn_bench.modules import backbones

    make_se = builtin().get("se").build
    for name in NAMES:
        model = backbones.plain("resnet50").eval()
        if name == "se":
            backbones.insert(model, lambda c, size, stage: make_se(c, size, None), "block")
        file = folder / f"{name}.onnx"
        torch.onnx.export(
            model.eval(), (torch.randn(SHAPE),), file, dynamo=True, external_data=False
        )


def open_all(files: dict[str, Path], threads: int) -> dict[tuple[str, str], Call]:
    """A call for each runtime and network."""
    import onnxruntime
    import openvino

    x = np.random.default_rng(0).standard_normal(SHAPE).astype("float32")
    calls: dict[tuple[str, str], Call] = {}
    for name, file in files.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: x}
        calls["onnxruntime", name] = lambda session=session, feed=feed: session.run(None, feed)  # type: ignore[misc]
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        core = openvino.Core()
        request = core.compile_model(core.read_model(file), "CPU", settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
        calls["openvino", name] = request.infer
    return calls


def time_one_process(folder: Path, threads: int, rounds: int) -> dict[str, float]:
    """SE over plain in each runtime: the median over rounds of ratios of neighbours."""
    calls = open_all({name: folder / f"{name}.onnx" for name in NAMES}, threads)
    ratios: dict[str, list[float]] = {runtime: [] for runtime, _ in calls}
    for round_ in range(rounds + 3):
        for runtime, found in ratios.items():
            time.sleep(0.1)  # ONNX Runtime's threads spin on for 60 ms
            seconds = {}
            for name in NAMES if round_ % 2 else NAMES[::-1]:
                calls[runtime, name]()
                begin = time.perf_counter()
                calls[runtime, name]()
                seconds[name] = time.perf_counter() - begin
            if round_ >= 3:  # the first rounds warm up
                found.append(seconds["se"] / seconds["plain"])
    return {runtime: median(found) for runtime, found in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(time_one_process(options.one, options.threads, options.rounds)))
        return
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        export(Path(folder))
        words = [sys.executable, __file__, "--one", folder, "--threads", str(options.threads)]
        words += ["--rounds", str(options.rounds)]
        for _ in range(options.processes):
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            for runtime, ratio in json.loads(done.stdout.splitlines()[-1]).items():
                found.setdefault(runtime, []).append(ratio)
    for runtime, ratios in found.items():
        half = float(t.ppf(0.975, len(ratios) - 1)) * stdev(ratios) / len(ratios) ** 0.5
        print(f"{runtime}: SE over plain {mean(ratios):.3f} ± {half:.3f}")


if __name__ == "__main__":
    main()
