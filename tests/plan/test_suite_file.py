"""A suite is read whole, or refused in one line that says where and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from attn_bench.catalog.registry import builtin
from attn_bench.model.case import Shape
from attn_bench.model.errors import RequestError
from attn_bench.model.suite import Tolerance
from attn_bench.plan import suite_file

GOOD = """\
title = "t"

[[grid]]
module = ["ge_theta_minus", "se"]

[[grid]]
module = "ge_theta"
extent = [2, "global"]

[shapes]
batch  = [1, 8]
stages = [[64, 28, 28]]
"""


def parse(text: str) -> suite_file.Suite:
    return suite_file.parse(text, builtin(), name="t", source="t.toml")


def complaint(text: str) -> str:
    with pytest.raises(RequestError) as caught:
        parse(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_good_suite() -> None:
    """A value may stand for a list of one, and shapes are multiplied with batches."""
    parsed = parse(GOOD)
    assert parsed.grids[1].modules == ("ge_theta",)
    assert parsed.shapes == (Shape(1, 64, 28, 28), Shape(8, 64, 28, 28))


def test_tolerances() -> None:
    """Percent become fractions, in the order in which they stand."""
    parsed = parse(GOOD + '[[tolerance]]\nmetric = "latency"\nfail = 5\nwarn = 3\n')
    assert parsed.tolerances == (Tolerance("latency", "*", 0.05, 0.03),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[tolerance]]\nmetric = "latncy"\nfail = 5', "metric: unknown metric 'latncy' (did you"),
        ('[[tolerance]]\nmetric = "latency"', "a tolerance needs fail = PERCENT, warn = PERCENT"),
        ('[[tolerance]]\nmetric = "latency"\nfail = -1', "fail: "),
        ('[tolerance]\nmetric = "latency"', "tolerance: write [[tolerance]], with two brackets"),
        (
            '[[tolerance]]\nmetric = "latency"\nfial = 1',
            "unknown key 'fial' (did you mean 'fail'?)",
        ),
    ],
)
def test_bad_tolerances(text: str, expected: str) -> None:
    """Each is told with its place."""
    said = complaint(GOOD + text + "\n")
    assert "t.toml:" in said
    assert expected in said


def test_shapes_by_sweep() -> None:
    """Channels and sizes are a grid of shapes, a whole number being a square."""
    text = GOOD.replace("stages = [[64, 28, 28]]", "channels = [8, 16]\nsize = [7, [4, 6]]")
    assert [str(shape) for shape in parse(text).shapes[:4]] == [
        "1x8x7x7",
        "1x8x4x6",
        "1x16x7x7",
        "1x16x4x6",
    ]


@pytest.mark.parametrize("name", suite_file.available())
def test_own_suites(name: str) -> None:
    """Every suite that comes with the package is valid and has a title."""
    assert suite_file.load(name, builtin()).title


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            '"se"]',
            '"sei"]',
            "t.toml:4: [[grid]] 1, module: unknown module 'sei' (did you mean 'se'?)",
        ),
        (
            '2, "global"',
            "6",
            "t.toml:8: [[grid]] 2, extent: extent 6 is not a power of two (4 or 8?)",
        ),
        ('2, "global"', "1", "t.toml:8: [[grid]] 2, extent: extent 1 is below 2"),
        (
            '2, "global"',
            "64",
            "t.toml:8: [[grid]] 2, extent: extent 64 is larger than every map of the suite "
            "(the largest side is 28)",
        ),
        (
            '2, "global"',
            '2, "globl"',
            "t.toml:8: [[grid]] 2, extent: an extent is a whole number or 'global', not 'globl'",
        ),
        ("extent =", "extend =", "t.toml:8: [[grid]] 2: unknown key 'extend' (did you mean 'ext"),
        ("batch  = [1, 8]", "batch = 0", "t.toml:11: [shapes], batch: must be greater"),
        ("batch  = [1, 8]", "batch = 1.5", "t.toml:11: [shapes], batch: must be a valid"),
        ("stages = [[64, 28, 28]]", "stages = []", "t.toml:12: [shapes], stages: is empty"),
        ("stages = [[64, 28, 28]]", "stages = [[64, 28]]", "t.toml:12: [shapes], stages: "),
        ("stages = [[64, 28, 28]]", "channels = 64", "must have either stages"),
        ('title = "t"', "", "t.toml: title: is missing"),
        ('title = "t"', 'titel = "t"', "title"),
        ('title = "t"', 'title = "t"\nanchor = "se"', "'anchor' (it is now 'baseline')"),
        ('title = "t"', 'title = "t"\nmode = "infer"', "t.toml:2: mode: must be 'inf"),
        (
            'title = "t"',
            'title = "t"\nbaseline = "idntity"',
            "t.toml:2: baseline: unknown module 'idn",
        ),
        ('title = "t"', 'title = "t"\nbudget = -1', "t.toml:2: budget: "),
        ('title = "t"', 'title = "t"\nbudget = inf', "t.toml:2: budget: "),
        (
            'title = "t"',
            'title = "t"\nbaseline = "ge_theta(extent=4)"',
            "t.toml:2: baseline: unknown module 'ge_theta(extent=4)'",
        ),
        ("[[64, 28, 28]]", "[[64, 10000000, 10000000]]", "is too large"),
        (
            'title = "t"',
            'title = "t"\nleave_out = "chanels > 3"',
            "t.toml:2: leave_out 'chanels > 3': unknown column 'chanels' (did you mean 'channels'?",
        ),
        ('title = "t"', "title = ", "t.toml: not valid TOML: Invalid value (at line 1, column 9)"),
        (
            'module = ["ge_theta_minus", "se"]',
            "module = []",
            "t.toml:4: [[grid]] 1, module: is empty",
        ),
        ('module = ["ge_theta_minus", "se"]', "", "t.toml:3: [[grid]] 1, module: is missing"),
    ],
)
def test_complaints(old: str, new: str, expected: str) -> None:
    """What is wrong is named with its file, line, table and key, and the nearest right thing."""
    assert old in GOOD
    assert expected in complaint(GOOD.replace(old, new, 1))


def test_extent_of_a_module_without_one() -> None:
    """An extent for a module that has none is refused, not dropped."""
    text = GOOD.replace('"se"]', '"se"]\nextent = 2')
    assert "se takes no extent" in complaint(text)


def test_unknown_suite_names_the_nearest() -> None:
    """A suite's name that is nearly right is answered with the right one."""
    with pytest.raises(
        RequestError, match=r"unknown suite 'ge_extent' \(did you mean 'ge_extents'"
    ):
        suite_file.load("ge_extent", builtin())


def test_unreadable_file(tmp_path: Path) -> None:
    """A folder, a missing file and one that is not text are refused by name."""
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, reason in (
        (folder, "directory"),
        (binary, "UTF-8"),
        (tmp_path / "no.toml", "not found"),
    ):
        with pytest.raises(RequestError, match=reason):
            suite_file.load(str(path), builtin())


def test_globs_of_modules() -> None:
    """A name may be a pattern; each module that it matches is measured once, in order."""
    shapes = "[shapes]\nbatch = 1\nstages = [[8, 8, 8]]\n"
    text = f'title = "x"\n[[grid]]\nmodule = ["ge_theta*", "se", "s*"]\n{shapes}'
    (grid,) = parse(text).grids
    assert grid.modules[:4] == ("ge_theta_minus", "ge_theta", "ge_theta_plus", "se")
    assert grid.modules.count("se") == 1
    assert "simam" in grid.modules
    assert "unknown module 'x_*'" in complaint(text.replace("ge_theta*", "x_*"))


def test_an_unknown_module_may_need_its_file() -> None:
    """Who forgets the file of her own module is reminded of the option."""
    text = 'title = "x"\n[[grid]]\nmodule = "my_attn"\n[shapes]\nbatch = 1\nstages = [[8, 8, 8]]\n'
    assert complaint(text).endswith("; a module of your own needs --modules-from FILE.py")
