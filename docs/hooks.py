"""Adds the pages of the repository that lie outside of docs/ to the site, and mends their links."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
# A page of the site: the file that it is made of.
PAGES = {
    "index.md": "README.md",
    "columns.md": "results/README.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
}
SITE_OF = {file: page for page, file in PAGES.items()}
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)#]*)(#[^)]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    for page, file in PAGES.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_mend(text, PurePosixPath(file).parent)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri in PAGES:
        return markdown
    return _mend(markdown, PurePosixPath("docs"))


def _mend(text: str, folder: PurePosixPath) -> str:
    """Links relative to `folder` as links of the site; what the site lacks becomes plain text."""

    def mended(link: re.Match[str]) -> str:
        words, path, anchor = link.groups(default="")
        target = os.path.normpath(folder / path)
        if target in SITE_OF:
            return f"[{words}]({SITE_OF[target]}{anchor})"
        if not target.startswith("docs/") and (ROOT / target).exists():
            return words  # a file or folder of the repository
        return f"[{words}]({target.removeprefix('docs/')}{anchor})"

    return LINK.sub(mended, text)
