"""A place that many hosts share: a folder, or an object store by its fsspec URL.

A fleet needs few operations. The one that must be atomic is `create`: of several hosts that create
an object with one key, exactly one succeeds.
"""

from __future__ import annotations

import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from errno import ENOSYS, ENOTSUP, EOPNOTSUPP, EPERM
from pathlib import Path
from typing import Any
from uuid import uuid4

from attn_bench.model.bounds import MOST_BYTES
from attn_bench.model.errors import AttnBenchError, RequestError, in_one_line, nearest
from attn_bench.store.files import naming, write_atomically
from attn_bench.store.reading import read_regular, too_large

LOCAL = ("file", "local")
MEMORY = "memory"
# The protocols whose `create` is one conditional request. Others test first, and then write.
CONDITIONAL = ("s3", "s3a", "gs", "gcs", MEMORY)
EXTRAS = {"s3": "s3", "s3a": "s3"}
WITHOUT_LINKS = (EPERM, ENOSYS, ENOTSUP, EOPNOTSUPP)  # the file system has none
# What servers call a conditional request that came too late; libraries translate some of them.
REFUSED = re.compile("PreconditionFailed|ConditionalRequestConflict|conditionNotMet")
# A secret key of S3 may contain a slash.
CREDENTIALS = re.compile(r"//(?:[^/\s:@]*:\S*|[^/\s]*)@")
QUERY = re.compile(r"(?<=://)([^\s?]*)\?\S*")
HALF_URL = re.compile(r"(?:file|s3a?|gs|gcs):/(?!/)")
_MEMORY_LOCK = threading.Lock()


class Unreachable(RequestError):
    """The place did not answer, or refused; a later attempt may succeed."""


class Place(ABC):
    """Objects by key, as `shards/abc/claims/000001.json`. Every method may raise Unreachable.

    name: for people; it holds no credentials.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def at(self, folder: str) -> Place:
        """The part of the place below `folder`."""

    @abstractmethod
    def create(self, key: str, content: bytes) -> bool:
        """Create an object; False if it exists. Of several callers, one gets True."""

    @abstractmethod
    def put(self, key: str, content: bytes) -> None:
        """Write an object; a reader sees the old or the new content."""

    @abstractmethod
    def get(self, key: str, most: int = MOST_BYTES) -> bytes | None:
        """The content; None if the key does not exist. Raises RequestError for more bytes."""

    @abstractmethod
    def find(self, folder: str) -> list[str]:
        """All keys below `folder`, sorted."""

    @abstractmethod
    def list_folders(self) -> list[str]:
        """The names of the folders at the top."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove an object."""

    def probe(self) -> None:
        """Raise RequestError if two hosts could create one object here."""
        key = f"probe-{uuid4().hex}"
        created = [self.create(key, number) for number in (b"1", b"2")]
        self.remove(key)
        if created != [True, False]:
            raise RequestError(
                f"{self.name}: this store cannot create an object exclusively, so two hosts could "
                "claim one shard: use a folder, s3:// or gs://"
            )


class Folder(Place):
    """A folder of a file system that the hosts share."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self._root = root

    def at(self, folder: str) -> Place:
        return Folder(self._root / folder)

    def create(self, key: str, content: bytes) -> bool:
        file = self._root / key
        aside = file.with_name(f".{file.name}.{uuid4().hex}.part")
        with self._reporting(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write_new(aside, content)
                try:
                    file.hardlink_to(aside)  # whole at once, and only one succeeds
                except OSError as error:
                    if error.errno not in WITHOUT_LINKS:
                        raise
                    _write_new(file, content)
            except FileExistsError:
                return False
            finally:
                aside.unlink(missing_ok=True)
        return True

    def put(self, key: str, content: bytes) -> None:
        file = self._root / key
        with self._reporting(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, content)

    def get(self, key: str, most: int = MOST_BYTES) -> bytes | None:
        file = self._root / key
        with _reading(file):
            try:
                return read_regular(file, most)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def find(self, folder: str) -> list[str]:
        return sorted(
            (Path(parent, name).relative_to(self._root).as_posix())
            for parent, _, names in os.walk(self._root / folder, onerror=_complain_of_folder)
            for name in names
            if not name.startswith(".")  # half-written
        )

    def list_folders(self) -> list[str]:
        with _reading(self._root):
            if not self._root.is_dir():
                return []
            return sorted(path.name for path in self._root.iterdir() if path.is_dir())

    def remove(self, key: str) -> None:
        with self._reporting(self._root / key):
            (self._root / key).unlink(missing_ok=True)

    @contextmanager
    def _reporting(self, file: Path) -> Iterator[None]:
        try:
            with naming(file):
                yield
        except RequestError as error:
            raise Unreachable(str(error)) from None


class Bucket(Place):
    """A part of an object store."""

    def __init__(self, system: Any, root: str, name: str) -> None:
        super().__init__(name)
        self._system, self._root = system, root.rstrip("/")
        # fsspec's own memory looks first, and then writes.
        self._lock = _MEMORY_LOCK if MEMORY in system.protocol else nullcontext()

    def at(self, folder: str) -> Place:
        return Bucket(self._system, self._path(folder), f"{self.name.rstrip('/')}/{folder}")

    def create(self, key: str, content: bytes) -> bool:
        with self._reporting(), self._lock:
            try:
                self._system.pipe_file(self._path(key), content, mode="create")
            except FileExistsError:
                return False
            except Exception as error:
                if REFUSED.search(f"{error!r} {error.__cause__!r}"):
                    return False
                raise
        return True

    def put(self, key: str, content: bytes) -> None:
        with self._reporting():
            self._system.pipe_file(self._path(key), content)

    def get(self, key: str, most: int = MOST_BYTES) -> bytes | None:
        with self._reporting():
            try:
                content: bytes = self._system.cat_file(self._path(key), start=0, end=most + 1)
            except FileNotFoundError:
                return None
        if len(content) > most:
            raise too_large(f"{self.name}/{key}", most)
        return content

    def find(self, folder: str) -> list[str]:
        with self._reporting():
            found = self._system.find(self._path(folder))
        return sorted(path[len(self._root) + 1 :] for path in found)

    def list_folders(self) -> list[str]:
        with self._reporting():
            try:
                entries = self._system.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        return sorted(
            entry["name"].rstrip("/").rpartition("/")[2]
            for entry in entries
            if entry["type"] == "directory"
        )

    def remove(self, key: str) -> None:
        with self._reporting(), suppress(FileNotFoundError):
            self._system.rm_file(self._path(key))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn an error of the store's library, which may be of any class, into Unreachable."""
        try:
            yield
        except (AttnBenchError, FileExistsError):
            raise
        except FileNotFoundError:
            raise Unreachable(f"{self.name}: the bucket does not exist") from None
        except Exception as error:
            raise Unreachable(f"{self.name}: {without_credentials(in_one_line(error))}") from None


def open_place(url: str) -> Place:
    """The place of a path or a URL. Raises RequestError if it cannot be a fleet's store."""
    name = without_credentials(url)
    protocol, mark, path = url.partition("://")
    if not mark:
        if not url:
            raise RequestError("STORE must be a folder or a URL, as s3://bucket/fleet")
        if half := HALF_URL.match(url):
            raise RequestError(f"{half.group()}…: a URL begins with {half.group()}/")
        return _open_folder(Path(url))
    if protocol in (*LOCAL, *CONDITIONAL) and CREDENTIALS.search(url):
        raise RequestError(
            f"{name}: a user or a password in the URL is not used: set the usual variables of the "
            "store, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if protocol in CONDITIONAL and "?" in path:
        raise RequestError(f"{name}: what follows '?' in the URL is not used; leave it out")
    if protocol in LOCAL:
        return _open_folder(Path(path))
    if protocol not in CONDITIONAL:
        known = (*LOCAL, *CONDITIONAL)
        hint = nearest(protocol, known) if "::" not in protocol else ""
        raise RequestError(
            f"{name}: a store with {protocol}:// cannot create an object exclusively{hint}: use a "
            "folder, s3:// or gs://"
        )
    try:
        from fsspec.core import url_to_fs

        system, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        cure = f"pip install 'attn-bench[{extra}]'" if extra else in_one_line(error)
        raise RequestError(f"{name}: the package for {protocol}:// is missing: {cure}") from None
    except Exception as error:  # of the store's library, of any class
        raise RequestError(f"{name}: {without_credentials(in_one_line(error))}") from None
    if protocol != MEMORY and not root.strip("/"):
        raise RequestError(f"{name}: names no bucket, as {protocol}://bucket/fleet does")
    return Bucket(system, root, name)


def _open_folder(path: Path) -> Folder:
    with _reading(path):
        if path.exists() and not path.is_dir():
            raise RequestError(f"{path}: is a file: STORE must be a folder or a URL")
    return Folder(path)


def check_shared(url: str) -> None:
    """Raise RequestError for a store that ends with this process."""
    if url.startswith(f"{MEMORY}://"):
        raise RequestError(
            f"{without_credentials(url)}: ends with this process: use a folder, s3:// or gs://"
        )


def without_credentials(text: str) -> str:
    """`text` without the user, the password and the query of a URL.

    >>> without_credentials("s3://key:secret@bucket/fleet")
    's3://bucket/fleet'
    >>> without_credentials("s3://key:se/cret@bucket/fleet")
    's3://bucket/fleet'
    >>> without_credentials("s3://bucket/fleet?password=secret")
    's3://bucket/fleet'
    """
    return QUERY.sub(r"\1", CREDENTIALS.sub("//", text))


def _write_new(file: Path, content: bytes) -> None:
    """Write a file that does not exist. Raises FileExistsError if it does."""
    with file.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn an OSError into the Unreachable that `path` cannot be read."""
    try:
        yield
    except OSError as error:
        raise Unreachable(f"{path}: cannot be read: {error.strerror}") from None


def _complain_of_folder(error: OSError) -> None:
    """Raise Unreachable for a folder that cannot be listed, unless it does not exist."""
    if not isinstance(error, FileNotFoundError):
        raise Unreachable(f"{error.filename}: cannot be read: {error.strerror}")
