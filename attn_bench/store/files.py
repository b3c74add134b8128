"""Writes a file under another name and moves it into place; readers never see half a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

Content = bytes | Callable[[IO[bytes]], object]


def write_atomically(file: Path, content: Content) -> None:
    """Write `content`: bytes, or a function that writes them. On an OSError the old file stays."""
    aside = file.with_name(f".{file.name}.part")
    try:
        with aside.open("wb") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(file)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
