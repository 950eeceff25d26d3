"""
One refresh however many callers wait for it; hints, polls and searches cause no more of them than they must.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from rotator.client import Keys, KeysetReader, KeysUnavailableError
from rotator.client.refresh import Pace
from rotator.model.policy import Timing
from tests.support.scripted import (
    EPOCH,
    HandMadeHints,
    Leaping,
    ScriptedSource,
    keys,
    reader_of,
    readers_threads,
    serves,
    settled,
    until,
    within,
)

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


COOLDOWN = 30

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


@pytest.mark.parametrize("started", [False, True], ids=["never started", "started without waiting"])
def test_a_cold_start_is_one_reading(source: ScriptedSource, started: bool) -> None:
    """A hundred threads that come before there are keys wait for the one fetch, and all get its keys."""
    keyset = reader_of(source)
    with source.hanging():
        if started:
            keyset.start(0)
        opener = threading.Timer(0.3, source._open.set)
        opener.start()
        found = in_threads(100, lambda _: keyset.verifying())
        opener.join()
    assert {keys.sequence for keys in found} == {1}
    assert settled(source, QUIET) == 1
    keyset.close()


def test_unknown_kids_cost_one_reading_per_cooldown(source: ScriptedSource, time_: Leaping) -> None:
    """A thousand forged kids from twenty threads: one refresh; none until the cooldown is over, then one."""
    with reader_of(source, time_) as keyset:
        time_.leap(1)

        def forge(thread: int) -> list[Keys | None]:
            return [keyset.search(f"forged-{thread}-{number}") for number in range(50)]

        for expected in (2, 2, 3):
            found = in_threads(20, forge)
            assert all(keys is None for one in found for keys in one)
            assert settled(source, QUIET) == expected
            time_.leap(COOLDOWN - 5 if expected == 2 else COOLDOWN)
    assert not source.overlapped


def test_everybody_who_searches_gets_the_answer(source: ScriptedSource) -> None:
    """Twenty threads with a token of a new key wait for one refresh, and all get the key."""
    with reader_of(source) as keyset:
        source.document = keys(2, "k1", "new")
        found = in_threads(20, lambda _: keyset.search("new"))
    assert [found_keys.sequence for found_keys in found] == [2] * 20
    assert source.readings == 2


def test_a_search_after_a_hint_is_always_one_more(source: ScriptedSource) -> None:
    """The cooldown holds searches without a hint; after one, a search is allowed once more."""
    hints = HandMadeHints()
    with reader_of(source, hints=hints) as keyset:
        assert keyset.search("new") is None
        assert keyset.search("new") is None
        assert source.readings == 2
        hints.hint("web", "another", 1)
        settled(source, QUIET)
        source.document = keys(2, "k1", "new")
        found = keyset.search("new")
        assert found is not None
        assert found.sequence == 2
        assert source.readings == 4
        assert keyset.search("newer") is None
        assert source.readings == 4


def test_a_reading_that_outlasts_a_search_is_not_the_answer_to_the_next(source: ScriptedSource, time_: Leaping) -> None:
    """After the cooldown the next search refreshes again, although no caller waited for the end of the last."""
    with reader_of(source, time_, pace=Pace(min_gap=0.02, search_timeout=0.5)) as keyset:
        with source.hanging():
            assert keyset.search("new") is None
        until(lambda: keyset._refresher._done == 2)
        time_.leap(COOLDOWN)
        source.document = keys(2, "new")
        assert keyset.search("new") is not None


def test_refresh_reads_now(source: ScriptedSource) -> None:
    """Also within the cooldown, and past caches."""
    with reader_of(source) as keyset:
        source.document = keys(2)
        assert keyset.refresh().sequence == 2
        source.document = keys(3)
        assert keyset.refresh().sequence == 3
        assert source.fresh == [False, True, True]


def test_polls_do_not_ask_past_caches(source: ScriptedSource, time_: Leaping) -> None:
    """Only hints and searches do."""
    hints = HandMadeHints()
    with reader_of(source, time_, hints=hints) as keyset:
        for expected in (2, 3):
            time_.leap(300)
            until(lambda n=expected: source.readings == n)
        hints.gap()
        until(lambda: source.readings == 4)
        until(lambda: keyset._refresher._done == 4)
        keyset.search("new")
        assert source.fresh == [False, False, False, True, True]


def test_hints_bring_changes_at_once(source: ScriptedSource) -> None:
    """Ten changes in a row, each announced by one hint, are each there within moments."""
    hints = HandMadeHints()
    with reader_of(source, hints=hints) as keyset:
        for sequence in range(2, 12):
            source.document = keys(sequence)
            hints.hint("web", EPOCH, sequence)
            until(lambda n=sequence: serves(keyset, f"k{n}"), 0.5)
        assert source.readings == 11


def test_hints_of_nothing_new_are_not_followed(source: ScriptedSource) -> None:
    """Known sequences and other keysets cost nothing; a hundred hints of one unknown epoch a refresh or two."""
    source.document = keys(5)
    hints = HandMadeHints()
    with reader_of(source, hints=hints):
        for sequence in (1, 4, 5):
            hints.hint("web", EPOCH, sequence)
        hints.hint("internal", EPOCH, 9)
        assert settled(source, QUIET) == 1
        for _ in range(100):
            hints.hint("web", "another", 7)
        assert 2 <= settled(source, QUIET) <= 4


class SourceOfVault(ScriptedSource):
    """A source that knows by which name its rotator announces."""

    announced_by = "rotator/secret/prod"


def test_a_reader_minds_its_own_rotator() -> None:
    """Of two that share a Redis."""
    source, hints = SourceOfVault(), HandMadeHints()
    with reader_of(source, hints=hints):
        for sequence in range(2, 50):
            hints.hint("web", EPOCH, sequence, source="rotator/secret/staging")
        assert settled(source, QUIET) == 1
        hints.hint("web", EPOCH, 2, source="rotator/secret/prod")
        until(lambda: source.readings > 1)


def test_a_hint_without_a_source_counts() -> None:
    """Whoever hands it on has judged it."""
    source, hints = SourceOfVault(), HandMadeHints()
    with reader_of(source, hints=hints):
        hints.hint("web", EPOCH, 2)
        until(lambda: source.readings > 1)


def test_a_forged_hint_does_not_mute_the_true_one(source: ScriptedSource) -> None:
    """A hint that foretells the next sequence causes one refresh for nothing."""
    hints = HandMadeHints()
    with reader_of(source, hints=hints) as keyset:
        hints.hint("web", EPOCH, 2)
        settled(source, 1)  # until the repeats are over
        source.document = keys(2)
        hints.hint("web", EPOCH, 2)
        until(lambda: serves(keyset, "k2"), 5)


def test_a_jwks_served_a_moment_after_the_hint_is_found(
    source: ScriptedSource,
) -> None:
    """A command announces a save before the daemon serves it; a JWKS has no sequence, so it is fetched again."""
    source.document = keys(0, epoch="")
    hints = HandMadeHints()
    with KeysetReader(source, hints=hints) as keyset:
        hints.hint("web", EPOCH, 2)
        until(lambda: source.readings == 2, 2)
        time.sleep(0.5)
        source.document = keys(2, epoch="")
        until(lambda: serves(keyset, "k2"), 4)


def test_searching_takes_none_of_an_event_loops_threads(source: ScriptedSource) -> None:
    """A hundred tasks that search wait for one refresh, and the loop's one thread stays free meanwhile."""

    async def work(keyset: KeysetReader) -> float:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        searches = [asyncio.ensure_future(keyset.asearch(f"x{number}")) for number in range(100)]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await asyncio.to_thread(int)
        took = time.monotonic() - began
        assert await asyncio.gather(*searches) == [None] * 100
        return took

    with reader_of(source) as keyset:
        with source.hanging():
            assert asyncio.run(work(keyset)) < 0.5
        assert settled(source, QUIET) == 2


def test_a_reader_of_any_keyset_follows_hints_of_all() -> None:
    """The combined JWKS does not say which keysets are in it."""
    source, hints = ScriptedSource(keyset=""), HandMadeHints()
    with reader_of(source, hints=hints):
        hints.hint("web", "one", 1)
        assert settled(source, QUIET) == 2
        hints.hint("api", "two", 1)
        assert settled(source, QUIET) == 3


def test_a_forged_flood_is_a_handful_of_readings(source: ScriptedSource) -> None:
    """Ten thousand hints, each of them new; and while they last, keys are served and a true change is found."""
    hints = HandMadeHints()
    with reader_of(source, hints=hints) as keyset:
        began = time.monotonic()
        for number in range(10_000):
            hints.hint("web", EPOCH, 10**9 + number)
            if number % 10 == 0:
                assert serves(keyset, "k1")
        assert time.monotonic() - began < 3
        assert source.readings < 8
        source.document = keys(2)
        hints.hint("web", EPOCH, 2)
        until(lambda: serves(keyset, "k2"), 8)


def test_a_store_that_lags_behind_a_hint_is_read_again(source: ScriptedSource) -> None:
    """A standby serves the old document for a while after the hint; the change does not wait for the poll."""
    hints = HandMadeHints()
    with reader_of(source, hints=hints) as keyset:
        hints.hint("web", EPOCH, 2)
        until(lambda: source.readings == 3)
        source.document = keys(2)
        until(lambda: serves(keyset, "k2"), 2)


def test_a_source_that_tells_of_a_change_is_read(source: ScriptedSource, time_: Leaping) -> None:
    """As the file store does, by a stat about once a second."""
    with reader_of(source, time_) as keyset:
        source.document, source.has_changed = keys(2), True
        time_.leap(1)
        until(lambda: serves(keyset, "k2"), 1)


@pytest.mark.slow
def test_a_hanging_source_holds_nobody_who_has_keys(source: ScriptedSource) -> None:
    """Keys in hand are served at once; a search ends after its two seconds, for all who wait together."""
    with reader_of(source) as keyset, source.hanging():
        with within(2.5):
            assert in_threads(20, lambda number: keyset.search(f"new-{number}")) == [None] * 20
        with within(0.5):
            for _ in range(1000):
                assert serves(keyset, "k1")
            assert keyset.search("newer") is None
        with within(1):
            assert keyset.refresh(0.3).sequence == 1
        assert source.readings == 2


def test_a_source_that_hangs_at_start_is_bounded(source: ScriptedSource) -> None:
    """Start gives up in time, leaves no thread once the source comes back, and late keys are not accepted."""
    keyset = reader_of(source)
    late = pytest.raises(KeysUnavailableError, match=r"^no keys within 0\.2 s: the source$")
    with source.hanging(), within(1), late:
        keyset.start(0.2)
    until(lambda: not readers_threads())
    assert keyset.status.age is None
    with pytest.raises(KeysUnavailableError, match="reader was closed"):
        keyset.verifying()


def test_a_reader_that_is_started_again_never_reads_twice_at_once(source: ScriptedSource) -> None:
    """The next refresh waits for one still under way, whose answer does not replace a later one."""
    keyset = reader_of(source).start()

    def refresh() -> None:
        with suppress(KeysUnavailableError):  # closed meanwhile
            keyset.refresh(0.1)

    with source.hanging():
        threading.Thread(target=refresh).start()
        until(lambda: source.readings == 2)
        keyset._refresher.stop(0.0)
        source.document = keys(3)
        keyset.start(0)
        time.sleep(0.1)
        assert len(readers_threads()) == 2
    until(lambda: serves(keyset, "k3"))
    until(lambda: len(readers_threads()) == 1)
    assert not source.overlapped
    keyset.close()


@pytest.mark.slow
@pytest.mark.serial
def test_polls_come_within_half_the_propagation_time_whatever_was_asked_for() -> None:
    """Also if a fetch takes long: counted from one beginning to the next."""
    source = ScriptedSource(keys(1, timing=Timing(timedelta(seconds=1), MINUTE, MINUTE)))

    def slow(known: Keys | None) -> Keys:
        time.sleep(0.15)
        return source.unchanged(known)

    source.answer = slow
    with reader_of(source, poll_interval=timedelta(hours=1)):
        until(lambda: source.readings == 6)
    pauses = [later - earlier for earlier, later in itertools.pairwise(source.began)]
    assert max(pauses) < 0.55
    assert min(pauses) > 0.35


def test_keys_do_not_grow_stale_between_polls(source: ScriptedSource, time_: Leaping) -> None:
    """A short max_stale makes polls more frequent, or a healthy service would refuse everything now and then."""
    with reader_of(source, time_, max_stale=MINUTE, poll_interval=timedelta(hours=1)) as keyset:
        for expected in range(2, 6):
            time_.leap(30)
            until(lambda n=expected: source.readings == n)
            assert not keyset.status.stale
