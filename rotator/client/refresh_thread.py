"""
The one thread of a reader: from a hint, a poll or a caller to fresh keys, in one request however many callers wait.
"""

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta

from rotator.client.cache import READ_TIMEOUT, KeyCache
from rotator.client.errors import KeysUnavailableError
from rotator.client.freshness import Announcements
from rotator.client.protocols import Hints, Listener
from rotator.client.refresh import Pace, RefreshSchedule
from rotator.client.sources.document import Announced, Source
from rotator.model.event import Hint


class RefreshThread:
    """
    Refreshes *cache* from *source* at polls and hints, and when a caller asks.

    It runs from the first call that needs it.

    `thread` is None while it does not run. After a fork the child begins without one: at once if there are
    subscribers to notify, else at the first call that needs it.
    """

    # Replaced in a forked process: there the threads are gone, and the lock may stay locked for ever.
    condition: threading.Condition  # guards what follows and the cache; notified of every change
    thread: threading.Thread | None
    listener: Listener | None
    _schedule: RefreshSchedule
    _starting: int  # how many callers wait in `start`
    _begun: int  # refreshes are numbered from 1; one is under way while more have begun than are done
    _done: int
    _requested: int  # the number of the refresh that was requested last, and when, in monotonic seconds
    _requested_at: float
    _ended: Future[None]  # resolved when the refresh under way, or else the next one, is done

    def __init__(
        self,
        source: Source,
        cache: KeyCache,
        hints: Hints | None,
        poll: timedelta | None,
        cooldown: timedelta | None,
        clock: Callable[[], float],
        pace: Pace,
    ) -> None:
        self._source, self._cache, self._hints = source, cache, hints
        self._poll, self._cooldown = poll, cooldown
        self._clock, self._pace = clock, pace
        self.closed = False
        self.announcements = Announcements(source.place)
        self._reset()
        _threads.add(self)

    # -- beginning and end ---------------------------------------------------------------------------------------------

    def start(self, timeout: float, cancelled: threading.Event) -> threading.Thread | None:
        """
        Run, and wait for keys until *timeout* has passed or *cancelled* is set; return the thread if it was begun here.

        Raises KeysUnavailableError, and then ends a thread begun here, unless others wait for it, too. With a timeout
        of 0 it returns at once.
        """
        with self.condition:
            if cancelled.is_set():
                raise KeysUnavailableError("the start was cancelled")
            self.closed = False
            begun = self.ensure_running()
            if timeout == 0:
                return begun
            self._starting += 1
            self.condition.wait_for(
                lambda: self._cache.cached or self.closed or not self.thread or cancelled.is_set(), timeout
            )
            self._starting -= 1
            failed = self._cache.cached is None or self.closed or cancelled.is_set()
        if failed:
            if begun:
                self.stop(0.0, only=begun)
            raise KeysUnavailableError(f"no keys within {timeout:g} s: {self._cache.fault or self._source.place}")
        return begun

    def ensure_running(self) -> threading.Thread | None:
        """
        Begin the thread unless it runs; return it if it was begun here.

        Raises KeysUnavailableError when closed: a closed reader that still served its old keys would be noticed only
        after the next rotation.
        """
        with self.condition:
            if self.closed:
                raise KeysUnavailableError(
                    f"{self._source.place}: this reader was closed; use it inside its `with`, or start it"
                )
            if self.thread is not None:
                return None
            thread = threading.Thread(target=self._run, name="keyset", daemon=True)
            try:
                if self._hints is not None and self.listener is None:
                    self.listener = self._hints.listen(self._on_hint, self._on_gap)
                thread.start()
            except (
                RuntimeError
            ) as error:  # no more threads: the cached keys are served, and the next caller tries again
                self._cache.fault = str(error)
                return None
            self.thread = thread
            self._request(fresh=False)
            return thread

    def stop(self, timeout: float, only: threading.Thread | None = None) -> None:
        """
        Close: end thread and listener, clear the cache, and wait at most *timeout* seconds for a refresh under way.

        With *only*, do so only if that is the thread that runs, and no caller waits in `start`.
        """
        with self.condition:
            if only is not None and (self.thread is not only or self._starting):
                return
            self.closed = True
            thread, self.thread = self.thread, None
            listener, self.listener = self.listener, None
            self._cache.clear()
            self._wake_callers()
        if listener is not None:
            listener.stop()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def reset_after_fork(self) -> None:
        """
        Replace what a forked process cannot share with its parent.
        """
        ran = self.thread is not None
        self._reset()
        self._cache.reset_locks()
        if ran and self._cache.has_subscribers:
            self.ensure_running()

    def _reset(self) -> None:
        self.condition = threading.Condition()
        self.thread = self.listener = None
        self._schedule = RefreshSchedule(self._poll, self._cooldown, self._pace.min_gap)
        self._starting = self._begun = self._done = self._requested = 0
        self._requested_at = 0.0
        self._ended = Future()

    # -- callers -------------------------------------------------------------------------------------------------------

    def search(self) -> None:
        """
        Refresh if the cooldown for unknown kids is over, and wait for the refresh that was requested last.
        """
        self.ensure_running()
        with self.condition:
            if self._schedule.search(self._clock()):
                self._request()
            self._wait(self._pace.search_timeout)

    async def asearch(self) -> None:
        """
        Do as `search` does. However many tasks wait, none of them holds a thread.
        """
        self.ensure_running()
        with self.condition:
            if self._schedule.search(self._clock()):
                self._request()
            number, until = self._requested, self._requested_at + self._pace.search_timeout
        while (left := until - time.monotonic()) > 0:
            with self.condition:
                if self._done >= number or not self.thread:
                    break
                ended = self._ended
            await asyncio.wait([asyncio.wrap_future(ended)], timeout=left)

    def refresh(self, timeout: float) -> None:
        """
        Refresh now, and wait for it at most *timeout* seconds.
        """
        self.ensure_running()
        with self.condition:
            self._request()
            self._wait(timeout)

    def refresh_if_overdue(self) -> None:
        """
        Wait for a refresh that was requested; request one first if none was even tried for longer than a poll.
        """
        self.ensure_running()
        with self.condition:
            if self._schedule.is_overdue(self._clock()):
                self._request()
            elif self._begun > max(self._done, self._requested) and not self._cache.fault:
                # The thread noticed first, and what it fetches now is what is needed. If fetches fail, no caller
                # waits for one.
                self._requested, self._requested_at = self._begun, time.monotonic()
            self._wait(READ_TIMEOUT)

    def _request(self, *, fresh: bool = True) -> None:
        """
        Let a refresh begin after now. Call it with the condition held, as the next one.
        """
        self._schedule.request(fresh=fresh)
        self._requested, self._requested_at = self._begun + 1, time.monotonic()
        self.condition.notify_all()

    def _wait(self, timeout: float) -> None:
        """
        Wait for the refresh that was requested last, until *timeout* seconds after its request.
        """
        number, left = self._requested, self._requested_at + timeout - time.monotonic()
        self.condition.wait_for(lambda: self._done >= number or not self.thread, max(0.0, left))

    def _wake_callers(self) -> None:
        self.condition.notify_all()
        ended, self._ended = self._ended, Future()
        ended.set_result(None)

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        me = threading.current_thread()
        while (refresh := self._next(me)) is not None:
            began, fresh = refresh
            fetched, may_keep = self._cache.fetch(began, fresh=fresh)
            with self.condition:
                if self.thread is not me:
                    return
                changed = self._cache.accept(fetched)
                self._schedule.end(self._clock(), fetched.keys if fetched else None, may_keep, changed=changed)
                self._done = self._begun
                self._wake_callers()
            self._cache.notify()

    def _next(self, me: threading.Thread) -> tuple[float, bool] | None:
        """
        Wait until a refresh is due, asking the source meanwhile whether it changed.

        Return when the refresh began, and whether it is to be a fresh one; None once *me* is not the reader's thread
        any more.
        """
        checked_at = self._clock()
        while True:
            with self.condition:
                if self.thread is not me:
                    return None
                now, due = self._clock(), self._schedule.due
                if now >= due:
                    self._begun += 1
                    return now, self._schedule.begin(now)
                if (left := min(due, checked_at + self._pace.check_interval) - now) > 0:
                    self.condition.wait(left)
                    continue
            checked_at = now
            self.announcements.tell(self._cache.keys, now)
            if self._cache.source_changed():
                with self.condition:
                    self._schedule.request(fresh=False)

    # -- hints ---------------------------------------------------------------------------------------------------------

    def _on_hint(self, hint: Hint) -> None:
        cached = self._cache.cached
        if self._source.keyset and hint.keyset != self._source.keyset:
            return
        # The Redis may be shared with another rotator, which has a keyset of that name, too.
        if hint.source and isinstance(self._source, Announced) and hint.source != self._source.announced_by:
            return
        # A hint heard before counts again: the first may have been forged, or have come before the JWKS was served.
        if cached and cached.keys.epoch == hint.epoch and cached.keys.sequence >= hint.sequence:
            return
        with self.condition:
            now = self._clock()
            self.announcements.heard(self._cache.keys, hint, now)
            self._schedule.hint(now, hint.epoch, hint.sequence)
            self.condition.notify_all()

    def _on_gap(self) -> None:
        with self.condition:
            self._schedule.hint(self._clock())
            self.condition.notify_all()


_threads: "weakref.WeakSet[RefreshThread]" = weakref.WeakSet()


def _after_fork() -> None:
    for thread in list(_threads):
        thread.reset_after_fork()


os.register_at_fork(after_in_child=_after_fork)
