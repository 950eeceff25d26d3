"""
What is shown may be the past: a heartbeat that stays away ends signing, an announced change that stays away is said.
"""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rotator.client import Doubt, Keys, KeysUnavailableError, Signer
from rotator.client.cache import KeyCache
from rotator.client.freshness import Announcements, left_to_sign, unseen
from rotator.client.jose.keys import keys_of
from rotator.client.sources.document import DocumentDecoder
from rotator.documents.signing import encode_keyset
from rotator.model.document import ClockReading, Stored
from rotator.model.event import Hint
from tests.support.documents import START, keyset
from tests.support.scripted import EPOCH, TIMING, HandMadeHints, Leaping, ScriptedSource, keys, reader_of, serves, until

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

P = TIMING.propagation_time.total_seconds()
SKEW = TIMING.clock_skew.total_seconds()
WALL = START.timestamp()


def seen(ago: float, sequence: int = 1) -> Keys:
    """Return keys that a daemon saved so many seconds before START."""
    return replace(keys(sequence), seen_at=START - timedelta(seconds=ago))


# -- the heartbeat -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ago", "left"), [(0, P + SKEW), (P, SKEW), (P + SKEW, 0), (2 * P, SKEW - P)])
def test_keys_sign_for_p_and_the_skew_of_clocks_after_the_last_save(ago: float, left: float) -> None:
    """Retention has room for both: no key is gone before tokens signed until then are."""
    assert left_to_sign(seen(ago), WALL) == left
    assert left_to_sign(keys(), WALL) is None


def test_only_a_heartbeat_that_is_promised_bounds_signing() -> None:
    """Every document says when it was saved; it may be weeks old, and the latest."""
    document = replace(keyset(), seen_at=START)

    assert keys_of(document).seen_at is None
    assert keys_of(replace(document, heartbeat=True)).seen_at == START


def cached(found: Keys, wall: float = WALL) -> KeyCache:
    """Return a cache that has just read *found*, when this host's clock showed *wall*."""
    cache = KeyCache(ScriptedSource(found), None, lambda: wall)
    assert cache.accept(cache.fetch(100.0, fresh=True)[0])
    return cache


@pytest.mark.parametrize(("ago", "until_"), [(0, 100 + P), (SKEW, 100 + P), (P, 100 + SKEW), (2 * P, 100 + SKEW - P)])
def test_signing_ends_with_the_heartbeat_or_with_the_reading(ago: float, until_: float) -> None:
    """Whichever is sooner; verifying goes on."""
    found = cached(seen(ago)).cached
    assert found is not None
    assert found.sign_until == until_
    assert found.seen_bounds is (ago > SKEW)
    assert found.verify_until == 100 + TIMING.retention.total_seconds()


def test_a_heartbeat_is_no_change() -> None:
    """Nobody is told, the keys stay the same objects, and its later moment counts."""
    source = ScriptedSource(seen(60))
    cache = KeyCache(source, None, lambda: WALL)
    cache.accept(cache.fetch(0.0, fresh=True)[0])
    first = cache.cached
    assert first is not None
    source.answer = lambda known: replace(known or keys(), seen_at=START)

    assert not cache.accept(cache.fetch(1.0, fresh=True)[0])
    second = cache.cached
    assert second is not None
    assert (second.generation, second.keys.seen_at) == (first.generation, START)
    assert second.keys.verifying is first.keys.verifying


def test_a_lagging_node_takes_no_heartbeat_back() -> None:
    """What another node has shown before is proved."""
    source = ScriptedSource(seen(0))
    cache = KeyCache(source, None, lambda: WALL)
    cache.accept(cache.fetch(0.0, fresh=True)[0])
    source.answer = lambda known: replace(known or keys(), seen_at=START - timedelta(hours=1))
    cache.accept(cache.fetch(1.0, fresh=True)[0])

    assert cache.keys is not None
    assert cache.keys.seen_at == START


def test_the_document_of_a_heartbeat_is_decoded_to_the_known_keys() -> None:
    """Whose secrets are not imported again."""
    decoder = DocumentDecoder("web", "the store", False, TIMING)
    document = replace(keyset(), heartbeat=True, seen_at=START)

    def read(known: Keys | None, seen_at: datetime) -> Keys:
        clock = ClockReading(START, START, read_at=0.0)
        return decoder.decode(Stored(1, encode_keyset(replace(document, seen_at=seen_at)), START, clock), known)

    first = read(None, START)
    assert read(first, START) is first
    later = read(first, START + timedelta(minutes=1))
    assert (later.seen_at, later.verifying) == (START + timedelta(minutes=1), first.verifying)
    assert later.verifying is first.verifying


def test_a_signer_stops_where_no_daemon_saves_any_more() -> None:
    """Though every reading succeeds: it is shown the past, or the daemon is down. The next heartbeat ends it."""
    source = ScriptedSource(replace(keys(), seen_at=datetime.now(UTC)))
    with reader_of(source) as reader:
        signer = Signer(reader, issuer="i", audience="a")
        assert signer.sign("alice")
        assert reader.status.doubt is None

        source.answer = lambda known: replace(known or keys(), seen_at=None)
        reader.refresh()
        source.answer = lambda known: replace(known or keys(), seen_at=datetime.now(UTC) - timedelta(hours=3))
        reader.refresh()
        with pytest.raises(KeysUnavailableError, match="longer ago than propagation_time") as refused:
            signer.sign("alice")
        assert refused.value.doubt is Doubt.UNSEEN
        assert (reader.status.doubt, reader.status.stale) == (Doubt.UNSEEN, False)
        assert reader.status.fault == unseen(source.answer(keys()), "the source")
        assert serves(reader, "k1")

        source.answer = lambda known: replace(known or keys(), seen_at=datetime.now(UTC))
        reader.refresh()
        assert signer.sign("alice")
        assert (reader.status.doubt, reader.status.fault) == (None, "")


def test_the_hosts_own_clock_decides() -> None:
    """It may be told for a test."""
    source = ScriptedSource(replace(keys(), seen_at=datetime.now(UTC)))
    with reader_of(source, wall=lambda: time.time() + P + SKEW + 5) as reader:
        with pytest.raises(KeysUnavailableError):
            reader.signing()
        assert reader.status.doubt is Doubt.UNSEEN


def test_a_failed_reading_has_its_own_doubt() -> None:
    """It is said first."""
    source = ScriptedSource()
    time_ = Leaping()
    with reader_of(source, time_) as reader:
        source.fail(ConnectionResetError())
        time_.leap(timedelta(hours=3))
        with pytest.raises(KeysUnavailableError) as refused:
            reader.signing()
        assert refused.value.doubt is Doubt.UNREAD
        assert reader.status.doubt is Doubt.UNREAD


# -- announcements -----------------------------------------------------------------------------------------------------


def hint(sequence: int, epoch: str = EPOCH) -> Hint:
    """Return a hint for the keyset."""
    return Hint("web", epoch, sequence)


def test_a_change_that_does_not_arrive_within_a_quarter_of_p_is_said() -> None:
    """Counted from the first announcement, whichever later ones come."""
    announcements = Announcements("vault keys/web")
    announcements.heard(keys(3), hint(4), 100.0)
    announcements.heard(keys(3), hint(5), 100.0 + P / 4 - 1)

    assert announcements.missing(keys(3), 100.0 + P / 4) == ""
    text = announcements.missing(keys(3), 101.0 + P / 4)
    assert text.startswith("vault keys/web shows sequence 3, but 5 was announced 1801 s ago")
    assert announcements.missing(keys(4), 101.0 + P / 4)
    assert announcements.missing(keys(5), 101.0 + P / 4) == ""


def test_an_announcement_that_arrived_is_over() -> None:
    """The next one counts for itself."""
    announcements = Announcements("vault keys/web")
    announcements.heard(keys(3), hint(4), 100.0)
    announcements.heard(keys(4), hint(5), 100.0 + P)

    assert announcements.missing(keys(4), 101.0 + P) == ""


@pytest.mark.parametrize("heard", [hint(3), hint(2), hint(9, "another"), hint(9, "")])
def test_what_is_known_or_another_epochs_is_not_awaited(heard: Hint) -> None:
    """A keyset created again is refused, and said, elsewhere; a JWKS has neither epoch nor sequence."""
    announcements = Announcements("vault keys/web")
    announcements.heard(keys(3), heard, 0.0)
    announcements.heard(None, hint(9), 0.0)

    assert announcements.missing(keys(3), 10 * P) == ""


def test_a_reader_says_that_it_is_behind(caplog: pytest.LogCaptureFixture) -> None:
    """In its status, and in one line of the log; it goes on serving, for the hint may be forged."""
    source, hints, time_ = ScriptedSource(keys(1)), HandMadeHints(), Leaping()
    with caplog.at_level(logging.WARNING), reader_of(source, time_, hints=hints) as reader:
        hints.hint("web", EPOCH, 2)
        until(lambda: source.readings > 1)
        assert reader.status.doubt is None

        time_.leap(P / 4 + 1)
        until(lambda: "keys_behind" in caplog.text)
        assert reader.status.doubt is Doubt.BEHIND
        assert "shows sequence 1, but 2 was announced" in reader.status.fault
        assert reader.signing().sequence == 1

        source.document = keys(2)
        reader.refresh()
        assert (reader.status.doubt, reader.status.fault) == (None, "")
        assert caplog.text.count("keys_behind") == 1
