"""
The last good keys through any fault, none that are too old, and every change told once.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from rotator.client import Keys, KeysUnavailableError, Signer
from rotator.client.cache import KeyCache
from rotator.client.jose.keys import DEFAULT_TIMING
from rotator.errors import KeyMaterialError, PublicationError, StoreDeniedError, StoreUnavailableError
from rotator.model.policy import Timing
from tests.support.scripted import (
    EPOCH,
    TIMING,
    Leaping,
    ScriptedSource,
    keys,
    reader_of,
    serves,
    settled,
    until,
    within,
)

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


P = TIMING.propagation_time

QUIET = 0.2

MINUTE = timedelta(minutes=1)


def in_threads(count: int, work: Callable[[int], object]) -> list[Any]:
    """Do *work* in so many threads that begin together; return what each returned."""
    barrier = threading.Barrier(count)

    def one(number: int) -> object:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


ERRORS: list[BaseException] = [
    StoreUnavailableError("vault is sealed"),
    StoreDeniedError("denied"),
    PublicationError("answered (500)"),
    KeyMaterialError("no JWKS"),
    ConnectionResetError("reset"),
    TimeoutError(),
    ValueError("what"),
    KeyError("keys"),
    RecursionError(),
    MemoryError(),
    SystemExit(3),
    KeyboardInterrupt(),
    asyncio.CancelledError(),
]


BAD_SETS: dict[str, tuple[object, str]] = {
    "nothing": (None, "AttributeError"),
    "empty": (Keys(verifying={}, epoch=EPOCH, sequence=6), "holds no keys"),
    "falling sequence": (keys(4), "has sequence 4, lower than 5 that was read before"),
    "another epoch": (keys(6, epoch="epoch-2"), "has epoch epoch-2, and epoch-1 was read before"),
    "no epoch": (keys(6, epoch=""), "was read before"),
    "two saves of one sequence": (keys(5, op_id="op-other"), "from two saves"),
    "absurd policy": (keys(6, timing=Timing(timedelta.max, timedelta.max, MINUTE)), "OverflowError"),
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_last_good_keys_survive_any_error(source: ScriptedSource, error: BaseException) -> None:
    """Whatever a fetch raises, the keys stay, `fault` says why, and the next good fetch clears it."""
    with reader_of(source) as keyset:
        source.fail(error)
        assert serves(keyset, "k1")
        assert keyset.refresh().sequence == 1
        assert keyset.signing().sequence == 1
        assert keyset.search("k9") is None
        text = str(error) if isinstance(error, StoreUnavailableError | PublicationError) else type(error).__name__
        assert text in keyset.status.fault or str(error) == keyset.status.fault
        source.fail(None)
        source.document = keys(2)
        assert keyset.refresh().sequence == 2
        assert keyset.status.fault == ""


@pytest.mark.parametrize(("answer", "text"), BAD_SETS.values(), ids=BAD_SETS)
def test_a_set_that_cannot_follow_is_refused(answer: Any, text: str) -> None:
    """The keys in hand stay, and the fault says what is wrong and where."""
    source = ScriptedSource(keys(5))
    with reader_of(source) as keyset:
        source.answer = lambda _: answer
        assert keyset.refresh().sequence == 5
        assert text in keyset.status.fault
        assert keyset.status.fault.startswith("the source")
        assert (keyset.status.epoch, keyset.status.sequence) == (EPOCH, 5)
        source.answer, source.document = source.unchanged, keys(6)
        assert keyset.refresh().sequence == 6


def test_a_sequence_that_no_saves_lead_to_binds_no_reader() -> None:
    """Another hand wrote it once; what rotator saves afterwards is believed again."""
    source = ScriptedSource(keys(10**15))
    with reader_of(source) as keyset:
        source.document = keys(6)
        assert keyset.refresh().sequence == 6
        source.document = keys(5)
        assert keyset.refresh().sequence == 6


def test_an_empty_set_is_refused_at_start(source: ScriptedSource) -> None:
    """A reader does not start with a set of no keys."""
    source.document = Keys(verifying={})
    with pytest.raises(KeysUnavailableError, match="the source holds no keys"):
        reader_of(source).start(0.2)


def test_keys_are_not_refreshed_by_a_refused_reading(time_: Leaping) -> None:
    """A lagging store, read every few seconds, does not keep the keys young."""
    source = ScriptedSource(keys(5))
    with reader_of(source, time_, max_stale=MINUTE) as keyset:
        source.document = keys(4)
        time_.leap(55)
        assert keyset.refresh().sequence == 5
        time_.leap(10)
        with pytest.raises(KeysUnavailableError, match="lower than 5"):
            keyset.verifying()


def test_verifying_ends_at_max_stale(source: ScriptedSource, time_: Leaping) -> None:
    """Until then with the last good keys, from then on not at all, and again after the next good fetch."""
    with reader_of(source, time_, max_stale=timedelta(hours=10)) as keyset:
        source.fail(StoreUnavailableError("vault is sealed"))
        time_.leap(timedelta(hours=10) - MINUTE)
        assert serves(keyset, "k1")
        assert not keyset.status.stale
        time_.leap(2 * MINUTE)
        with pytest.raises(
            KeysUnavailableError, match=r"no keys to verify with, the last are 36\d\d\d s old: vault is sealed"
        ):
            keyset.verifying()
        with pytest.raises(KeysUnavailableError):
            keyset.verifying(wait=False)
        assert keyset.search("k1") is None
        assert keyset.status.stale
        source.fail(None)
        time_.leap(30)  # the longest back-off after a failed fetch
        until(lambda: not keyset.status.stale)
        assert serves(keyset, "k1")
        assert keyset.signing().sequence == 1


@pytest.mark.parametrize(
    ("max_stale", "ends", "verifies"),
    [(None, P, True), (timedelta(hours=10), P, True), (10 * MINUTE, 10 * MINUTE, False)],
    ids=["by default", "whatever max_stale", "sooner"],
)
def test_signing_ends_at_the_propagation_time(
    source: ScriptedSource, time_: Leaping, max_stale: timedelta | None, ends: timedelta, verifies: bool
) -> None:
    """From then on other services may have retired the key, and would refuse what it signs."""
    with reader_of(source, time_, max_stale=max_stale) as keyset:
        source.fail(StoreUnavailableError("vault is sealed"))
        signer = Signer(keyset, issuer="i", audience="a")
        time_.leap(ends - timedelta(seconds=5))
        assert signer.sign("alice")
        time_.leap(10)
        with pytest.raises(
            KeysUnavailableError, match=r"no keys to sign with, the last are \d+ s old: vault is sealed"
        ):
            signer.sign("alice")
        with pytest.raises(KeysUnavailableError):
            keyset.secrets()
        assert keyset.status.stale != verifies


def test_age_counts_from_when_the_reading_began(source: ScriptedSource, time_: Leaping) -> None:
    """A fetch that was under way during a suspend brings keys as old as the suspend."""
    with reader_of(source, time_, max_stale=timedelta(hours=10)) as keyset:

        def slow(_: Keys | None) -> Keys:
            time_.leap(P + MINUTE)
            source.fail(StoreUnavailableError("vault is sealed"))
            return keys(2)

        source.answer = slow
        assert keyset.refresh().sequence == 2
        with pytest.raises(KeysUnavailableError, match="no keys to sign with, the last are 72"):
            keyset.signing()


@pytest.mark.parametrize(
    ("timing", "ends"),
    [(TIMING, TIMING.retention), (DEFAULT_TIMING, timedelta(days=1))],
    ids=["retention", "a day"],
)
def test_by_default_keys_verify_as_long_as_none_can_be_retired(time_: Leaping, timing: Timing, ends: timedelta) -> None:
    """And never longer than a day."""
    source = ScriptedSource(keys(1, timing=timing))
    with reader_of(source, time_) as keyset:
        source.fail(OSError())
        time_.leap(ends - MINUTE)
        assert serves(keyset, "k1")
        time_.leap(2 * MINUTE)
        with pytest.raises(KeysUnavailableError):
            keyset.verifying()


def test_after_a_suspend_the_first_caller_waits_for_one_reading(source: ScriptedSource, time_: Leaping) -> None:
    """No caller is refused because the machine slept, and none gets keys from before."""
    with reader_of(source, time_, max_stale=timedelta(hours=1)) as keyset:
        source.document = keys(2)
        time_.leap(timedelta(hours=8))
        found = in_threads(20, lambda _: keyset.verifying().sequence)
        assert found == [2] * 20
        assert settled(source, QUIET) <= 3


def test_stale_keys_do_not_make_every_caller_wait(source: ScriptedSource, time_: Leaping) -> None:
    """While the source is away, callers are refused at once: the thread retries by itself."""
    with reader_of(source, time_, max_stale=MINUTE) as keyset:
        source.fail(OSError())
        time_.leap(90)
        until(lambda: keyset.status.fault)
        with within(0.5):
            for _ in range(100):
                with pytest.raises(KeysUnavailableError):
                    keyset.verifying()
        assert source.readings < 5


def test_on_change_is_told_once_of_each_change(source: ScriptedSource) -> None:
    """At once if there are keys, and not after fetches that bring nothing new."""
    told: list[tuple[str, int]] = []
    keyset = reader_of(source)
    keyset.on_change(lambda found: told.append(("early", found.sequence)))
    with keyset:
        until(lambda: told)
        keyset.on_change(lambda found: told.append(("late", found.sequence)))
        assert told == [("early", 1), ("late", 1)]
        keyset.refresh()
        source.document = keys(2)
        keyset.refresh()
        keyset.refresh()
        until(lambda: len(told) == 4)
    assert told == [("early", 1), ("late", 1), ("early", 2), ("late", 2)]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1)], ids=lambda error: type(error).__name__)
def test_a_callback_that_raises_harms_nothing(source: ScriptedSource, error: BaseException) -> None:
    """The others are called, and the reader goes on."""

    def fail(_: Keys) -> None:
        raise error

    told: list[int] = []
    keyset = reader_of(source)
    keyset.on_change(fail)
    keyset.on_change(lambda found: told.append(found.sequence))
    with keyset:
        for sequence in (2, 3):
            source.document = keys(sequence)
            assert keyset.refresh().sequence == sequence
        until(lambda: told == [1, 2, 3])
        with pytest.raises(type(error)):
            keyset.on_change(fail)


def test_a_callback_may_use_the_reader_and_close_it(source: ScriptedSource) -> None:
    """From the reader's thread: no deadlock."""
    seen: list[object] = []
    keyset = reader_of(source)

    def use(found: Keys) -> None:
        seen.append((found.sequence, keyset.verifying().sequence, keyset.status.fault))
        keyset.on_change(lambda later: seen.append(later.sequence))
        keyset.close()

    keyset.on_change(use)
    with within(2), suppress(KeysUnavailableError):
        keyset.start()
    until(lambda: len(seen) == 2)
    assert seen == [(1, 1, ""), 1]


def test_a_slow_callback_does_not_hold_those_who_wait(source: ScriptedSource) -> None:
    """Callers that wait for a refresh have it before subscribers are called."""
    over = threading.Event()
    keyset = reader_of(source)
    keyset.on_change(lambda _: over.wait(10))
    with within(2):
        keyset.start()
    over.set()
    keyset.close()


def test_who_registers_amid_changes_misses_none(source: ScriptedSource) -> None:
    """Each subscriber is called once per change, in order, up to the last."""
    told: list[list[int]] = []
    with reader_of(source) as keyset:

        def register() -> None:
            while source.document.sequence < 40:
                mine: list[int] = []
                told.append(mine)
                keyset.on_change(lambda found, mine=mine: mine.append(found.sequence))
                time.sleep(0.002)

        thread = threading.Thread(target=register)
        thread.start()
        for sequence in range(2, 41):
            source.document = keys(sequence)
            keyset.refresh()
        thread.join()
        until(lambda: all(one[-1:] == [40] for one in told))
    assert len({one[0] for one in told}) > 10
    for one in told:
        assert one == list(range(one[0], 41))


def test_a_change_amid_a_registration_is_told_after_it(source: ScriptedSource) -> None:
    """No subscriber ends with older keys because two threads called it in the wrong order."""
    told: list[int] = []
    with reader_of(source) as keyset:

        def slow(found: Keys) -> None:
            if found.sequence == 1:
                source.document = keys(2)
                assert keyset.refresh().sequence == 2
                time.sleep(0.1)
            told.append(found.sequence)

        keyset.on_change(slow)
        until(lambda: len(told) == 2)
    assert told == [1, 2]


# -- the cache alone ---------------------------------------------------------------------------------------------------


def fetched(cache: KeyCache, began: float = 0.0) -> bool:
    """Fetch, and accept what that brought; return whether the keys changed."""
    found, _ = cache.fetch(began, fresh=False)
    return cache.accept(found)


def test_a_fetch_changes_nothing_until_it_is_accepted(source: ScriptedSource) -> None:
    """What comes after the reader was closed is thrown away."""
    cache = KeyCache(source, None)
    found, _ = cache.fetch(0.0, fresh=False)
    assert found is not None
    assert cache.cached is None
    assert cache.accept(found)
    assert cache.cached is found


def test_only_other_keys_are_a_change(source: ScriptedSource) -> None:
    """A fetch that brings the same save renews the age; a failed one changes nothing at all."""
    cache = KeyCache(source, None)
    assert [fetched(cache, began) for began in (0.0, 7.0)] == [True, False]
    assert cache.cached is not None
    assert (cache.cached.keys.read_at, cache.cached.generation) == (7.0, 1)
    source.fail(StoreUnavailableError("vault is sealed"))
    before = cache.cached
    assert not fetched(cache, 9.0)
    assert (cache.cached, cache.fault) == (before, "vault is sealed")
    source.fail(None)
    source.document = keys(2)
    assert fetched(cache, 11.0)
    assert (cache.cached.generation, cache.fault) == (2, "")


def test_a_cleared_cache_accepts_any_keys(source: ScriptedSource) -> None:
    """As after a restart: another epoch, or a lower sequence."""
    source.document = keys(5)
    cache = KeyCache(source, None)
    fetched(cache)
    source.document = keys(3, epoch="another")
    assert not fetched(cache)
    cache.clear()
    assert fetched(cache)
    assert cache.cached is not None
    assert (cache.cached.keys.epoch, cache.cached.generation) == ("another", 2)


def test_subscribers_are_called_once_per_change(source: ScriptedSource) -> None:
    """However often `notify` is called; a late one is called at once."""
    cache, seen = KeyCache(source, None), list[tuple[str, int]]()
    cache.notify()
    assert not cache.has_subscribers
    cache.on_change(lambda found: seen.append(("early", found.sequence)))
    assert cache.has_subscribers
    assert seen == []
    fetched(cache)
    cache.notify()
    cache.notify()
    cache.on_change(lambda found: seen.append(("late", found.sequence)))
    cache.notify()
    assert seen == [("early", 1), ("late", 1)]


def test_a_check_for_changes_never_raises(source: ScriptedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says no, and the fault says why."""

    def fail() -> bool:
        raise ZeroDivisionError

    cache = KeyCache(source, None)
    source.has_changed = True
    assert cache.source_changed()
    monkeypatch.setattr(source, "changed", fail)
    assert not cache.source_changed()
    assert cache.fault == "the source: ZeroDivisionError"
