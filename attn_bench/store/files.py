"""Writes files whole: a reader sees the old file or the new one, and nothing else is replaced."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from attn_bench.model.errors import RequestError

Content = bytes | Callable[[IO[bytes]], object]


def write_atomically(file: Path, content: Content) -> None:
    """Write `content`: bytes, or a function that writes them. On an OSError the old file stays.

    If `file` is a symbolic link, a file takes its place; its target stays as it is.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".part", dir=file.parent)
    aside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, _mode_of(file))
            _write(stream, content)
            os.fsync(descriptor)
        aside.replace(file)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    _sync_folder(file.parent)


def write_output(file: Path, content: bytes) -> None:
    """Write `content` where the user asked for it. Raises OSError.

    A link, a device and a pipe are written into, and are not replaced.
    """
    if _is_replaceable(file):
        try:
            write_atomically(file, content)
            return
        except OSError:
            # A file may be writable in a folder that is not, as one that a container was given.
            if not os.access(file, os.W_OK):
                raise
    with file.open("wb") as stream:
        stream.write(content)


@contextmanager
def naming(what: Path | str) -> Iterator[None]:
    """Turn an OSError into the RequestError that `what` cannot be written."""
    try:
        yield
    except OSError as error:
        raise RequestError(f"{what}: cannot be written: {error.strerror}") from None


def check_writable(file: Path) -> None:
    """Raise OSError if `write_output` could not write `file`; changes nothing."""
    if not file.exists():
        file = Path(os.path.realpath(file)).parent
        if not file.is_dir():
            raise NotADirectoryError(None, f"the folder {file} does not exist")
    elif file.is_dir():
        raise IsADirectoryError(None, "it is a folder")
    if not os.access(file, os.W_OK):
        raise PermissionError(None, "it is not writable")


def _is_replaceable(file: Path) -> bool:
    """Whether another file may take the place of `file`. Raises OSError for a folder."""
    if file.is_dir():
        raise IsADirectoryError(None, "it is a folder")
    return not file.is_symlink() and (not file.exists() or file.is_file())


def _write(stream: IO[bytes], content: Content) -> None:
    if callable(content):
        content(stream)
    else:
        stream.write(content)
    stream.flush()


def _mode_of(file: Path) -> int:
    """The permissions of `file`, or those of a new file."""
    with suppress(OSError):
        facts = os.lstat(file)
        if stat.S_ISREG(facts.st_mode):
            return stat.S_IMODE(facts.st_mode)
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a loss of power, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
