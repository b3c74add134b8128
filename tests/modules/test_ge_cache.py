"""The kernel's cache: what lies in it may be damaged, stale or another user's."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attn_bench.modules import ge_build, ge_cache
from benchmarks.kernel_cache import COMPILER, QUICK, Cache, result_of

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def test_a_kernel_is_compiled_once(cache: Cache) -> None:
    """The second process uses what the first one compiled; nothing else is left."""
    assert [cache.load(), cache.load()] == ["7", "7"]
    assert cache.compilations == 1
    assert {file.suffix for file in cache.library.parent.iterdir()} == {".so", ".sha256", ".lock"}


def test_first_uses_at_once_compile_once(cache: Cache) -> None:
    """Four processes that start together wait for the one that compiles."""
    cache.compile_by(f"sleep 1\n{QUICK}")
    started = [cache.start() for _ in range(4)]
    assert [result_of(process) for process in started] == ["7"] * 4
    assert cache.compilations == 1


def _cut(library: Path) -> None:
    os.truncate(library, library.stat().st_size // 2)


def _make_folder(library: Path) -> None:
    library.unlink()
    library.mkdir()


def _point_elsewhere(library: Path) -> None:
    library.rename(library.with_suffix(".other"))
    library.symlink_to(library.with_suffix(".other"))


DAMAGES: list[Callable[[Path], object]] = [
    _cut,
    lambda library: library.write_bytes(b""),
    lambda library: library.write_bytes(library.read_bytes() + b"\0"),
    lambda library: library.unlink(),
    lambda library: library.with_suffix(".sha256").unlink(),
    lambda library: library.with_suffix(".sha256").write_text("no digest"),
    lambda library: library.chmod(0o777),
    _make_folder,
    _point_elsewhere,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=range(len(DAMAGES)))
def test_a_damaged_kernel_is_compiled_anew(cache: Cache, damage: Callable[[Path], object]) -> None:
    """It is never loaded, and one process mends it for all."""
    cache.load()
    damage(cache.library)
    assert [cache.load(), cache.load()] == ["7", "7"]
    assert cache.compilations == 2


def test_a_wrong_library_of_the_right_digest_is_compiled_anew(cache: Cache) -> None:
    """A library without the kernel is not used, whoever kept it."""
    cache.load()
    other = cache.base / "other.c"
    other.write_text("int other() { return 0; }")
    subprocess.run([str(COMPILER), "-shared", "-o", cache.library, other], check=True)
    kept = ge_cache.Kept(cache.library.parent, cache.library.stem)
    kept.keep(cache.library)
    assert kept.is_whole()
    assert cache.load() == "7"


FAILING = {
    "true": "true",
    "false": "echo no such flag >&2; exit 1",
    "empty": 'while [ "$1" != -o ]; do shift; done; : > "$2"',
    "words": 'while [ "$1" != -o ]; do shift; done; echo words > "$2"',
    "other": 'while [ "$1" != -o ]; do shift; done; '
    f"echo 'int other;' | {COMPILER} -x c++ -shared -fPIC -o \"$2\" -",
    "segfault": "kill -SEGV $$",
}


@pytest.mark.parametrize("body", FAILING.values(), ids=FAILING)
def test_a_compiler_that_fails_or_lies_is_tried_once(cache: Cache, body: str) -> None:
    """The operators serve, with a warning that names compiler and file; the next process knows."""
    cache.compile_by(body)
    first, second = cache.load(), cache.load()
    for said in (first, second):
        assert said.startswith("None Gather-Excite runs on PyTorch's operators:")
        assert str(cache.compiler) in said
    assert "try again" in second
    assert cache.compilations == 1
    assert not [file for file in cache.folder.rglob("*") if file.suffix in (".so", ".part")]


def test_after_a_day_a_failed_compiler_is_tried_again(cache: Cache) -> None:
    """So is another compiler at the same place, at once."""
    cache.compile_by("exit 1")
    assert cache.load().startswith("None")
    (failed,) = cache.folder.rglob("*.failed")
    os.utime(failed, (0, 0))
    assert "try again" not in cache.load()
    cache.compile_by(QUICK)
    assert cache.load() == "7"


@pytest.mark.parametrize("written", ["/nowhere/c++", "g++ '", " ", "/etc/passwd"])
def test_a_compiler_that_does_not_exist_is_named(cache: Cache, written: str) -> None:
    """CXX that cannot be run is in the warning."""
    said = cache.load(CXX=written)
    assert said.startswith("None Gather-Excite runs on PyTorch's operators: CXX=")
    assert not list(cache.folder.rglob("*.so"))


def test_a_compiler_that_hangs_is_ended(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time limit the operators serve, and the compiler's process is gone."""
    pid = cache.base / "pid"
    cache.compile_by(f"echo $$ > {shlex.quote(str(pid))}\nexec sleep 60")
    for name, value in cache.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ge_build, "TIMEOUT_S", 1)
    with pytest.warns(RuntimeWarning, match="did not end within 1 s"):
        assert ge_build.load_library.__wrapped__() is None
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_lock_that_is_never_given_back_is_named(cache: Cache) -> None:
    """Whoever waits for another process gives up, and names the lock."""
    folder = cache.folder / "attn-bench"
    folder.mkdir(mode=0o700)
    with ge_cache.Kept(folder, "a").locked(0), pytest.raises(ge_cache.Unusable, match=r"a\.lock"):  # noqa: SIM117
        with ge_cache.Kept(folder, "a").locked(0):
            pass


def test_no_folder_that_others_can_write_is_used(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the folder itself nor one above it; a sticky one above is safe."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.folder))
    own = ge_cache.open_folder()
    own.chmod(0o777)
    with pytest.raises(ge_cache.Unusable, match="others can write"):
        ge_cache.open_folder()
    own.chmod(0o700)
    cache.folder.chmod(0o777)
    with pytest.raises(ge_cache.Unusable, match="replace it"):
        ge_cache.open_folder()
    cache.folder.chmod(0o1777)
    assert ge_cache.open_folder() == own


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_no_folder_of_another_user_is_used(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner could put any code there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.folder))
    own = ge_cache.open_folder()
    os.chown(own, 65534, 65534)
    with pytest.raises(ge_cache.Unusable, match="another user"):
        ge_cache.open_folder()


def test_without_a_home_the_operators_serve(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home gets a warning, not an error; a relative XDG_CACHE_HOME is not used."""

    def nobody(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("CXX", str(cache.compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.warns(RuntimeWarning, match="no home"):
        assert ge_build.load_library.__wrapped__() is None


def test_a_file_in_the_place_of_the_folder(cache: Cache) -> None:
    """A cache that cannot be made is named with the reason; nothing is compiled."""
    (cache.folder / "attn-bench").write_text("")
    assert "File exists" in cache.load()
    assert cache.compilations == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs a full device")
def test_a_killed_compilation_leaves_nothing_for_good(cache: Cache) -> None:
    """What a killed process left is cleared by the next one that compiles."""
    cache.load()
    left = cache.library.with_name(f"{cache.library.name}.abc.part")
    left.write_text("half")
    cache.library.unlink()
    assert cache.load() == "7"
    assert not left.exists()
