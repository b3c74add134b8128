"""`list`: list the modules, suites, metrics or backbones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from attn_bench.cli.options import Offer, run_option
from attn_bench.view.console import list as view
from attn_bench.view.console import plain

if TYPE_CHECKING:
    from attn_bench.catalog.registry import Registry

LISTED = {
    "modules": ("name", "extents", "paper", "summary"),
    "suites": ("name", "title"),
    "metrics": ("name", "unit", "about"),
    "backbones": ("name", "family", "stages", "places", "attention"),
}


@click.command()
@click.argument("what", type=Offer(list(LISTED)), default="modules")
@run_option("modules_from", help="Also list the modules of this file; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(what: str, modules_from: tuple[str, ...], as_json: bool) -> None:
    """List modules, suites, metrics or backbones, one a line."""
    others = {"suites": _suites, "metrics": _metrics, "backbones": _backbones}
    items = others[what]() if what in others else _modules(modules_from)
    if as_json:
        plain.text(json.dumps(items, indent=2, ensure_ascii=False) + "\n")
    else:
        view.show(items, LISTED[what])


def _modules(modules_from: tuple[str, ...]) -> list[dict[str, Any]]:
    from attn_bench.catalog import registry

    known = _ask_worker(modules_from) if modules_from else registry.builtin()
    items = [
        {
            "name": entry.name,
            "extents": entry.extents_in_words(),
            "paper": entry.paper,
            "summary": entry.summary,
            "origin": entry.origin,
        }
        for entry in known
    ]
    return items if modules_from else items + _declared()


def _ask_worker(modules_from: tuple[str, ...]) -> Registry:
    """All registered modules, including the user's files, which a worker loads."""
    from attn_bench.engine.progress import Unseen
    from attn_bench.engine.session import open_session
    from attn_bench.model.axes import HOST
    from attn_bench.model.request import RunRequest

    request = RunRequest("", device=HOST, modules_from=modules_from)
    with open_session(request, Unseen()) as session:
        return session.modules


def _declared() -> list[dict[str, Any]]:
    """The modules that installed packages declare. Only a worker loads their code."""
    from attn_bench.catalog import registry

    return [
        {
            "name": point.name,
            "extents": "",
            "paper": None,
            "summary": f"declared by package {point.dist.name if point.dist else '?'}",
            "origin": point.value,
        }
        for point in registry.entry_points()
    ]


def _suites() -> list[dict[str, Any]]:
    from attn_bench.plan import suite_file

    return [{"name": name, "title": title} for name, title in suite_file.available().items()]


def _backbones() -> list[dict[str, Any]]:
    from attn_bench.catalog.backbones import BACKBONES

    return [
        {
            "name": name,
            "family": there.family,
            "stages": there.stages,
            "places": ", ".join(there.places),
            "attention": there.attention,
        }
        for name, there in BACKBONES.items()
    ]


def _metrics() -> list[dict[str, Any]]:
    from attn_bench.model.row import ABOUT, COLUMNS, UNIT

    return [{"name": name, "unit": UNIT[name], "about": ABOUT[name]} for name in COLUMNS]
