"""Keeps compiled kernels in a folder of the user: a library is loaded only as it was kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = "attn-bench"
POLL_S = 0.1
FAILED_FOR_S = 86_400  # after this, a compiler that failed is tried again
SHOWN = 300  # characters of a kept reason


class Unusable(Exception):
    """The kernel cannot be had; the reason in one line."""


def open_folder() -> Path:
    """The folder of compiled kernels: $XDG_CACHE_HOME/attn-bench, or ~/.cache/attn-bench.

    Raises Unusable where there is none that others cannot write: what lies in it will be run.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    if not base.is_absolute():  # as the XDG specification asks for
        base = Path("~/.cache")
        with suppress(RuntimeError):  # a user without a home
            base = base.expanduser()
    if not base.is_absolute():
        raise Unusable("this user has no home for compiled kernels (set XDG_CACHE_HOME)")
    folder = base / NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve(strict=True)
        own, above = folder.stat(), [path.stat() for path in folder.parents]
    except OSError as error:
        raise Unusable(f"{folder}: {error.strerror}") from None
    if own.st_uid != os.geteuid() or own.st_mode & 0o022:
        raise Unusable(f"{folder} belongs to another user, or others can write into it")
    for facts, path in zip(above, folder.parents, strict=True):
        others = stat.S_IWOTH if facts.st_gid in (0, os.getegid()) else stat.S_IWOTH | stat.S_IWGRP
        is_open = facts.st_mode & others and not facts.st_mode & stat.S_ISVTX
        if is_open or facts.st_uid not in (0, os.geteuid()):
            raise Unusable(f"{folder} lies in {path}, where another user could replace it")
    return folder


class Kept:
    """A library in the folder, by its name: NAME.so, and NAME.sha256 with its digest.

    NAME.lock is held by the process that compiles it. NAME.failed has the reason of a failure.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.library = folder / f"{name}.so"
        self._digest, self._lock, self._failed = (
            folder / f"{name}.{ending}" for ending in ("sha256", "lock", "failed")
        )

    def is_whole(self) -> bool:
        """Whether the library is there, of this user, and as it was kept."""
        content, digest = _read_own(self.library), _read_own(self._digest)
        if content is None or digest is None:
            return False
        return hashlib.sha256(content).hexdigest().encode() == digest.strip()

    @contextmanager
    def locked(self, most_s: float) -> Iterator[None]:
        """Hold the lock. Raises Unusable if it cannot be had within `most_s` seconds."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            lock = os.open(self._lock, flags, 0o600)
        except OSError as error:
            raise Unusable(f"{self._lock}: {error.strerror}") from None
        try:
            deadline = time.monotonic() + most_s
            while not _take(lock):
                if time.monotonic() > deadline:
                    raise Unusable(f"another process holds {self._lock} for more than {most_s:g} s")
                time.sleep(POLL_S)
            yield
        finally:
            os.close(lock)

    def complain_if_failed(self) -> None:
        """Raise Unusable, with the reason, if this failed a short time ago."""
        with suppress(OSError):
            age_s = time.time() - os.lstat(self._failed).st_mtime
            reason = _read_own(self._failed)
            if reason is not None and 0 <= age_s < FAILED_FOR_S:
                words = reason[:SHOWN].decode(errors="replace")
                raise Unusable(f"{words} (before; delete {self._failed} to try again)")

    def failed(self, reason: str) -> Unusable:
        """Keep the reason, so that no other process tries in vain, and return it as an error."""
        with suppress(OSError):
            self._write(self._failed, reason.encode(errors="replace"))
        return Unusable(f"{reason} ({self.library})")

    @contextmanager
    def new_file(self) -> Iterator[Path]:
        """A new file beside the library, which is gone afterwards."""
        for old in self.library.parent.glob(f"{self.library.name}.*.part"):  # of a killed process
            old.unlink()
        descriptor, name = tempfile.mkstemp(
            prefix=f"{self.library.name}.", suffix=".part", dir=self.library.parent
        )
        os.close(descriptor)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def keep(self, file: Path) -> str | None:
        """Make `file` the library. Returns why that cannot be; None if it is done."""
        try:
            with file.open("rb+") as stream:
                content = stream.read()
                os.fsync(stream.fileno())
            _remove(self.library)
            self._write(self._digest, hashlib.sha256(content).hexdigest().encode())
            file.replace(self.library)
        except OSError as error:
            return f"the compiled kernel cannot be kept: {error.strerror}"
        with suppress(OSError):
            self._failed.unlink()
        return None

    def _write(self, target: Path, content: bytes) -> None:
        descriptor, name = tempfile.mkstemp(
            prefix=f"{self.library.name}.", suffix=".part", dir=target.parent
        )
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(descriptor)
            _remove(target)
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: Path) -> None:
    """Make way for a file: an empty folder in its place cannot be replaced by one."""
    with suppress(OSError):
        path.rmdir()


def _read_own(file: Path) -> bytes | None:
    """The content of a regular file of this user that others cannot write; else None."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
                return None
            return None if facts.st_mode & 0o022 else stream.read()
    except OSError:
        return None
