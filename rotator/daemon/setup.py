"""
What one configuration is made of: everything in the daemon that a reload replaces.
"""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rotator.config.settings import Settings
from rotator.daemon.health import Health
from rotator.daemon.last_resort import busy_workers
from rotator.daemon.waker import Waker
from rotator.ports.log import Log
from rotator.telemetry.metrics import Metrics
from rotator.wiring import Engine, make_hint_listener, wire_engine

STOP_TIMEOUT = 20.0
MAX_WAKE = 2.0
_numbers = itertools.count(1)


class Setup:
    """
    Engine, workers, waking job and hints of one configuration. `start` begins the passes, `close` ends everything.

    *before* is the running one, which it is to replace: `take_over` goes on where that ended. *own_url* tells the
    address of our JWKS listener. Raises ConfigError or FrozenError on construction if a folder or credential cannot be
    had; nothing runs yet then.
    """

    def __init__(
        self, settings: Settings, log: Log, metrics: Metrics, own_url: Callable[[], str], before: "Setup | None" = None
    ) -> None:
        self.settings = settings
        self.log = log
        listening = own_url if settings.publish.http else None
        last_seen = before.engine.last_seen if before else None
        self.engine: Engine = wire_engine(settings, log, listening, metrics.observe_request, last_seen)
        self._queue = self.engine.queue
        self._hints = make_hint_listener(settings, on_hint=self._queue.hint, on_gap=self._queue.make_all_due)
        if self._hints:
            self._hints.on_fault = lambda fault: log.warning("hints_lost", detail=fault)
        self._period = min([1.0, *(p.timing.propagation_time.total_seconds() / 10 for p in settings.keysets.values())])
        self.health = Health(self.engine, self._period)
        self._thread_names = f"worker-{next(_numbers)}"
        self.workers = ThreadPoolExecutor(settings.daemon.workers, thread_name_prefix=self._thread_names)
        self._waker: Waker | None = None
        self._fingerprint: object = None
        self._waking = threading.Lock()
        self._paused = False

    def take_over(self, before: "Setup") -> None:
        """
        Go on where *before* ended, which is paused and at rest.
        """
        self.engine.take_over(before.engine, same_store=_place(self.settings) == _place(before.settings))

    def start(self, on_exit: Callable[[], None]) -> None:
        """
        Start hints and the waking job, which calls *on_exit* if it is told to exit. The first passes begin at once.
        """
        if self._hints:
            self._hints.start()
        self._waker = Waker(self.wake, self._period, self.log, on_exit=on_exit)
        self._waker.start()
        self.wake()

    def wake(self) -> None:
        """
        Hand what is due to the workers.
        """
        self.health.beat()
        with self._waking:
            if self._paused:
                return
            if (fingerprint := self.engine.store.fingerprint()) != self._fingerprint:
                self._fingerprint = fingerprint
                self._queue.make_all_due()
            self.workers.submit(self.maintain)
            self._queue.dispatch_due(self.workers)

    def maintain(self) -> None:
        """
        Do the store's chores.
        """
        try:
            self.engine.maintain()
        except Exception as error:  # noqa: BLE001 - a chore must not end the daemon; the next pass meets the store itself
            self.log.warning("token_not_renewed", detail=str(error))

    # -- the end, for good or for a reload -----------------------------------------------------------------------------

    def stop_soon(self) -> None:
        """
        Let no new save begin. Safe to call from a signal handler.
        """
        self.engine.reconciler.stopping = True

    def pause(self) -> None:
        """
        Begin no more passes; those under way end at their next step. `at_rest` says when.
        """
        self.stop_soon()
        self._paused = True
        if self._waking.acquire(timeout=MAX_WAKE):  # what began before that has ended
            self._waking.release()

    def resume(self) -> None:
        """
        Go on after `pause`.
        """
        self.engine.reconciler.stopping = False
        self._paused = False

    def at_rest(self) -> bool:
        """
        Return whether no pass is under way.
        """
        return not self._queue.busy

    def close(self) -> None:
        """
        End everything at the next step boundary, what is under way has its deadline; give back what was taken.
        """
        self.pause()
        if self._waker:
            self._waker.stop()
        if self._hints:
            self._hints.stop()
        self.workers.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + STOP_TIMEOUT
        while len(busy_workers(f"{self._thread_names}_")) > self._queue.hanging and time.monotonic() < deadline:
            time.sleep(0.02)
        self.engine.close()


def _place(settings: Settings) -> tuple[object, ...]:
    """
    Return what names the documents of *settings*: two of the same place are one store.
    """
    vault = settings.vault
    if settings.store.backend == "file":
        return (settings.store,)
    return (vault.address, vault.namespace, vault.mount, vault.prefix)
