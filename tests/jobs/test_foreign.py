"""`verify FILE.py:CLASS --as NAME`: right classes agree, and planted faults have their reasons."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from inside import inside
from program import DATA, Cli, program

from attn_bench.catalog.registry import builtin
from attn_bench.worker.foreign.candidates import wrong_ones

FILE = DATA / "foreign_modules.py"
RIGHT = [
    ("LinearSE", "se", ""),
    ("LinearSE", "se(rd_ratio=0.25)", "reduction=4"),
    ("FunctionalSE", "se", ""),
    ("OfficialCBAM", "cbam", ""),
    ("OtherBAM", "bam", ""),
    ("AdaptiveECA", "eca", ""),
    ("PooledGE", "ge_theta_minus(extent=4)", ""),
    ("LearnedGE", "ge_theta(extent=4)", ""),
    ("GlobalGEPlus", "ge_theta_plus", ""),
    ("ContextBlock", "gc", ""),
    ("CoordAtt", "coord", ""),
    ("Triplet", "triplet", ""),
    ("Simam", "simam", ""),
    ("Simam", "simam", "fault='variance'"),
    ("GroupEnhance", "sge", ""),
    ("ChannelModule", "danet_channel", ""),
    ("LargeKernel", "lka", ""),
]
FAULTY = [
    ("LinearSE", "se", "fault='twice'", "the sigmoid is applied twice"),
    ("LinearSE", "se", "fault='relu'", "the ReLU is missing"),
    ("FunctionalSE", "se", "squeeze_factor=8", "the ratio is 1/8, not 1/16"),
    ("OfficialCBAM", "cbam", "fault='residual'", "x1 + x1 ⊙ gate"),
    ("OfficialCBAM", "cbam", "fault='no maximum'", "the max-pool branch of the channel gate is"),
    ("OtherBAM", "bam", "fault='added'", "the branches are added, not multiplied"),
    ("OtherBAM", "bam", "fault='norm'", "a norm is missing: channel.2"),
    ("AdaptiveECA", "eca", "fault='kernel'", "at 256 channels: the kernel size is 3, not 5"),
    ("PooledGE", "ge_theta_minus(extent=4)", "fault='padded'", "the mean counts zeros around"),
    ("LearnedGE", "ge_theta(extent=4)", "fault='bilinear'", "interpolated bilinearly"),
    ("GlobalGEPlus", "ge_theta_plus", "fault='relu'", "the ReLU before the MLP is missing"),
    ("ContextBlock", "gc", "fault='softmax'", "the softmax is over the channels"),
    ("CoordAtt", "coord", "fault='axis'", "the gate of the rows is on the columns"),
    ("Triplet", "triplet", "fault='sum'", "the branches are added, and not divided by 3"),
    ("Simam", "simam", "fault='half'", "the term 1/2 is missing"),
    ("GroupEnhance", "sge", "fault='maximum'", "the maximum of the map is taken"),
    ("ChannelModule", "danet_channel", "fault='sigmoid'", "a sigmoid stands for the softmax"),
    ("LargeKernel", "lka", "fault='dilation'", "convolution has no dilation"),
    ("LargeKernel", "lka", "fault='sigmoid'", "a sigmoid makes the attention a gate"),
]


def compared(folder: Path, name: str, model: str, *words: str, by: Cli = inside) -> dict[str, Any]:
    """The answer as JSON, after its status was held to its exit status."""
    done = by("verify", f"{FILE}:{name}", "--as", model, *words, "--json", "a.json", cwd=folder)
    assert (folder / "a.json").exists(), done.stderr
    answer: dict[str, Any] = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    assert done.returncode == answer["exit_status"]
    return {**answer, "stdout": done.stdout}


@pytest.mark.parametrize(("name", "model", "arguments"), RIGHT)
def test_a_right_class_agrees(tmp_path: Path, name: str, model: str, arguments: str) -> None:
    """A right class agrees whatever the names of its parameters; the status is 0."""
    answer = compared(tmp_path, name, model, "--args", arguments)
    assert (answer["verdict"], answer["reasons"]) == ("agrees", [])
    assert answer["exit_status"] == 0


@pytest.mark.parametrize(("name", "model", "arguments", "reason"), FAULTY)
def test_a_fault_has_its_reason(
    tmp_path: Path, name: str, model: str, arguments: str, reason: str
) -> None:
    """A planted fault is the one reason; the status is 1."""
    answer = compared(tmp_path, name, model, "--args", arguments)
    assert answer["exit_status"] == 1
    (only,) = answer["reasons"]
    assert reason in only
    assert f"    {only}\n" in answer["stdout"]


def test_every_module_of_the_issue_has_variants() -> None:
    """Each formula has its list of known mistakes, whose arguments the formula takes."""
    for name in {"eca", *(re.sub(r"\(.*", "", model) for _, model, _ in RIGHT)}:
        entry = next(each for each in builtin() if each.name in (name, f"timm/{name}"))
        formula = entry.formula()
        assert formula is not None
        wrong = [*wrong_ones(formula)]
        assert len(wrong) >= 5
        for one in wrong:
            assert one.changes.keys() <= inspect.signature(formula).parameters.keys()


def test_an_argument_that_is_given_is_no_mistake(tmp_path: Path) -> None:
    """What --as asks for stands in the formula's tables, too: it is no reason, and no crash."""
    for model in ("nam(spatial=False)", "simam(eps=0.01)", "ela(norm_groups=16)"):
        answer = compared(tmp_path, "LinearSE", model)
        assert answer["verdict"] in ("differs", "not_mapped")


def test_two_faults_are_both_named(tmp_path: Path) -> None:
    """A class with two known mistakes differs for these two reasons."""
    (tmp_path / "two.py").write_text(
        "import foreign_modules\n"
        "class Two(foreign_modules.LinearSE):\n"
        "    def forward(self, x):\n"
        "        y = self.up(self.down(x.amax((2, 3)))).sigmoid()\n"
        "        return x * y[:, :, None, None]\n"
    )
    (tmp_path / "foreign_modules.py").write_text(FILE.read_text(encoding="utf-8"))
    done = inside("verify", "two.py:Two", "--as", "se", cwd=tmp_path)
    assert done.returncode == 1
    assert "    the ReLU is missing\n    the maximum of the map is taken" in done.stdout


def test_another_module_is_named(tmp_path: Path) -> None:
    """A class that computes another registered formula differs, and that formula is named."""
    answer = compared(tmp_path, "LinearSE", "bam")
    assert (answer["verdict"], answer["reasons"]) == ("differs", ["it computes se, not bam"])


def test_other_sizes_alone_are_named_as_such(tmp_path: Path) -> None:
    """Where only the ratio differs, a note says that the formula agrees; no distance is given."""
    answer = compared(tmp_path, "FunctionalSE", "se", "--args", "squeeze_factor=8")
    assert answer["remarks"][0] == "but for these sizes, the formula agrees"
    assert answer["apart"] is None


@pytest.mark.parametrize(
    ("body", "verdict"),
    [("super().forward(x.float())", "agrees"), ("super().forward(x).half()", "not_built")],
)
def test_a_class_of_one_type(tmp_path: Path, body: str, verdict: str) -> None:
    """One that computes in float32 alone is compared in it; a result in float16 is refused."""
    (tmp_path / "typed.py").write_text(
        "import foreign_modules\nimport torch\nclass Typed(foreign_modules.LinearSE):\n"
        "    def forward(self, x):\n"
        "        if x.dtype != torch.float32:\n            raise RuntimeError('float32 only')\n"
        f"        return {body}\n"
    )
    (tmp_path / "foreign_modules.py").write_text(FILE.read_text(encoding="utf-8"))
    done = inside("verify", "typed.py:Typed", "--as", "se", "--json", "a.json", cwd=tmp_path)
    assert json.loads((tmp_path / "a.json").read_text())["verdict"] == verdict, done


@pytest.mark.parametrize(
    ("base", "forward", "reason"),
    [
        (
            "LinearSE",
            "self.up(self.down(x.mean((2, 3))).relu()).sigmoid()[..., None, None]",
            "gate",
        ),
        ("Simam", "super().forward(x) + x", "the input is added to the result"),
        ("ContextBlock", "super().forward(x) - x", "the residual is missing"),
    ],
)
def test_a_mistake_around_the_formula_is_named(
    tmp_path: Path, base: str, forward: str, reason: str
) -> None:
    """A residual too much or too little, and a gate that is returned, are found in any module."""
    (tmp_path / "around.py").write_text(
        f"import foreign_modules\nclass Around(foreign_modules.{base}):\n"
        f"    def forward(self, x):\n        return {forward}\n"
    )
    (tmp_path / "foreign_modules.py").write_text(FILE.read_text(encoding="utf-8"))
    model = {"LinearSE": "se", "Simam": "simam", "ContextBlock": "gc"}[base]
    done = inside("verify", "around.py:Around", "--as", model, cwd=tmp_path)
    assert done.returncode == 1
    assert reason in done.stdout


def test_a_refused_size_is_a_note(tmp_path: Path) -> None:
    """A class that refuses maps of 15×13 agrees on the others, and the note has its error."""
    answer = compared(tmp_path, "SquaresOnly", "ge_theta_minus")
    assert answer["verdict"] == "agrees"
    assert answer["remarks"][0].startswith("refuses maps of 15×13: forward: RuntimeError: maps")


@pytest.mark.parametrize(
    ("name", "verdict", "reason"),
    [
        ("Unbuildable", "not_built", 'give --args "heads=…, window=…", or wrap it: def wrapped('),
        ("Pair", "not_built", "Pair(): forward gives tuple, not a tensor; wrap it"),
        ("Unlike", "not_mapped", "nothing of the class fits fc1, fc2; conv (64×1×3×3) of the"),
    ],
)
def test_what_cannot_be_compared_is_status_3(
    tmp_path: Path, name: str, verdict: str, reason: str
) -> None:
    """A class that cannot be built or mapped has status 3, and one line says what to do."""
    answer = compared(tmp_path, name, "se")
    assert (answer["verdict"], answer["exit_status"]) == (verdict, 3)
    assert reason in answer["reasons"][0]


def test_a_map_is_followed(tmp_path: Path) -> None:
    """`--map` fixes tensors or layers; the rest is mapped by shape and order."""
    answer = compared(tmp_path, "LinearSE", "se", "--map", "down=fc1, up.weight=fc2.weight")
    assert answer["mapping"] == {"down.weight": "fc1.weight", "up.weight": "fc2.weight"}
    answer = compared(tmp_path, "CoordAtt", "coord", "--map", "for_w=conv_h,for_h=conv_w")
    assert answer["exit_status"] == 1


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("LinearSE", ("see",), "--as: unknown module 'see' (did you mean 'se'?)"),
        ("LinearSE", ("timm/sk",), "--as timm/sk: no formula is registered"),
        ("LinearSE", ("ge_theta(extent=3)",), "extent 3 is not a power of two (2 or 4?)"),
        ("LinearSE", ("se(ratio)",), "--as se(ratio): 'ratio' are not arguments (as in"),
        ("LinearSE", ("se", "--args", "16"), "--args: '16' are not arguments (as in"),
        ("LinearSE", ("se", "--args", "ratio=4"), "--args: LinearSE takes no 'ratio'"),
        ("LinearSE", ("se", "--map", "down"), "--map: 'down' is not a pair"),
        ("LinearSE", ("se", "--map", "dow=fc1"), "unknown parameter 'dow'"),
        ("LinearSE", ("se", "--map", "down=fc3"), "unknown parameter 'fc3'"),
        ("OtherBAM", ("bam", "--map", "wide1=spatial.0"), "4×4×3×3 does not fit 4×64×1×1"),
        ("LinearS", ("se",), "has no 'LinearS' (did you mean 'LinearSE'?)"),
    ],
)
def test_a_wrong_request_is_one_line(
    tmp_path: Path, name: str, words: tuple[str, ...], expected: str
) -> None:
    """Status 2, and the line names the thing and the nearest right one."""
    done = inside("verify", f"{FILE}:{name}", "--as", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("se", "--args", "x=1"), "--args needs --as NAME"),
        (("se", "--as", "se"), "name a class, as in FILE.py:CLASS"),
        (("--as", "se"), "verify --as se: name a class, as in FILE.py:CLASS"),
        (("se.py:SE",), "verify se.py:SE: a class needs --as NAME"),
        (("no.py:SE", "--as", "se"), "verify no.py: file not found"),
    ],
)
def test_a_class_must_be_named(tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    """`--as` needs a class, and `--args` needs `--as`."""
    done = inside("verify", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr


def test_through_a_real_worker(tmp_path: Path) -> None:
    """In processes of its own the answer is the same, and the mapping is shown by layers."""
    words = ("verify", f"{FILE}:OtherBAM", "--as", "bam", "--args", "fault='added'")
    done = program(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "    the branches are added, not multiplied\n" in done.stdout
    assert "norms.2 = spatial.7" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    "result",
    ["x.mean(1)", "x.mean()", "x[:, :, ::2, ::2]"],
)
def test_a_result_of_another_shape_differs(result: str, cli: Cli, tmp_path: Path) -> None:
    """The verdict has both shapes, whatever the class computes."""
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nclass Mine(nn.Module):\n"
        f"    def forward(self, x):\n        return {result}\n"
    )
    done = cli("verify", "mine.py:Mine", "--as", "simam")
    assert done.returncode == 1, done
    assert re.search(r"the result is \S.*, and its input is \d+×64×", done.stdout), done.stdout


def test_an_unknown_argument_of_the_registered_module_is_a_wrong_request(cli: Cli) -> None:
    """It is not the fault of the user's class."""
    done = cli("verify", f"{FILE}:LinearSE", "--as", "se(foo=3)")
    assert done.returncode == 2, done
    assert "error: --as se(foo=3): " in done.stderr
