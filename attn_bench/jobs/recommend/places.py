"""Where the candidates go: where the question says, where the papers do, or into each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from attn_bench.catalog.backbones import Backbone, Place, one_spelling
from attn_bench.jobs.recommend.answer import RecommendRequest
from attn_bench.model.errors import RequestError
from attn_bench.model.suite import Suite
from attn_bench.papers.gains import published_place


def complete(question: RecommendRequest, network: Backbone | None) -> RecommendRequest:
    """The question with what only the network tells: its places, and its own attention.

    Attention that is there already is replaced, unless the question names other places. Raises
    RequestError for a place that the network lacks.
    """
    if network is None:
        return question
    places = spelled(question, network)
    if not places and not network.places:
        raise RequestError(
            f"--backbone {question.backbone}: a forward shows no spatial convolution of maps, so "
            "no place for a module (--place 'PATTERN' names layers)"
        )
    if not places and network.attention:
        places = ("slot",)
    is_slot = bool(places) and all(Place.read(place).kind == "slot" for place in places)
    return replace(question, places=places, replaces=network.attention if is_slot else 0)


def spelled(question: RecommendRequest, network: Backbone) -> tuple[str, ...]:
    """The one spelling of each place in the question. Raises RequestError for a wrong one."""
    backbone = question.backbone
    assert backbone is not None
    found = []
    for place in question.places:
        try:
            problem = Place.read(place).problem_in(backbone, network)
            found.append(one_spelling(place, backbone))
        except ValueError as error:
            problem = str(error)
        if problem:
            raise RequestError(f"--place {place!r}: {problem}")
    return tuple(dict.fromkeys(found))


def places_of(
    question: RecommendRequest, suite: Suite, also: Sequence[str], network: Backbone | None
) -> Mapping[str, tuple[str, ...]]:
    """The places of each candidate of the suite, and of the modules `also`, by its label.

    They are those of the question, or else that of its paper; where the network lacks that one, the
    first of all places that it has. A search adds each stage alone.
    """
    backbone = question.backbone
    if backbone is None or network is None:
        return {}
    labels = [variant.label for grid in suite.grids for variant in grid.variants()]
    found = {}
    for label in (*labels, *also):
        places = question.places or (_published_place(label, backbone, network),)
        found[label] = (*places, *_stages_of(places, network)) if question.by_stage else places
    return found


def _published_place(label: str, backbone: str, network: Backbone) -> str:
    place = published_place(label, backbone)
    return place if Place.read(place).problem_in(backbone, network) is None else network.places[0]


def _stages_of(places: tuple[str, ...], network: Backbone) -> list[str]:
    """Each stage of the places alone."""
    found = []
    for place in map(Place.read, places):
        stages = place.stages or tuple(range(1, (network.stages or 0) + 1))
        if place.kind != "layers" and len(stages) > 1:
            found += [str(Place(place.kind, (stage,))) for stage in stages]
    return found
