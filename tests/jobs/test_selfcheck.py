"""The tool measures its own error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inside import RealFacts, played, steady

from attn_bench.analysis.estimates import Estimate, Timings
from attn_bench.engine.progress import Unseen
from attn_bench.engine.run import Finished
from attn_bench.engine.session import OpenSession
from attn_bench.jobs.run import resume
from attn_bench.jobs.selfcheck import (
    PASSES,
    Pairs,
    Rate,
    Report,
    SelfcheckRequest,
    judge,
    selfcheck,
)
from attn_bench.model.case import Case
from attn_bench.model.errors import RequestError
from attn_bench.model.protocol import Failure, Inspect, Message
from attn_bench.model.run import Block
from attn_bench.model.status import Exit


def test_pairs_are_real_work_of_a_known_ratio() -> None:
    """5 % slower is 105 passes to 100, and no two cases are the same."""
    plan, truth = Pairs({0: 2, 5: 1}).plan("cpu")
    probes = [case for case in plan.cases if case.variant.module == "probe"]
    assert len({case.id for case in probes}) == 6
    assert list(truth.values()) == [0, 0, 5]
    passes = [dict(case.variant.arguments)["passes"] for case in probes]
    assert passes == [PASSES, PASSES, PASSES, PASSES, 105, PASSES]


def test_findings_are_held_against_the_truth() -> None:
    """A planted slowdown that is seen, an identical pair that is not: what the report counts."""
    plan, truth = Pairs({0: 1, 5: 1}).plan("cpu")
    timings = Timings()
    for session in range(5):
        for round_ in range(12):
            for case in plan.cases[:4]:
                passes = dict(case.variant.arguments)["passes"]
                seconds = float(passes) * (1 + 1e-4 * ((session * 7 + round_ * 3) % 5))
                timings.add(
                    Block(
                        case_id=case.id,
                        session=session,
                        round=round_,
                        position=0,
                        calls=1,
                        seconds=seconds,
                    )
                )
    report = Report(tuple(judge(timings, plan, truth)), (), 1, 1.0, 0.01)
    assert report.false_alarms() == Rate(0, 1)
    assert report.power() == {5: Rate(1, 1)}
    assert report.coverage(shares=False).trials == 2


def test_what_differs_from_run_to_run_is_told_from_noise() -> None:
    """Trials scatter by 3 % and are known to 1 %: they deviate by the rest; one tells nothing."""

    def trial(log: float) -> dict[str, Estimate]:
        return {"se": Estimate(log, ((1e-4, 12.0),), 0.01)}

    logs = [-0.04, -0.02, 0.0, 0.02, 0.04]
    report = Report((), tuple(trial(log) for log in logs), 5, 1.0, 0.01)
    assert report.run_to_run_sd() == pytest.approx((0.001 - 0.0001) ** 0.5)
    assert Report((), (trial(0.0),), 1, 1.0, 0.01).run_to_run_sd() is None


@pytest.mark.parametrize(("hits", "trials"), [(0, 50), (50, 50), (25, 50)])
def test_rates_have_intervals_that_stay_in_range(hits: int, trials: int) -> None:
    """Wilson's interval holds the rate, lies within 0 and 1, and is never a point."""
    interval = Rate(hits, trials).interval()
    assert 0 <= interval.lo <= interval.value <= interval.hi <= 1
    assert interval.lo < interval.hi


def seconds(case: Case, session: int, round_: int) -> float:
    """A probe takes as long as it makes passes."""
    passes = dict(case.variant.arguments).get("passes", PASSES)
    return passes / PASSES * steady(case, session, round_)


def test_a_trial_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One short trial, kept as a run with what was found."""
    monkeypatch.chdir(tmp_path)
    request = SelfcheckRequest(0.001, "cpu", Pairs({0: 1, 50: 1}))
    with played(RealFacts(seconds)):
        finished, report = selfcheck(request, Unseen())
    assert finished.exit_status == 0
    assert report.trials == 1
    kept = json.loads((finished.path / "run.json").read_text())
    assert kept["selfcheck"]["false_alarms"]["of"] == 1
    assert 0 < kept["calling_share"] <= 1 + 1e-9
    assert kept["rates"]["float32"]["macs_per_s"] > 0
    assert kept["selfcheck"]["power"]["50"]["of"] == 1
    assert {"1", "5", "20"} == set(kept["selfcheck"]["smallest_visible"])
    slowed = next(f for f in report.findings if f.percent == 50)
    assert slowed.estimate.interval().value > 1.2


def run_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, script: RealFacts, trials: int = 1
) -> tuple[Finished, Report]:
    monkeypatch.chdir(folder)
    request = SelfcheckRequest(60, "cpu", Pairs({0: 1}), most_trials=trials)
    with played(script):
        return selfcheck(request, Unseen())


def test_the_last_trial_starts_no_further_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A complete selfcheck does not fail over a worker that nobody needs."""
    renewed: list[int] = []
    renew = OpenSession.renew
    monkeypatch.setattr(OpenSession, "renew", lambda self: (renewed.append(1), renew(self)))
    finished, report = run_in(tmp_path, monkeypatch, RealFacts(seconds), trials=2)
    assert (report.trials, len(renewed), finished.exit_status) == (2, 1, Exit.GOOD)


def test_probes_that_fail_leave_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no pair is measured there are no rates; the run is saved, and ends with status 3."""

    def instead(message: Message) -> Failure | None:
        is_probe = isinstance(message, Inspect) and message.case.variant.module == "probe"
        return Failure("failed", "no such probe") if is_probe else None

    finished, report = run_in(tmp_path, monkeypatch, RealFacts(seconds, instead=instead))
    assert report.findings == ()
    assert finished.info.selfcheck is None
    assert (finished.info.state, finished.exit_status) == ("finished", Exit.NOT_MEASURED)


def test_a_worker_that_cannot_start_ends_it_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trials before are reported, and the run names what broke it off."""

    def refuse(self: OpenSession) -> None:
        raise RequestError("no worker is left")

    monkeypatch.setattr(OpenSession, "renew", refuse)
    finished, report = run_in(tmp_path, monkeypatch, RealFacts(seconds), trials=2)
    assert report.trials == 1
    assert (finished.info.state, finished.trouble) == ("broken off", "no worker is left")
    assert finished.info.selfcheck is not None


def test_a_selfcheck_cannot_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pairs are not those of a suite."""
    finished, _ = run_in(tmp_path, monkeypatch, RealFacts(seconds))
    assert finished.info.kind == "selfcheck"
    with pytest.raises(RequestError, match="selfcheck runs cannot be resumed"):
        resume(str(finished.path), Unseen())
