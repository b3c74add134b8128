"""Fills the templates of pages. Jinja escapes each value."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from attn_bench._version import __version__
from attn_bench.view.page.drawing import PALETTE, Picture, svg

TEMPLATES = Path(__file__).parent / "templates"
OPTION = re.compile(r"--[a-z][a-z-]*( [0-9.]+)?")


def fill(name: str, **values: Any) -> str:
    """The template of that name with its values; `base.html` has the head of every page."""
    return (
        _open()
        .get_template(name)
        .render(version=__version__, palette=PALETTE, style=Markup(read("report.css")), **values)
    )


def read(name: str) -> str:
    """A style sheet or a script."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def draw_panels(picture: Picture) -> list[tuple[str, Markup]]:
    """The title and the SVG of each panel; `svg` has escaped the content."""
    return [
        (panel.title, Markup(svg(panel, f"{picture.name}-{number}")))
        for number, panel in enumerate(picture.panels)
    ]


@cache
def _open() -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["keep_options"] = _keep_options
    return found


def _keep_options(words: str) -> Markup:
    """Words in which no line ends between an option and its value, or inside an option."""
    return Markup(OPTION.sub(r'<span class="option">\g<0></span>', str(escape(words))))
