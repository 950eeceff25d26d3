"""
A reader from its start to its end, for threads and for asyncio.
"""

import asyncio
import itertools
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from rotator.client import ConfigError, Keys, KeysetReader, KeysUnavailableError, Rejection, Signer, Verifier
from rotator.client.refresh import Pace
from rotator.errors import StoreDeniedError, StoreUnavailableError
from tests.support.scripted import (
    EPOCH,
    HandMadeHints,
    Leaping,
    ScriptedSource,
    keys,
    reader_of,
    readers_threads,
    serves,
    until,
    within,
)

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


MINUTE = timedelta(minutes=1)


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
    """Its old keys would work until the next rotation and hide the mistake; only a start wakes it."""
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
    """Keys retired meanwhile are not served before the first fetch ends, and another epoch is accepted."""
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
    """Start says why, and no reader runs without the hints that it was given."""

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
    """And `secrets` raises, because there are none."""
    source.document = Keys(verifying=keys().verifying, epoch=EPOCH, sequence=1)
    with reader_of(source) as keyset:
        with pytest.raises(KeysUnavailableError, match="no key signs here"):
            keyset.signing()
        with pytest.raises(KeysUnavailableError):
            keyset.secrets()


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
    """The first task after a suspend waits for a refresh in a thread."""
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


def test_starting_that_is_cancelled_late_ends_all_the_same(source: ScriptedSource) -> None:
    """`async with` cancelled when the start has just succeeded leaves no thread behind."""
    keyset = reader_of(source)

    async def use() -> None:
        async with keyset:
            await asyncio.sleep(100)

    async def cancel_late() -> None:
        task = asyncio.ensure_future(use())
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # by now the start is in its thread
        time.sleep(0.3)  # noqa: ASYNC251 - the loop is busy while the start succeeds in its thread
        task.cancel()
        assert keyset.status.age is not None
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_late())
    until(lambda: not readers_threads(), 2)


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
