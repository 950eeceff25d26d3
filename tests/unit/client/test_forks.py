"""
A reader in a forked process: with the keys that it had, then with a thread and a listener of its own.
"""

import threading
from typing import TYPE_CHECKING

import pytest

from rotator.client import InvalidTokenError, Keys, Rejection, Signer, Verifier
from tests.support.scripted import (
    EPOCH,
    HandMadeHints,
    ScriptedSource,
    forked,
    forks,
    keys,
    reader_of,
    readers_threads,
    serves,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


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
    """Callers, hints and callbacks of the parent hold the reader's locks; no child inherits one for ever."""
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
