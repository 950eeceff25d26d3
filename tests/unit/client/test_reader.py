"""
A keyset kept fresh: one reading however many ask, the last good keys through any fault, and none that are too old.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from rotator.client import (
    ConfigError,
    InvalidTokenError,
    Keys,
    KeysetReader,
    KeysUnavailableError,
    Rejection,
    Signer,
    Verifier,
)
from rotator.client.jose.keys import DEFAULT_TIMING
from rotator.client.refresh import Pace
from rotator.errors import KeyMaterialError, PublicationError, StoreDeniedError, StoreUnavailableError
from rotator.model.policy import Timing
from tests.support.scripted import (
    EPOCH,
    TIMING,
    HandMadeHints,
    Leaping,
    ScriptedSource,
    forked,
    forks,
    keys,
    reader_of,
    readers_threads,
    serves,
    settled,
    until,
    within,
)

P = TIMING.propagation_time
COOLDOWN = 30
QUIET = 0.2
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Whatever a test does to a reader, its thread ends with it."""
    yield
    until(lambda: not readers_threads())


@pytest.fixture(name="time_")
def _leaping() -> Leaping:
    """A clock that leaps."""
    return Leaping()


@pytest.fixture(name="source")
def _source() -> ScriptedSource:
    """A source with the first save in it."""
    return ScriptedSource()


def in_threads(count: int, work: Callable[[int], object]) -> list[Any]:
    """Do *work* in so many threads that begin together; return what each returned."""
    barrier = threading.Barrier(count)

    def one(number: int) -> object:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


# -- one reading, however many ask -------------------------------------------------------------------------------------


@pytest.mark.parametrize("started", [False, True], ids=["never started", "started without waiting"])
def test_a_cold_start_is_one_reading(source: ScriptedSource, started: bool) -> None:
    """A hundred threads that come before there are keys wait for the one reading, and all get its keys."""
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
    """A thousand forged kids from twenty threads: one reading; none until the cooldown is over, then one."""
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
    """Twenty threads with a token of a new key wait for one reading, and all get the key."""
    with reader_of(source) as keyset:
        source.document = keys(2, "k1", "new")
        found = in_threads(20, lambda _: keyset.search("new"))
    assert [found_keys.sequence for found_keys in found] == [2] * 20
    assert source.readings == 2


def test_a_search_after_a_hint_is_always_one_more(source: ScriptedSource) -> None:
    """The cooldown holds what nobody told of; who was told of a change may look, once."""
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
    """After the cooldown the next search reads anew, although nobody waited for the end of the last."""
    with reader_of(source, time_, pace=Pace(min_gap=0.02, search_timeout=0.5)) as keyset:
        with source.hanging():
            assert keyset.search("new") is None
        until(lambda: keyset._refresher._done == 2)
        time_.leap(COOLDOWN)
        source.document = keys(2, "new")
        assert keyset.search("new") is not None


def test_refresh_reads_now(source: ScriptedSource) -> None:
    """Also within the cooldown, and with caches told to look again."""
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


# -- hints -------------------------------------------------------------------------------------------------------------


def test_hints_bring_changes_at_once(source: ScriptedSource) -> None:
    """Ten changes in a row, each told by one hint, are each there within moments."""
    hints = HandMadeHints()
    with reader_of(source, hints=hints) as keyset:
        for sequence in range(2, 12):
            source.document = keys(sequence)
            hints.hint("web", EPOCH, sequence)
            until(lambda n=sequence: serves(keyset, f"k{n}"), 0.5)
        assert source.readings == 11


def test_hints_of_nothing_new_are_not_followed(source: ScriptedSource) -> None:
    """What was read already, and another keyset; the same unknown thing a hundred times over costs a reading or two."""
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


def test_a_forged_hint_does_not_mute_the_true_one(source: ScriptedSource) -> None:
    """Whoever foretells the next sequence only has it read once for nothing."""
    hints = HandMadeHints()
    with reader_of(source, hints=hints) as keyset:
        hints.hint("web", EPOCH, 2)
        settled(source, 1)  # until it is no longer looked for
        source.document = keys(2)
        hints.hint("web", EPOCH, 2)
        until(lambda: serves(keyset, "k2"), 5)


def test_a_jwks_served_a_moment_after_the_hint_is_found(
    source: ScriptedSource,
) -> None:
    """A command announces what it saved before the daemon serves it; a JWKS tells no sequence, so it is looked at again."""
    source.document = keys(0, epoch="")
    hints = HandMadeHints()
    with KeysetReader(source, hints=hints) as keyset:
        hints.hint("web", EPOCH, 2)
        until(lambda: source.readings == 2, 2)
        time.sleep(0.5)
        source.document = keys(2, epoch="")
        until(lambda: serves(keyset, "k2"), 4)


def test_searching_takes_none_of_an_event_loops_threads(source: ScriptedSource) -> None:
    """A hundred tasks whose tokens name unknown kids wait for one reading, and the loop's one thread stays free meanwhile."""

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


def test_starting_that_is_cancelled_late_ends_all_the_same(source: ScriptedSource) -> None:
    """`async with` cancelled when the start has just succeeded leaves no thread behind."""
    keyset = reader_of(source)

    async def use() -> None:
        async with keyset:
            await asyncio.sleep(100)

    async def cancel_late() -> None:
        task = asyncio.ensure_future(use())
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - the loop is busy while the start succeeds in its thread
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_late())
    until(lambda: not readers_threads(), 2)


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
    """A standby shows the old document for a while after the hint: nobody waits for the poll."""
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


# -- the last good keys ------------------------------------------------------------------------------------------------

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
    """Whatever a reading raises, the keys stay, the fault is told, and the next good reading mends it."""
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


def test_an_empty_set_is_refused_at_start(source: ScriptedSource) -> None:
    """No keys at all are no keys to start with."""
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


# -- too old -----------------------------------------------------------------------------------------------------------


def test_verifying_ends_at_max_stale(source: ScriptedSource, time_: Leaping) -> None:
    """Until then with the last good keys, from then on not at all, and again with the next good reading."""
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
        time_.leap(30)  # the longest that a failed reading is not tried again
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
    """From then on others may have retired the key, so that nobody would verify what it signs."""
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
    """A reading that was under way through a suspend brings keys as old as the suspend."""
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
    """Nobody is refused because the machine slept, and nobody gets keys from before."""
    with reader_of(source, time_, max_stale=timedelta(hours=1)) as keyset:
        source.document = keys(2)
        time_.leap(timedelta(hours=8))
        found = in_threads(20, lambda _: keyset.verifying().sequence)
        assert found == [2] * 20
        assert settled(source, QUIET) <= 3


def test_stale_keys_do_not_make_every_caller_wait(source: ScriptedSource, time_: Leaping) -> None:
    """While the source is away, who asks is refused at once: readings are tried again by themselves."""
    with reader_of(source, time_, max_stale=MINUTE) as keyset:
        source.fail(OSError())
        time_.leap(90)
        until(lambda: keyset.status.fault)
        with within(0.5):
            for _ in range(100):
                with pytest.raises(KeysUnavailableError):
                    keyset.verifying()
        assert source.readings < 5


# -- a source that hangs -----------------------------------------------------------------------------------------------


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
    """Start gives up in its time, leaves no thread once the source comes back, and what came too late is not taken."""
    keyset = reader_of(source)
    late = pytest.raises(KeysUnavailableError, match=r"^no keys within 0\.2 s: the source$")
    with source.hanging(), within(1), late:
        keyset.start(0.2)
    until(lambda: not readers_threads())
    assert keyset.status.age is None
    with pytest.raises(KeysUnavailableError, match="reader was closed"):
        keyset.verifying()


def test_a_reader_that_is_started_again_never_reads_twice_at_once(source: ScriptedSource) -> None:
    """Its last reading may still be under way: the next waits for it, and an answer from before does not replace a later one."""
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


# -- polling -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_polls_come_within_half_the_propagation_time_whatever_was_asked_for() -> None:
    """Also where a reading takes long: from one beginning to the next."""
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


# -- those who want to know --------------------------------------------------------------------------------------------


def test_on_change_is_told_once_of_each_change(source: ScriptedSource) -> None:
    """At once where there are keys, and not at readings that bring nothing new."""
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
    """The others are told, and the reader goes on."""

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
    """From the reading thread: no deadlock."""
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
    """Who waits for a reading has it before others are told."""
    over = threading.Event()
    keyset = reader_of(source)
    keyset.on_change(lambda _: over.wait(10))
    with within(2):
        keyset.start()
    over.set()
    keyset.close()


def test_who_registers_amid_changes_misses_none(source: ScriptedSource) -> None:
    """Everybody is told each change once, in order, up to the last."""
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
    """Nobody ends with older keys than there are because two threads told them in the wrong order."""
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


# -- beginning and end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StoreDeniedError("denied: needs read on kv/data/x"), "denied: needs read on kv/data/x"),
        (ConnectionRefusedError(), "the source: ConnectionRefusedError"),
    ],
    ids=["ours", "foreign"],
)
def test_a_failed_start_names_the_fault(source: ScriptedSource, error: Exception, text: str) -> None:
    """And leaves nothing running."""
    source.fail(error)
    hints = HandMadeHints()
    keyset = reader_of(source, hints=hints)
    with within(2), pytest.raises(KeysUnavailableError) as raised:
        keyset.start(0.2)
    assert str(raised.value) == f"no keys within 0.2 s: {text}"
    assert hints.listening == 0
    until(lambda: not readers_threads())


def test_a_service_may_start_without_keys(source: ScriptedSource) -> None:
    """It refuses at first, and serves once there are some."""
    source.fail(StoreUnavailableError("vault is sealed"))
    keyset = reader_of(source).start(0)
    until(lambda: keyset.status.fault)
    with within(0.5), pytest.raises(KeysUnavailableError, match="none were read yet: vault is sealed"):
        keyset.verifying()
    source.fail(None)
    until(lambda: keyset.status.age is not None, 3)
    assert serves(keyset, "k1")
    keyset.close()


def test_a_closed_reader_says_so_and_reads_no_more(source: ScriptedSource) -> None:
    """What it has would do until the next rotation, and nobody would notice before; nothing wakes it but a start."""
    hints = HandMadeHints()
    keyset = reader_of(source, hints=hints, max_stale=timedelta(hours=1)).start()
    keyset.close()
    keyset.close()
    assert not readers_threads()
    assert hints.listening == 0
    with within(0.5):
        for ask in (keyset.verifying, keyset.signing, keyset.refresh, lambda: keyset.search("new")):
            with pytest.raises(KeysUnavailableError, match="reader was closed"):
                ask()
        with pytest.raises(KeysUnavailableError, match="reader was closed"):
            keyset.verifying(wait=False)
        assert keyset.status.stale
        assert keyset.status.age is None
    assert source.readings == 1
    assert not readers_threads()
    source.document = keys(2)
    with keyset:
        until(lambda: serves(keyset, "k2"))
        assert hints.listening == 1


def test_a_reader_started_again_begins_anew(source: ScriptedSource) -> None:
    """What was taken out meanwhile is not served until the first reading ends, and another epoch is accepted."""
    keyset = reader_of(source)
    told: list[int] = []
    with keyset:
        keyset.on_change(lambda found: told.append(found.sequence))
    source.document = keys(1, 7, epoch="another")
    with source.hanging(), within(1), pytest.raises(KeysUnavailableError, match="no keys within"):
        keyset.start(0.2)
    with keyset:
        assert keyset.status.epoch == "another"
        until(lambda: len(told) == 2)
    source.fail(StoreUnavailableError("vault is sealed"))
    with within(1), pytest.raises(KeysUnavailableError, match="vault is sealed"):
        keyset.start(0.2)


def test_an_impatient_start_ends_nobody_elses(source: ScriptedSource) -> None:
    """Neither a reader that runs without keys, nor one that others wait for."""
    source.fail(StoreUnavailableError("vault is sealed"))
    keyset = reader_of(source).start(0)
    with pytest.raises(KeysUnavailableError, match="vault is sealed"):
        keyset.start(0.2)
    source.fail(None)
    until(lambda: keyset.status.age is not None, 5)
    assert serves(keyset, "k1")
    keyset.close()

    outcomes: dict[float, str] = {}

    def start(patience: float) -> None:
        try:
            keyset.start(patience)
            outcomes[patience] = "started"
        except KeysUnavailableError as error:
            outcomes[patience] = str(error)

    starters = [threading.Thread(target=start, args=(patience,)) for patience in (0.2, 10.0)]
    with source.hanging():
        for starter in starters:
            starter.start()
        starters[0].join()
    starters[1].join()
    assert outcomes == {0.2: "no keys within 0.2 s: the source", 10.0: "started"}
    assert serves(keyset, "k1")
    keyset.close()


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.05])
def test_a_cancelled_block_ends_no_later_one(source: ScriptedSource, pause: float) -> None:
    """A timeout around `async with`, and another try at once: the reader of the second block is not closed under it."""

    async def work(keyset: KeysetReader) -> bool:
        with source.hanging():
            first = asyncio.ensure_future(keyset.__aenter__())
            await asyncio.sleep(0.05)
            first.cancel()
            with suppress(asyncio.CancelledError):
                await first
            await asyncio.sleep(pause)
            second = asyncio.ensure_future(keyset.__aenter__())
            await asyncio.sleep(0.05)
        await second
        await asyncio.sleep(0.2)
        served = serves(keyset, "k1")
        await keyset.__aexit__(None, None, None)
        return served

    for _ in range(3):
        assert asyncio.run(work(reader_of(source)))
    until(lambda: not readers_threads())


def test_options_must_make_sense(source: ScriptedSource) -> None:
    """A duration of nothing, or less, is a mistake."""
    for options in ({"max_stale": timedelta(0)}, {"poll_interval": -MINUTE}, {"cooldown": timedelta(0)}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            reader_of(source, **options)  # type: ignore[arg-type]


def test_hints_that_cannot_be_had_leave_nothing_running(source: ScriptedSource) -> None:
    """Start says why, and there is no reader without the hints that were asked for."""

    class Unusable(HandMadeHints):
        def listen(self, *_: object) -> HandMadeHints:
            raise ConfigError("no address")

    with pytest.raises(ConfigError, match="no address"):
        reader_of(source, hints=Unusable()).start()
    assert not readers_threads()
    assert source.readings == 0


def test_without_a_thread_to_spare_the_keys_in_hand_are_served(
    source: ScriptedSource, monkeypatch: pytest.MonkeyPatch, time_: Leaping
) -> None:
    """A process at its limit of threads does not refuse tokens for that; the next caller tries again."""
    keyset = reader_of(source, time_).start()
    keyset._refresher.reset_after_fork()
    until(lambda: not readers_threads())
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "keyset":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert serves(keyset, "k1")
        assert keyset.status.fault == "can't start new thread"
        time_.leap(timedelta(days=2))
        with within(1), pytest.raises(KeysUnavailableError, match="can't start new thread"):
            keyset.verifying()
        with within(1), pytest.raises(KeysUnavailableError, match="can't start new thread"):
            reader_of(source, time_).start()
    source.document = keys(2)
    assert serves(keyset, "k2")
    keyset.close()


def test_what_looks_for_changes_may_fail(source: ScriptedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread lives, and reads."""
    looks = itertools.count()

    def fail() -> bool:
        next(looks)
        raise ZeroDivisionError

    monkeypatch.setattr(source, "changed", fail)
    with reader_of(source, Leaping()) as keyset:
        until(lambda: next(looks) > 10)
        assert keyset.status.fault == "the source: ZeroDivisionError"
        source.document = keys(2)
        assert keyset.refresh().sequence == 2


def test_status_tells_how_it_is(source: ScriptedSource, time_: Leaping) -> None:
    """For a readiness probe."""
    hints = HandMadeHints()
    keyset = reader_of(source, time_, hints=hints)
    assert (keyset.status.place, keyset.status.age, keyset.status.stale) == ("the source", None, True)
    assert keyset.status.hints == "off"
    with keyset:
        time_.leap(100)
        assert keyset.status.age == pytest.approx(100, abs=2)
        assert keyset.status.hints == "listening"
        hints.fault = "redis at nowhere: connection refused"
        assert keyset.status.hints == hints.fault


def test_public_keys_sign_nothing(source: ScriptedSource) -> None:
    """And who asks for secrets is told that there are none."""
    source.document = Keys(verifying=keys().verifying, epoch=EPOCH, sequence=1)
    with reader_of(source) as keyset:
        with pytest.raises(KeysUnavailableError, match="no key signs here"):
            keyset.signing()
        with pytest.raises(KeysUnavailableError):
            keyset.secrets()


# -- asyncio -----------------------------------------------------------------------------------------------------------


async def longest_pause(during: "asyncio.Future[Any] | asyncio.Task[Any]") -> float:
    """Return the longest time the loop did nothing else until *during* was done."""
    longest, last = 0.0, time.monotonic()
    while not during.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return longest


def test_a_search_does_not_block_the_event_loop(source: ScriptedSource) -> None:
    """Ten tasks verify tokens of an unknown key while the source hangs; the loop goes on."""
    other = ScriptedSource(keys(1, "unknown"))
    pace = Pace(min_gap=0.02, search_timeout=0.7)
    with reader_of(other) as stranger, reader_of(source, pace=pace) as keyset:
        token = Signer(stranger, issuer="i", audience="a").sign("alice")
        good = Signer(keyset, issuer="i", audience="a").sign("alice")
        verifier = Verifier(keyset, issuer="i", audience="a")

        async def main() -> tuple[float, list[object]]:
            tasks = asyncio.gather(*(verifier.averify(token) for _ in range(10)), return_exceptions=True)
            paused = asyncio.create_task(longest_pause(tasks))
            await asyncio.sleep(0.05)
            assert (await verifier.averify(good)).subject == "alice"
            assert not tasks.done()
            return await paused, await tasks

        with source.hanging(), within(3):
            paused, results = asyncio.run(main())
    assert paused < 0.2
    assert [getattr(result, "reason", result) for result in results] == [Rejection.UNKNOWN_KEY] * 10


def test_stale_keys_do_not_block_the_event_loop(source: ScriptedSource, time_: Leaping) -> None:
    """The first task after a suspend waits for a reading in a thread."""
    with reader_of(source, time_) as keyset:
        token = Signer(keyset, issuer="i", audience="a").sign("alice")
        verifier = Verifier(keyset, issuer="i", audience="a")
        time_.leap(timedelta(days=2))

        async def main() -> tuple[float, bool]:
            task = asyncio.create_task(verifier.averify(token))
            paused = asyncio.create_task(longest_pause(task))
            await asyncio.sleep(0.3)
            waiting = not task.done()
            source._open.set()
            assert (await task).subject == "alice"
            return await paused, waiting

        with source.hanging():
            paused, waiting = asyncio.run(main())
    assert waiting
    assert paused < 0.2


def test_async_with_does_not_block_the_event_loop(source: ScriptedSource) -> None:
    """Neither beginning nor end."""

    async def main() -> float:
        async def use() -> None:
            threading.Timer(0.3, source._open.set).start()
            async with reader_of(source) as keyset:
                assert serves(keyset, "k1")

        return await longest_pause(asyncio.create_task(use()))

    with source.hanging():
        assert asyncio.run(main()) < 0.2


def test_a_cancelled_beginning_leaves_nothing_running(source: ScriptedSource) -> None:
    """A task that is cancelled while it waits for keys takes its reader with it."""
    source.fail(StoreUnavailableError("vault is sealed"))
    keyset = reader_of(source)

    async def use() -> None:
        async with keyset:
            pytest.fail("there are no keys")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(use(), 0.3)

    with within(3):
        asyncio.run(main())
    until(lambda: not readers_threads())


# -- forks -------------------------------------------------------------------------------------------------------------


@forks
def test_a_forked_process_verifies_and_reads_by_itself(source: ScriptedSource) -> None:
    """With the keys it was born with, then with a thread and a listener of its own; the parent goes on."""
    hints = HandMadeHints()
    with reader_of(source, hints=hints) as keyset:

        def work() -> object:
            threads = len(readers_threads())
            first = keyset.verifying().sequence
            until(lambda: readers_threads())
            source.document = keys(7)
            hints.hint("web", EPOCH, 7)
            until(lambda: serves(keyset, "k7"))
            then = keyset.status.sequence
            keyset.close()
            return [threads, first, hints.listening, len(readers_threads()), then]

        assert forked(work) == [0, 1, 1, 0, 7]
        source.document = keys(2)
        assert keyset.refresh().sequence == 2
        assert len(readers_threads()) == 1


@forks
@pytest.mark.parametrize("use", ["verifying", "signing", "search", "refresh"])
def test_a_fork_amid_a_reading_locks_nobody_out(source: ScriptedSource, use: str) -> None:
    """The locks that threads of the parent held in that moment are not waited for."""
    hints = HandMadeHints()
    with reader_of(source, hints=hints) as keyset, source.hanging():
        hints.gap()
        until(lambda: source.readings == 2)

        def work() -> object:
            source._open, source._busy = threading.Event(), threading.Lock()
            source._open.set()
            source.document = keys(2, "k2")
            calls: dict[str, Callable[[], object]] = {
                "verifying": keyset.verifying,
                "signing": keyset.signing,
                "search": lambda: keyset.search("k2"),
                "refresh": keyset.refresh,
            }
            calls[use]()
            until(lambda: serves(keyset, "k2"))
            return keyset.signing().sequence

        assert forked(work) == 2


@forks
def test_a_fork_while_locks_are_held_locks_nobody_out(source: ScriptedSource) -> None:
    """Callers, hints and callbacks of the parent hold the reader's locks again and again; no child inherits one for ever."""
    keyset = reader_of(source, hints=(hints := HandMadeHints()))
    held, over = threading.Event(), threading.Event()

    def hold(_: Keys) -> None:
        with keyset._refresher.condition:
            held.set()
            over.wait(20)

    keyset.on_change(hold)
    keyset.start(0)
    held.wait(5)
    try:

        def work() -> object:
            keyset._cache._subscribers.clear()
            hints.gap()
            keyset.on_change(lambda _: None)
            return [keyset.refresh().sequence, keyset.search("new")]

        assert forked(work) == [1, None]
    finally:
        over.set()
        keyset.close()


@forks
def test_who_wants_to_be_told_is_told_in_a_forked_process(source: ScriptedSource) -> None:
    """A framework that was given the secrets once, before the fork, asks for nothing: the child reads all the same."""
    told: list[int] = []
    with reader_of(source) as keyset:
        keyset.on_change(lambda found: told.append(found.sequence))
        source.document = keys(2)

        def work() -> object:
            until(lambda: told[-1] == 2)
            return told

        assert forked(work) == [1, 2]
        assert told == [1]


@forks
def test_a_reader_that_never_started_works_in_a_forked_process(source: ScriptedSource) -> None:
    """GeneratedKey before the fork, used after it."""
    keyset = reader_of(source)
    assert forked(lambda: [keyset.verifying().sequence, len(readers_threads())]) == [1, 1]
    assert source.readings == 0


def test_verifiers_refuse_what_no_reader_has(source: ScriptedSource) -> None:
    """An unknown kid is the token's fault, keys that are too old are ours."""
    other = ScriptedSource(keys(1, "unknown"))
    with reader_of(other) as stranger, reader_of(source) as keyset:
        token = Signer(stranger, issuer="i", audience="a").sign("alice")
        with pytest.raises(InvalidTokenError) as raised:
            Verifier(keyset, issuer="i", audience="a").verify(token)
    assert raised.value.reason is Rejection.UNKNOWN_KEY
