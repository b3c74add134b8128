"""A real browser, for the tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
NEEDED = "ATTN_BENCH_NEEDS_BROWSER"  # set where a browser must be there, in CI


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window; nothing of it is left when the tests are over."""
    if CHROMIUM is None:
        assert not os.environ.get(NEEDED), f"{NEEDED} is set, and there is no chromium"
        pytest.skip("there is no chromium on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()
    names = [process.name() for process in psutil.Process().children(recursive=True)]
    assert not [name for name in names if "chrom" in name or "node" in name]
