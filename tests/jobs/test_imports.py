"""Jobs return values; `view` turns them into words."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"torch", "timm", "fvcore", "pandas", "pyarrow", "matplotlib", "numpy", "scipy", "rich"}
JOBS = ("run", "check.check", "recommend.recommend", "verify", "selfcheck")


def modules_loaded_by(*names: str) -> set[str]:
    """All modules of a fresh process that has imported `names`."""
    script = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_jobs_load_no_presentation() -> None:
    """No job imports rich, jinja2, matplotlib or a module of `view`."""
    loaded = modules_loaded_by(*(f"attn_bench.jobs.{name}" for name in JOBS))
    assert "attn_bench.jobs.check.check" in loaded
    assert not {"rich", "jinja2", "matplotlib"} & loaded
    assert not {name for name in loaded if name.startswith("attn_bench.view")}


def test_the_formats_of_a_check_are_cheap_to_list() -> None:
    """Help lists the formats, so `view.formats` loads no package that takes long to import."""
    loaded = modules_loaded_by("attn_bench.view.formats")
    assert "attn_bench.view.formats" in loaded
    assert not HEAVY & loaded
