"""Places and claims: exclusive creation, epochs, leases, and what a late owner can do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from fakes import Clock

from attn_bench.model.errors import RequestError
from attn_bench.store.claims import Beat, Claim, LostClaim, Observer, Owner, claim, read_owner
from attn_bench.store.places import Bucket, Folder, Place, Unreachable, open_place
from benchmarks.fleet_kills import s3_server

LEASE_S = 120.0
SHARD = "0123456789ab"


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A bucket on a server of this machine."""
    with s3_server():
        yield "s3://fleet"


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty store of each kind."""
    if request.param == "folder":
        return open_place(str(tmp_path / "store"))
    base = request.getfixturevalue("s3") if request.param == "s3" else "memory://"
    return open_place(f"{base}/{uuid4().hex}")


def test_a_listing_that_is_late_robs_no_owner(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS may list the folder of the claims as it was before the newest one."""
    take(place, observer(place, Clock())).beat(Beat())
    find = place.find
    monkeypatch.setattr(
        place, "find", lambda folder: [key for key in find(folder) if "/claims/" not in key]
    )
    watching = observer(place, Clock())
    assert (watching.look(SHARD).state, watching.look(SHARD).epoch) == ("held", 1)
    assert claim(place, watching, SHARD, Owner("b", "a CPU")) is None


def test_a_request_that_should_be_repeated_is_no_error(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 refuses one of two that come at once, also if neither made the object."""
    monkeypatch.setattr(place, "create", lambda key, content: False)
    assert claim(place, observer(place, Clock()), SHARD, Owner("a", "a CPU")) is None


def test_a_bucket_that_does_not_exist_is_named(s3: str) -> None:
    """It is no fault of the output of this program."""
    with pytest.raises(Unreachable, match="s3://nobody-has-it/x: the bucket does not exist"):
        open_place("s3://nobody-has-it/x").probe()


def observer(place: Place, clock: Clock) -> Observer:
    return Observer(place, LEASE_S, clock)


def take(place: Place, watching: Observer, host: str = "a") -> Claim:
    taken = claim(place, watching, SHARD, Owner(host, "a CPU"))
    assert taken is not None
    return taken


# --- places -----------------------------------------------------------------------------------


def test_an_object_is_created_once_and_put_again(place: Place) -> None:
    """Every kind of store has the same few operations."""
    assert place.get("a/b") is None
    assert (place.find("a"), place.list_folders()) == ([], [])
    assert place.create("a/b", b"1")
    assert not place.create("a/b", b"2")
    assert place.get("a/b") == b"1"
    place.put("a/b", b"3")
    place.put("a/c/d", b"4")
    assert place.get("a/b") == b"3"
    assert place.find("a") == ["a/b", "a/c/d"]
    assert place.find("a/c") == ["a/c/d"]
    assert place.list_folders() == ["a"]
    assert place.at("a").find("c") == ["c/d"]
    with pytest.raises(RequestError, match="larger than 0 bytes"):
        place.get("a/b", 0)
    place.probe()
    assert place.find("") == ["a/b", "a/c/d"]


def test_of_many_that_create_one_object_one_wins(place: Place) -> None:
    """Threads that start at one moment do not all believe that they won."""
    for attempt in range(10):
        start, winners = threading.Barrier(8), []

        def create(number: int, attempt: int = attempt) -> None:
            start.wait()  # noqa: B023
            if place.create(f"race/{attempt}", str(number).encode()):
                winners.append(number)  # noqa: B023

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [str(winner).encode() for winner in winners] == [place.get(f"race/{attempt}")]


def test_a_folder_without_links_creates_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system has no hard links, the file is opened exclusively."""

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    place = Folder(tmp_path)
    assert [place.create("a", b"1"), place.create("a", b"2")] == [True, False]
    assert (place.get("a"), place.find("")) == (b"1", ["a"])


def test_a_store_that_creates_twice_is_refused(tmp_path: Path) -> None:
    """The probe finds a file system or a server that ignores the condition."""

    class Careless(Folder):
        def create(self, key: str, content: bytes) -> bool:
            self.put(key, content)
            return True

    with pytest.raises(RequestError, match="cannot create an object exclusively"):
        Careless(tmp_path).probe()
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_store_is_one_line_without_a_password() -> None:
    """Whatever a library raises is Unreachable; a URL in it loses its user and password."""

    class Broken:
        protocol = ("s3",)

        def find(self, path: str) -> list[str]:
            raise LookupError("https://user:secret@host is down\nand more")

    with pytest.raises(Unreachable) as raised:
        Bucket(Broken(), "bucket", "s3://bucket").find("a")
    assert str(raised.value) == "s3://bucket: LookupError: https://host is down"


# --- claims -----------------------------------------------------------------------------------


def test_a_shard_has_one_owner_until_it_is_released(place: Place) -> None:
    """A second host gets nothing before, and the next epoch after."""
    clock = Clock()
    first, second = observer(place, clock), observer(place, clock)
    held = take(place, first)
    assert claim(place, second, SHARD, Owner("b", "a CPU")) is None
    assert read_owner(place, SHARD, 1).host == "a"
    held.release()
    assert second.look(SHARD).state == "free"
    assert take(place, second, "b").epoch == 2


def test_a_silent_owner_is_lost_after_the_lease_of_the_observer(place: Place) -> None:
    """The observer counts from its own first look; a beat starts the lease anew."""
    clock = Clock(1e9)
    held, watching = take(place, observer(place, Clock())), observer(place, clock)
    for _ in range(3):
        held.beat(Beat(done=1, total=2, doing="x"))
        seen = watching.look(SHARD)
        assert (seen.state, seen.age_s, seen.beat and seen.beat.done) == ("held", 0, 1)
        clock.now_s += LEASE_S - 1
        assert watching.look(SHARD).state == "held"
    clock.now_s += 1
    assert watching.look(SHARD).state == "lost"
    assert claim(place, watching, SHARD, Owner("b", "a CPU")) is not None


def test_an_owner_that_never_beat_is_lost_too(place: Place) -> None:
    """A host may die between its claim and its first beat."""
    take(place, observer(place, Clock()))
    clock = Clock()
    watching = observer(place, clock)
    assert watching.look(SHARD).state == "held"
    clock.now_s += LEASE_S
    assert watching.look(SHARD).state == "lost"


def test_a_late_owner_is_fenced(place: Place) -> None:
    """It learns of the newer claim at its next beat; what it writes is below its own epoch."""
    late = take(place, observer(place, Clock()))
    clock = Clock()
    watching = observer(place, clock)
    watching.look(SHARD)
    clock.now_s += LEASE_S
    new = take(place, watching, "b")
    with pytest.raises(LostClaim, match="taken over"):
        late.beat(Beat())
    late.put("run.json", b"{}")
    late.release()
    assert watching.look(SHARD).state == "held"
    new.put("run.json", b"{}")
    assert watching.look(SHARD).state == "done"
    assert claim(place, watching, SHARD, Owner("c", "a CPU")) is None


def test_an_answer_that_was_lost_does_not_lose_the_claim(tmp_path: Path) -> None:
    """A library repeats a request whose answer did not come, and finds its own claim there."""

    class Deaf(Folder):
        def create(self, key: str, content: bytes) -> bool:
            super().create(key, content)
            return super().create(key, content)

    place = Deaf(tmp_path)
    assert take(place, observer(place, Clock())).epoch == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"host": 1}', b"\xff"])
def test_damaged_claims_and_beats_are_still_claims(content: bytes, tmp_path: Path) -> None:
    """Only the name of a claim and the change of a beat matter to the others."""
    place = Folder(tmp_path)
    place.put(f"shards/{SHARD}/claims/000001.json", content)
    place.put(f"shards/{SHARD}/000001/beat", content)
    clock = Clock()
    watching = observer(place, clock)
    assert watching.look(SHARD).state == "held"
    assert read_owner(place, SHARD, 1).host == "?"
    clock.now_s += LEASE_S
    assert take(place, watching).epoch == 2
