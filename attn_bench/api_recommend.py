"""`attn_bench.recommend`: choose an attention module for a network, from Python."""

from __future__ import annotations

import copy
import hashlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, get_args

from attn_bench.catalog import code
from attn_bench.catalog.backbones import Place, is_own
from attn_bench.catalog.loading import load_all, load_object
from attn_bench.engine.progress import Unseen
from attn_bench.jobs.recommend import recommend as job
from attn_bench.jobs.recommend.answer import Recommendation, RecommendRequest
from attn_bench.jobs.recommend.limits import Limit
from attn_bench.model.axes import Execution, Mode
from attn_bench.model.case import USUAL_IMAGE, Case, Shape
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.metrics import LIMITS
from attn_bench.model.request import RUN_OPTIONS, RunKeywords, make_request
from attn_bench.model.status import COUNTED, Exit
from attn_bench.store import frames

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

NETWORKS = Path("results") / "networks"
FILE = '''\
"""The network of a call of attn_bench.recommend; its weights are beside this file."""

from pathlib import Path

import cloudpickle

DIGEST = "{digest}"


def {name}():
    return cloudpickle.loads(Path(__file__).with_suffix(".pickle").read_bytes())
'''


@dataclass(frozen=True)
class Recommended:
    """A recommendation. A notebook shows its table and reasons.

    given: the network that it is for, unchanged.
    """

    answer: Recommendation
    given: nn.Module

    @property
    def choice(self) -> str | None:
        """The recommended module with its place; None to take none, or to keep the built-in one."""
        chosen = self.answer.choice.chosen
        return chosen.label if chosen else None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Three sentences: the choice, the reason, the next best."""
        from attn_bench.view.recommend.words import give_reasons

        return give_reasons(self.answer.choice)

    @property
    def exit_status(self) -> Exit:
        """The exit status that `attn-bench recommend` would return."""
        return self.answer.exit_status

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each candidate by its label, the best first; the columns are those of a run.

        `fits` is yes, no, unclear or unknown.
        """
        candidates = self.answer.choice.candidates
        frame: pd.DataFrame = frames.table_frame([c.row for c in candidates])
        frame.insert(0, "candidate", [c.label for c in candidates])
        frame.insert(1, "fits", [c.fits for c in candidates])
        return frame.set_index("candidate")

    @cached_property
    def model(self) -> nn.Module:
        """A copy of the network with the choice put in; its new modules have fresh weights.

        Without a choice it is a plain copy.
        """
        chosen = self.answer.choice.chosen
        return self.with_module(chosen.label) if chosen else copy.deepcopy(self.given)

    def with_module(self, label: str) -> nn.Module:
        """A copy of the network with a candidate put in.

        Raises RequestError for an unknown label, and for a candidate that failed.
        """
        from attn_bench.modules import backbones

        rows = {c.label: c.row for c in self.answer.choice.candidates}
        if label not in rows:
            raise RequestError(f"unknown candidate {label!r}{nearest(label, rows)}")
        if rows[label].status not in COUNTED:
            raise RequestError(f"{label} {rows[label].status}: {rows[label].error}")
        case = self._case_of(rows[label].case_id)
        assert case.network is not None
        place, variant = Place.read(case.network.place), case.variant
        entry = load_all(self.answer.request.request.modules_from).get(variant.module)

        def make(channels: int, size: tuple[int, int], stage: int) -> nn.Module:
            made: nn.Module = entry.build(
                channels, size, variant.at_stage(stage), **dict(variant.arguments)
            )
            like = next(self.given.parameters(), None)
            made = made if like is None else made.to(like.device, like.dtype)
            return made.train(self.given.training)

        model, shape = copy.deepcopy(self.given), case.shape
        size = (shape.channels, shape.height, shape.width)
        backbones.insert(
            model, make, place.kind, place.stages, input_size=size, layers=place.layers
        )
        return model

    def _case_of(self, case_id: str) -> Case:
        return next(case for case in self.answer.cases if case.id == case_id)

    def __repr__(self) -> str:
        return f"<attn_bench.Recommended {self.choice}: {self.reasons[0]}>"

    def _repr_html_(self) -> str:
        from html import escape

        shown = self.table[["fits", "ratio", "ratio_lo", "ratio_hi", "params", "macs"]]
        reasons = "".join(f"<p>{escape(reason)}</p>" for reason in self.reasons)
        return f"{reasons}{shown.to_html()}"


def recommend(
    model: nn.Module | str,
    example_input: Tensor | None = None,
    *,
    limits: Mapping[str, str] | None = None,
    place: str | Sequence[str] = (),
    search_places: bool = False,
    mode: Mode | Literal["both"] | None = None,
    execution: Execution | None = None,
    suite: str = "choose",
    fresh: bool = False,
    progress: bool = False,
    **options: Unpack[RunKeywords],
) -> Recommended:
    """Recommend an attention module for a network: `attn-bench recommend` in Python.

    model: any network of images, or the name of a backbone (`attn-bench list backbones`).
    example_input: N×C×H×W; by default one image of 3×224×224. Its values do not matter.
    limits: of "latency", "params", "macs" and "memory": "+10%", "1.1x", or an amount ("80ms"); with
        mode "both" also of "training latency" and "training memory".
    place, search_places, mode, execution, suite, fresh: as the options of the command.
    options: how to measure, as the keywords of `attn_bench.run`.

    A copy of the network is written to ./results/networks/, by cloudpickle, because workers
    measure it. Raises AttnBenchError for a wrong request.
    """
    for name in options.keys() - RUN_OPTIONS.keys():
        raise TypeError(f"recommend() has no keyword {name!r}{nearest(name, RUN_OPTIONS)}")
    image = (1, 3, USUAL_IMAGE, USUAL_IMAGE) if example_input is None else example_input.shape
    if len(image) != 4:
        raise RequestError(f"recommend: example_input must be N×C×H×W, not {tuple(image)}")
    if isinstance(model, str):
        backbone, given = model, None
    else:
        backbone, given = _save(model), model
    question = RecommendRequest(
        make_request({"suite": suite, **options}, ("recommend", "--backbone", backbone)),
        _read_limits(limits or {}),
        backbone,
        Shape(*image),
        (place,) if isinstance(place, str) else tuple(place),
        search_places,
        None,
        get_args(Mode) if mode == "both" else () if mode is None else (mode,),
        fresh,
        execution=execution,
    )
    answer = _answer(question, progress)
    return Recommended(answer, _plain(backbone) if given is None else given)


def _answer(question: RecommendRequest, progress: bool) -> Recommendation:
    if not progress:
        return job.recommend(question, Unseen())
    from attn_bench.view.console.progress import LiveProgress

    with closing(LiveProgress()) as shown:
        return job.recommend(question, shown)


def _plain(backbone: str) -> nn.Module:
    from torch import nn

    from attn_bench.modules import backbones

    if not is_own(backbone):
        return backbones.plain(backbone)
    found = load_object(backbone)
    made: nn.Module = found if isinstance(found, nn.Module) else found()
    return made


def _read_limits(limits: Mapping[str, str]) -> tuple[Limit, ...]:
    found = []
    for name, text in limits.items():
        metric = name.removeprefix("training ")
        if metric not in LIMITS:
            raise RequestError(f"recommend: unknown limit {name!r}{nearest(name, LIMITS)}")
        try:
            found.append(replace(Limit.read(metric, text), of_training=metric != name))
        except ValueError as problem:
            raise RequestError(f"recommend: limit of {name} {problem}") from None
    return tuple(found)


def _save(model: nn.Module) -> str:
    """Write the network below NETWORKS. Returns the name under which a worker finds it."""
    import cloudpickle

    own = _own_modules(model)
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        content = cloudpickle.dumps(model)
    except Exception as error:  # its __reduce__ may raise anything, and a lock does
        raise RequestError(
            f"recommend: the network cannot be pickled: {type(error).__name__}: {error}"
        ) from error
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)
    name = type(model).__name__
    digest = hashlib.sha256(content).hexdigest()
    NETWORKS.mkdir(parents=True, exist_ok=True)
    file = NETWORKS / f"{name}_{digest[:8]}.py"
    file.with_suffix(".pickle").write_bytes(content)
    file.write_text(FILE.format(digest=digest, name=name), encoding="utf-8")
    return f"{file}:{name}"


def _own_modules(model: nn.Module) -> list[Any]:
    """The modules of code that is not installed, whose classes the network consists of."""
    classes = {one for layer in model.modules() for one in type(layer).__mro__}
    names = {one.__module__ for one in classes} - {"__main__"}
    found = []
    for name in sorted(names & sys.modules.keys()):
        place = code.place_of(sys.modules[name])
        if place is not None and not code.is_installed(place):
            found.append(sys.modules[name])
    return found
