"""
One suite over every LastSeenStore: the files of the state folder, and the fake that other tests use.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rotator.adapters.files.last_seen import LastSeenFiles
from rotator.errors import LastSeenWriteError
from rotator.model.publication import LastSeen
from rotator.ports.last_seen import LastSeenStore
from tests.support.fakes import MemoryLastSeen
from tests.support.publications import publication


@dataclass
class Place:
    """A LastSeenStore, and how to make its writes fail."""

    store: LastSeenStore
    fail: Callable[[bool], None]

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Let writes fail within the block."""
        self.fail(True)
        try:
            yield
        finally:
            self.fail(False)


def _files(folder: Path) -> Place:
    def fail(failing: bool) -> None:
        (folder / "keysets").mkdir(mode=0o700, exist_ok=True)
        (folder / "keysets").chmod(0o777 if failing else 0o700)

    return Place(LastSeenFiles(folder), fail)


def _memory(_: Path) -> Place:
    store = MemoryLastSeen()

    def fail(failing: bool) -> None:
        store.failing = failing

    return Place(store, fail)


@pytest.fixture(name="place", params=[_files, _memory], ids=["files", "memory"])
def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return each implementation in turn."""
    place: Place = request.param(tmp_path)
    return place


def seen(keyset: str = "web", sequence: int = 5, epoch: str = "epoch-1") -> LastSeen:
    """Return what a save of that sequence leaves."""
    shown = publication(keyset, 1, sequence=sequence, epoch=epoch)
    return LastSeen(
        epoch=epoch,
        sequence=sequence,
        op_id=f"op-{sequence}",
        well_known=True,
        symmetric=False,
        timing=shown.timing,
        document=shown.document,
    )


def test_nothing_is_known_at_first(place: Place) -> None:
    """A keyset never seen is None, not an error."""
    assert place.store.names() == ()
    assert place.store.get("web") is None


def test_what_was_recorded_is_returned(place: Place) -> None:
    """Every field comes back."""
    place.store.record(seen())
    assert place.store.get("web") == seen()
    assert place.store.get("api") is None


def test_names_are_sorted(place: Place) -> None:
    """Whatever the order of recording."""
    for name in ("web", "api", "mail"):
        place.store.record(seen(name))
    assert place.store.names() == ("api", "mail", "web")


def test_a_lower_sequence_of_the_same_epoch_is_ignored(place: Place) -> None:
    """Within an epoch the record only goes forward, without an error."""
    place.store.record(seen(sequence=9))
    place.store.record(seen(sequence=5))
    assert place.store.get("web") == seen(sequence=9)
    place.store.record(seen(sequence=10))
    assert place.store.get("web") == seen(sequence=10)


def test_the_same_sequence_may_change_the_policy(place: Place) -> None:
    """What the configuration says of a keyset is recorded without a save."""
    place.store.record(seen())
    place.store.record(replace(seen(), well_known=False))
    assert place.store.get("web") == replace(seen(), well_known=False)


def test_another_epoch_replaces_whatever_its_sequence(place: Place) -> None:
    """The caller has judged the new life; its sequence starts low."""
    place.store.record(seen(sequence=9))
    place.store.record(seen(sequence=1, epoch="epoch-2"))
    assert place.store.get("web") == seen(sequence=1, epoch="epoch-2")


def test_a_forgotten_keyset_was_never_seen(place: Place) -> None:
    """Others stay; to forget one that was never seen is no error; what comes later is recorded, however low."""
    place.store.record(seen(sequence=9))
    place.store.record(seen("api"))
    place.store.forget("web")
    place.store.forget("web")
    assert place.store.get("web") is None
    assert place.store.names() == ("api",)
    place.store.record(seen(sequence=1))
    assert place.store.get("web") == seen(sequence=1)


def test_a_failed_write_is_reported_and_known_all_the_same(place: Place) -> None:
    """The process still knows what it saw, and the same call writes it once that is possible."""
    place.store.record(seen())
    with place.failing(), pytest.raises(LastSeenWriteError):
        place.store.record(seen(sequence=6))
    assert place.store.get("web") == seen(sequence=6)
    place.store.record(seen(sequence=6))
    assert place.store.get("web") == seen(sequence=6)
