"""A worker that follows a script: the engine without processes, torch or waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from attn_bench.engine.process import WorkerLost
from attn_bench.model import protocol
from attn_bench.model.case import Case
from attn_bench.model.metrics import Timing
from attn_bench.model.protocol import Failure, Message, Reply
from attn_bench.model.run import Facts, Rates

HELLO = protocol.Hello(
    version=protocol.VERSION,
    device="cpu",
    device_facts={"capability": "FAKE"},
    software={"torch": "0.0"},
    threads=1,
    settings={},
)


def dies() -> WorkerLost:
    """An answer of a script: the worker is killed instead of answering."""
    return WorkerLost("failed", "the worker process was killed by SIGKILL")


def hangs() -> WorkerLost:
    """An answer of a script: the whole timeout passes on the clock, and nothing comes."""
    return WorkerLost("timeout", "no answer in time")


@dataclass
class Clock:
    """Time that passes only while a worker is at work."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Script:
    """What all workers of a run answer, and what they were asked.

    seconds: of one call, by case, session and round (0 is the warm-up). facts: of a case. Either
    may give a Failure, or an exception, which is raised: see `dies` and `hangs`.
    first_call_s: the untimed first call of a block, by case and round; None is like the others.
    notes: of a block. prepared: the answer of a worker, by case and
        number. loads: the digests of the code that a worker reports, by its number.
    start_s, inspect_s: what a start and an inspection take. no_rates: dtypes that fail.
    """

    seconds: Callable[[Case, int, int], float | Failure | BaseException] = lambda *_: 0.001
    facts: Callable[[Case], Facts | Failure | BaseException] = lambda _: Facts(params=0)
    first_call_s: Callable[[Case, int], float | None] = lambda *_: None
    notes: Callable[[Case], tuple[str, ...]] = lambda _: ()
    prepared: Callable[[Case, int], Reply | BaseException] = lambda *_: protocol.Prepared()
    loads: Callable[[int], Mapping[str, str]] = lambda _: {}
    start_s: float = 0.0
    inspect_s: float = 0.0
    no_rates: Sequence[str] = ()
    clock: Clock = field(default_factory=Clock)
    workers: list[FakeWorker] = field(default_factory=list)
    asked: list[tuple[int, Message]] = field(default_factory=list)

    def asked_for(self, kind: type[Message]) -> list[Message]:
        """The requests of one kind, in the order in which they came."""
        return [message for _, message in self.asked if isinstance(message, kind)]


class FakeWorker:
    """The worker number `number`, counted from 0 in the order of their starts.

    In a run that is not resumed that is the number of the session, too.
    """

    def __init__(self, script: Script, load: Sequence[str] = ()) -> None:
        self.script = script
        self.number = len(script.workers)
        self.load = list(load)
        self.is_open = self.is_ended = False
        self.timeouts_s: list[float] = []
        self._rounds: Counter[str] = Counter()
        script.workers.append(self)

    def open(self) -> protocol.Hello:
        self.script.clock.now_s += self.script.start_s
        self.is_open = True
        return HELLO

    def share_memory(self, workers: int) -> None:
        pass

    def another(self, load: Sequence[str]) -> FakeWorker:
        return FakeWorker(self.script, load)

    def without_files(self) -> FakeWorker:
        return FakeWorker(self.script)

    def end(self) -> None:
        self.is_ended = True

    def begin(self, message: Message) -> None:
        self._begun = message

    def finish(self, timeout_s: float) -> Reply:
        return self.ask(self._begun, timeout_s)

    def ask(self, message: Message, timeout_s: float) -> Reply:
        assert self.is_open, "it was asked before it was opened"
        assert not self.is_ended, "it was asked after its end"
        self.script.asked.append((self.number, message))
        self.timeouts_s.append(timeout_s)
        answer = self._answer(message)
        if isinstance(answer, WorkerLost):
            self.script.clock.now_s += timeout_s if answer.status == "timeout" else 0.0
            self.end()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _answer(self, message: Message) -> Reply | BaseException:
        match message:
            case protocol.MeasureRates(dtype=dtype):
                if dtype in self.script.no_rates:
                    return Failure("failed", f"rates: no {dtype} here")
                return protocol.RatesMeasured(Rates(dtype, [(2**20, 1e10), (2**30, 1e10)], 1e11))
            case protocol.Prepare(case=case):
                self.script.clock.now_s += self.script.inspect_s
                return self.script.prepared(case, self.number)
            case protocol.Inspect(case=case):
                self.script.clock.now_s += self.script.inspect_s
                facts = self.script.facts(case)
                return protocol.Inspected(facts) if isinstance(facts, Facts) else facts
            case protocol.RunBlock(case=case, calls=calls):
                return self._block(case, calls)
        raise AssertionError(f"the script has no answer to {message}")

    def _block(self, case: Case, calls: int) -> Reply | BaseException:
        round_ = self._rounds[case.id]
        self._rounds[case.id] += 1
        one_s = self.script.seconds(case, self.number, round_)
        if not isinstance(one_s, float):
            return one_s
        first_s = self.script.first_call_s(case, round_) or one_s
        self.script.clock.now_s += calls * one_s + first_s
        timing = Timing(seconds=calls * one_s, first_call_s=first_s)
        return protocol.Timed(timing, self.script.notes(case), self.script.loads(self.number))
