"""
The daemon: one waking job, signals, and a clean end.
"""

import faulthandler
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue

from rotator.config.settings import Settings
from rotator.daemon import systemd
from rotator.daemon.admin_pages import AdminServer
from rotator.daemon.file_limit import raise_file_limit
from rotator.daemon.health import Health
from rotator.daemon.jwks_pages import JwksServer
from rotator.daemon.last_resort import busy_workers, ended_within
from rotator.daemon.waker import Waker
from rotator.errors import ConfigError
from rotator.ports.log import Log
from rotator.telemetry.metrics import Metrics
from rotator.wiring import make_hint_listener, wire_engine

STOP_TIMEOUT = 20.0


class Daemon:
    """
    Everything `rotator run` is made of. `start`, then `wait` until a signal or `stop`, then `close`.

    Raises ConfigError on construction if a listener, folder or credential cannot be had.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self._log = log
        self._stopping = False
        self._woken: SimpleQueue[None] = SimpleQueue()
        self._started = False
        self._fingerprint: object = None
        self._period = min([1.0, *(p.timing.propagation_time.total_seconds() / 10 for p in settings.keysets.values())])
        self.metrics = Metrics()
        http, admin = settings.publish.http, settings.admin_http
        self._engine = wire_engine(settings, log, self._own_url if http else None, self.metrics.observe_request)
        self._queue = self._engine.queue
        self.health = Health(self._engine, self._period)
        self.metrics.sample(self.health)
        self.jwks_server = JwksServer(http, self._engine.cache, tuple(settings.keysets)) if http else None
        self.admin_server = AdminServer(admin, self.health, self.metrics) if admin else None
        self._hints = make_hint_listener(settings, on_hint=self._queue.hint, on_gap=self._queue.make_all_due)
        if self._hints:
            self._hints.on_fault = lambda fault: log.warning("hints_lost", detail=fault)
        self._workers = ThreadPoolExecutor(settings.daemon.workers, thread_name_prefix="worker")
        self._waker = Waker(self._wake, self._period, log, on_exit=self.stop)

    def _own_url(self) -> str:
        return f"http://{self.jwks_server.address}" if self.jwks_server else ""

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """
        Start listeners, hints and the waking job. The first pass over every keyset begins at once.
        """
        for server in (self.jwks_server, self.admin_server):
            if server:
                server.start()
        if self._hints:
            self._hints.start()
        self._waker.start()
        self._wake()
        self._log.info(
            "started",
            keysets=len(self._queue.trackers),
            jwks=self.jwks_server.address if self.jwks_server else "",
            admin=self.admin_server.address if self.admin_server else "",
        )

    def _wake(self) -> None:
        self.health.beat()
        if self._stopping:
            return
        if (fingerprint := self._engine.store.fingerprint()) != self._fingerprint:
            self._fingerprint = fingerprint
            self._queue.make_all_due()
        self._workers.submit(self._maintain)
        self._queue.dispatch_due(self._workers)

    def _maintain(self) -> None:
        try:
            self._engine.maintain()
        except Exception as error:  # noqa: BLE001 - a chore must not end the daemon; the next pass meets the store itself
            self._log.warning("token_not_renewed", detail=str(error))

    def wait(self, reload: SimpleQueue[None]) -> bool:
        """
        Tell systemd what is true, once a second or faster, until `stop` is called (False) or *reload* holds something (True).
        """
        interval = min(1.0, systemd.watchdog_interval() or 1.0)
        said = ""
        while self._pause(interval):
            status = self.health.readiness().summary
            if not self._started and self.health.serving():
                self._started = True
                systemd.notify(READY="1", STATUS=status)
                self._log.info("ready", detail=status)
            elif not self._started:
                systemd.notify(EXTEND_TIMEOUT_USEC="60000000", STATUS=status)
            elif status != said:
                systemd.notify(STATUS=status)
            said = status
            if self.health.alive():
                systemd.notify(WATCHDOG="1")
            if not reload.empty():
                return True
        return False

    def _pause(self, seconds: float) -> bool:
        """
        Wait, at most until `stop` is called; return whether the daemon goes on.
        """
        if not self._stopping:
            with suppress(Empty):
                self._woken.get(timeout=seconds)
        return not self._stopping

    def stop(self) -> None:
        """
        Ask for the end. Safe to call from a signal handler: it waits for nothing that the interrupted code may hold.

        An Event would not be: its lock is not reentrant, and the main thread holds it now and then while it waits.
        """
        self._engine.reconciler.stopping = True
        self._stopping = True
        self._woken.put(None)

    def close(self, *, reloading: bool = False) -> None:
        """
        End everything at the next step boundary: no new save begins, and what is under way has its deadline.
        """
        if reloading:
            systemd.notify(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
        else:
            systemd.notify(STOPPING="1")
        self.stop()
        self._waker.stop()
        if self._hints:
            self._hints.stop()
        self._workers.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + STOP_TIMEOUT
        while len(busy_workers()) > self._queue.hanging and time.monotonic() < deadline:
            time.sleep(0.02)
        for server in (self.jwks_server, self.admin_server):
            if server:
                server.close()
        self._engine.close()
        self._log.info("stopped")


def run(settings: Settings, log: Log, read_again: Callable[[], Settings]) -> bool:
    """
    Run until SIGTERM or SIGINT (False), or until SIGHUP finds that *read_again* returns a faultless configuration (True).

    A faulty one is told in the log, and the daemon goes on as it is.
    """
    raise_file_limit()
    faulthandler.enable()
    daemon = Daemon(settings, log)
    reload: SimpleQueue[None] = SimpleQueue()

    def on_signal(number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            reload.put(None)
        else:
            daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    daemon.start()
    changed = False
    try:
        while not changed and daemon.wait(reload):
            while not reload.empty():
                reload.get()
            try:
                read_again()
            except ConfigError as error:
                for fault in error.faults:
                    log.error("configuration_refused", detail=fault)  # noqa: TRY400 - the fault says it all
            else:
                log.info("configuration_changed")
                changed = True
    finally:
        with ended_within(STOP_TIMEOUT + 5, log):
            daemon.close(reloading=changed)
    return changed
