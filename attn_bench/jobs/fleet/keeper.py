"""Keeps a claim while its shard is measured: beats, and uploads the journal.

The store is written between two blocks, by the thread that asks for them, so that no upload
disturbs a block. A thread beats only while one step takes so long that the lease would end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from attn_bench.engine.progress import Progress
from attn_bench.model.environment import Environment
from attn_bench.model.errors import AttnBenchError
from attn_bench.model.fleet import BEATS
from attn_bench.store.claims import Beat, Claim, LostClaim
from attn_bench.store.places import Unreachable
from attn_bench.store.runs import JOURNAL
from attn_bench.store.shards import journal_part

RETRIES_S = (1, 2, 4, 8, 16, 32)


class Keeper:
    """The progress of a shard: shown to the user, and told to the store.

    cases: of the shard, once they are known.
    is_lost: whether a newer claim was seen.
    """

    def __init__(
        self,
        claim: Claim,
        progress: Progress,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claim, self._progress, self._clock = claim, progress, clock
        self._lease_s = lease_s
        self.cases = 0
        self.is_lost = False
        self._journal: Path | None = None
        self._sent_bytes = self._sent_parts = 0
        self._stage = ("", 0.0)  # its unit and total
        self._beat = Beat()
        self._beaten = self._due = clock()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_alone, daemon=True)

    def __enter__(self) -> Keeper:
        self._send_beat()
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._ended.set()
        self._thread.join()

    # --- as a progress ------------------------------------------------------------------------

    def stage(self, title: str, total: float, unit: str) -> None:
        self._progress.stage(title, total, unit)
        self._stage = (unit, total)
        self._beat = Beat(total=self.cases, doing=title)
        self._tend()

    def step(self, done: float, doing: str, known: str = "") -> None:
        self._progress.step(done, doing, known)
        unit, total = self._stage
        if unit == "s":
            left_s = max(0.0, total - done)
            share = 1 - left_s / total if total else 1.0
            self._beat = Beat(0, int(share * self.cases), self.cases, doing, left_s)
        else:
            self._beat = Beat(0, 0, self.cases, doing)
        if self.is_lost or self._clock() >= self._due:
            self._tend()

    def caution(self, seen: Environment) -> None:
        self._progress.caution(seen)

    # --- towards the store --------------------------------------------------------------------

    def follow(self, folder: Path) -> None:
        """Upload the journal of this run folder from now on, beginning with what it holds."""
        self._journal = folder / JOURNAL
        self.persist(self.upload)

    def upload(self) -> None:
        """Upload the whole lines that the journal has gained. Raises Unreachable."""
        if self._journal is None:
            return
        with self._journal.open("rb") as stream:
            stream.seek(self._sent_bytes)
            gained, newline, _ = stream.read().rpartition(b"\n")
        if newline:
            content = gained + newline
            self._claim.put(journal_part(self._sent_parts + 1), content)
            self._sent_parts += 1
            self._sent_bytes += len(content)

    def beat_done(self) -> None:
        """Show that all cases are measured. Raises LostClaim or Unreachable."""
        self._beat = Beat(0, self.cases, self.cases)
        self._send_beat()

    def persist(self, action: Callable[[], None]) -> None:
        """Do what writes to the store, again if it does not answer. Raises Unreachable."""
        for pause_s in RETRIES_S:
            try:
                action()
                return
            except Unreachable:
                time.sleep(pause_s)
        action()

    def _tend(self) -> None:
        """Beat and upload. If the store does not answer, measuring goes on. Raises LostClaim."""
        try:
            self._send_beat()
            self.upload()
            self._due = self._clock() + self._lease_s / BEATS
        except Unreachable:
            self._due = self._clock() + self._lease_s

    def _send_beat(self) -> None:
        with self._lock:
            try:
                self._claim.beat(self._beat)
            except LostClaim:
                self.is_lost = True
                raise
            self._beaten = self._clock()

    def _beat_alone(self) -> None:
        while not self._ended.wait(self._lease_s / (2 * BEATS)):
            if self._clock() - self._beaten >= self._lease_s / 2:
                with suppress(AttnBenchError):  # the next step raises it
                    self._send_beat()
