"""Who measures a shard: claims with an epoch, a beat and a lease, over exclusive creation alone.

    shards/<shard>/claims/000001.json    created exclusively: who owns the shard from now on
    shards/<shard>/000001/beat           rewritten by the owner
    shards/<shard>/000001/released       the owner gave the shard back
    shards/<shard>/000001/…              what the owner measured; run.json comes last

The claim with the largest number, the epoch, is the valid one. The next may be created when the
valid one is released, or when an observer saw its beat unchanged for the lease, by the observer's
clock. No other clock counts. An owner writes below its epoch, and readers read the newest finished
epoch, so an owner that is late, and does not know it, disturbs nobody.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Annotated
from uuid import uuid4

from annotated_types import MaxLen

from attn_bench.model.bounds import Index, Time
from attn_bench.model.errors import AttnBenchError, RequestError
from attn_bench.model.fleet import ShardState
from attn_bench.store.places import Place, Unreachable
from attn_bench.store.reading import parse_json, read_record

SHARDS = "shards"
CLAIMS = "claims"
BEAT, RELEASED, DONE = "beat", "released", "run.json"
SMALL = 2**16  # bytes of a claim and of a beat
LAST_EPOCH = 999_999  # of six digits
Word = Annotated[str, MaxLen(1000)]


class LostClaim(AttnBenchError):
    """Another host has taken over the shard."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What a claim says.

    device: in words.
    work: the name that a `fleet` gave to the process; "" without one.
    key: differs for each attempt to claim.
    """

    host: Word = "?"
    device: Word = "?"
    work: Word = ""
    key: Word = ""


@dataclass(frozen=True, slots=True)
class Beat:
    """The owner's sign of life, and how far it is.

    counter: differs in each beat of one owner.
    left_s: of the budget.
    """

    counter: Index = 0
    done: Index = 0
    total: Index = 0
    doing: Word = ""
    left_s: Time | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A shard as an observer sees it.

    epoch: of the newest claim, or of what an owner wrote whose claim was removed; 0 without one.
    done_epoch: the newest one that is finished; 0 without one. A later try may be under way.
    beat: None before the first.
    age_s: for how long the observer has seen this beat; None if the shard is not held or lost.
    """

    state: ShardState
    epoch: int = 0
    beat: Beat | None = None
    age_s: float | None = None
    done_epoch: int = 0


class Observer:
    """Looks at shards again and again, and judges by its own clock which owners are silent."""

    def __init__(
        self, place: Place, lease_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._place, self._lease_s, self._clock = place, lease_s, clock
        self._beats: dict[str, tuple[int, bytes | None, float]] = {}

    def look(self, shard: str) -> Seen:
        """One shard, in one or two requests."""
        return self._judge(shard, self._place.find(f"{SHARDS}/{shard}"))

    def look_at_all(self) -> dict[str, Seen]:
        """Every shard, in one listing and a request for each that is held."""
        keys_of: dict[str, list[str]] = defaultdict(list)
        for key in self._place.find(SHARDS):
            keys_of[key.split("/")[1]].append(key)
        return {shard: self._judge(shard, keys) for shard, keys in keys_of.items()}

    def _judge(self, shard: str, keys: Iterable[str]) -> Seen:
        names = {key.removeprefix(f"{SHARDS}/{shard}/") for key in keys}
        epoch = max(map(_epoch_of, names), default=0)
        used = max(map(_folder_epoch_of, names), default=0)
        if used > epoch and _exists(self._place, _claim_key(shard, used)):
            epoch = used  # NFS may list a folder as it was before
        folder = f"{epoch:06d}"
        done = max((at for at in map(_finished_epoch_of, names) if at <= epoch), default=0)
        without_owner: ShardState = "done" if done else "free"
        # Where a claim was removed, no other owner may write.
        if used > epoch or not epoch or done == epoch or f"{folder}/{RELEASED}" in names:
            return Seen(without_owner, max(used, epoch), done_epoch=done)
        content = _get_beat(self._place, shard, epoch)
        now = self._clock()
        if self._beats.get(shard, ())[:2] != (epoch, content):
            self._beats[shard] = (epoch, content, now)
        age_s = now - self._beats[shard][2]
        if age_s < self._lease_s:
            return Seen("held", epoch, _beat_of(content), age_s, done)
        return Seen("done" if done else "lost", epoch, _beat_of(content), age_s, done)


def _epoch_of(name: str) -> int:
    """The epoch of a claim by its name in the shard; 0 for any other object."""
    folder, _, file = name.partition("/")
    number = file.removesuffix(".json")
    is_claim = folder == CLAIMS and file.endswith(".json") and len(number) == 6
    return int(number) if is_claim and number.isascii() and number.isdecimal() else 0


def _folder_epoch_of(name: str) -> int:
    """The epoch that this object lies below; 0 for any other."""
    return _epoch_of(f"{CLAIMS}/{name.partition('/')[0]}.json")


def _finished_epoch_of(name: str) -> int:
    """The epoch whose run is finished by this object; 0 for any other."""
    return _folder_epoch_of(name) if name.partition("/")[2] == DONE else 0


def _get_beat(place: Place, shard: str, epoch: int) -> bytes | None:
    """The content of a beat; empty if it is none."""
    try:
        return place.get(f"{SHARDS}/{shard}/{epoch:06d}/{BEAT}", SMALL)
    except Unreachable:
        raise
    except RequestError:
        return b""


def _beat_of(content: bytes | None) -> Beat | None:
    try:
        return None if content is None else read_record(parse_json(content), Beat)
    except RequestError:  # it is alive, whatever it says
        return Beat()


def _exists(place: Place, key: str) -> bool:
    """Whether there is such an object, whatever it is."""
    try:
        return place.get(key, SMALL) is not None
    except Unreachable:
        raise
    except RequestError:
        return True


def read_beat(place: Place, shard: str, epoch: int) -> Beat | None:
    """The last beat of an epoch."""
    return _beat_of(_get_beat(place, shard, epoch))


class Claim:
    """The right to measure a shard, until a newer claim exists."""

    def __init__(self, place: Place, shard: str, epoch: int) -> None:
        self.shard, self.epoch = shard, epoch
        self._place = place
        self._counter = 0

    def beat(self, beat: Beat) -> None:
        """Show the others that the owner is alive. Raises LostClaim if a newer claim exists."""
        self._counter += 1
        content = json.dumps(asdict(replace(beat, counter=self._counter)))
        self.put(BEAT, content.encode(errors="backslashreplace"))
        self.check()

    def check(self) -> None:
        """Raise LostClaim if a newer claim exists."""
        if _exists(self._place, _claim_key(self.shard, self.epoch + 1)):
            raise LostClaim(f"the shard {self.shard} was taken over by another host")

    def put(self, name: str, content: bytes) -> None:
        """Write an object below the epoch of this claim."""
        self._place.put(f"{SHARDS}/{self.shard}/{self.epoch:06d}/{name}", content)

    def release(self) -> None:
        """Let others claim the shard at once."""
        self.put(RELEASED, b"released\n")


def claim(
    place: Place, observer: Observer, shard: str, owner: Owner, *, again: int = 0
) -> Claim | None:
    """Claim a shard if it is free or its owner is lost; None if it is held or done.

    owner: gets a new key.
    again: claim it although it is done, if this is still its newest epoch.
    """
    seen = observer.look(shard)
    if seen.state == "held" or (seen.state == "done" and seen.epoch != again):
        return None
    epoch = seen.epoch + 1
    if epoch > LAST_EPOCH:
        raise RequestError(
            f"{place.name}/{SHARDS}/{shard}: {LAST_EPOCH} is the last number of a claim; "
            "remove what has this number"
        )
    owner = replace(owner, key=uuid4().hex)
    key = _claim_key(shard, epoch)
    if place.create(key, json.dumps(asdict(owner)).encode()):
        return Claim(place, shard, epoch)
    there = read_owner(place, shard, epoch)
    if there == owner:  # the request was repeated after its answer was lost
        return Claim(place, shard, epoch)
    if not there.key:
        place.get(key, SMALL)  # says what is in the way, if it is not a claim
    return None


def read_owner(place: Place, shard: str, epoch: int) -> Owner:
    """The owner of an epoch, unknown if its claim is damaged."""
    try:
        content = place.get(_claim_key(shard, epoch), SMALL)
        return Owner() if content is None else read_record(parse_json(content), Owner)
    except Unreachable:
        raise
    except RequestError:
        return Owner()


def _claim_key(shard: str, epoch: int) -> str:
    return f"{SHARDS}/{shard}/{CLAIMS}/{epoch:06d}.json"
