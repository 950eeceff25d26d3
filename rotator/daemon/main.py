"""
The daemon: parts put together, one waking job, signals, and a clean end.
"""

import faulthandler
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler

from rotator.adapters.files.last_seen import LastSeenFiles
from rotator.config.settings import Settings
from rotator.daemon import systemd
from rotator.daemon.admin_pages import AdminServer, Readiness
from rotator.daemon.assembly import assemble, make_board
from rotator.daemon.jwks_pages import JwksServer
from rotator.errors import ConfigError
from rotator.ports.log import Log
from rotator.reconcile.alarms import Alarm
from rotator.telemetry.metrics import KeysetSample, Metrics
from rotator.wiring import redis_arguments

STOP_TIMEOUT = 20.0


class Daemon:
    """
    Everything `rotator run` is made of. `start`, then `wait` until a signal or `stop`, then `close`.

    Raises ConfigError on construction when a listener, folder or credential cannot be had.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._stop = threading.Event()
        self._beat = time.monotonic()
        self._started = False
        self.metrics = Metrics(self)
        memory = LastSeenFiles(settings.daemon.state_dir)
        self.board = make_board(settings, memory, log)
        http, admin = settings.publish.http, settings.admin_http
        self.jwks_server = JwksServer(http, self.board, tuple(settings.keysets)) if http else None
        self.admin_server = AdminServer(admin, self, self.metrics) if admin else None
        jwks_server = self.jwks_server
        own_url = (lambda: f"http://{jwks_server.address}") if jwks_server else None
        self._parts = assemble(settings, log, memory, self.board, own_url, self.metrics.observe_request)
        self.alarms, self.store, self.rounds = self._parts.alarms, self._parts.store, self._parts.rounds
        self._workers = ThreadPoolExecutor(settings.daemon.workers, thread_name_prefix="worker")
        self._hints = None
        if (arguments := redis_arguments(settings)) is not None:
            from rotator.adapters.redis.listener import HintListener

            a = arguments
            self._hints = HintListener(
                a.url,
                a.channel,
                a.source,
                a.username,
                a.password,
                a.ca_file,
                on_hint=self.rounds.hint,
                on_gap=self.rounds.make_all_due,
            )
        self._period = min([1.0, *(p.timing.propagation_time.total_seconds() / 10 for p in settings.keysets.values())])
        self._fingerprint: object = None
        self._scheduler = BackgroundScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """
        Start listeners, hints and the waking job; the first look at every keyset begins at once.
        """
        for server in (self.jwks_server, self.admin_server):
            if server:
                server.start()
        if self._hints:
            self._hints.start()
        self._scheduler.add_job(self._tick, "interval", seconds=self._period, id="tick", replace_existing=True)
        self._scheduler.add_listener(
            self._scheduler_event, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES
        )
        self._scheduler.start()
        self._tick()
        self._log.info(
            "started",
            keysets=len(self.rounds.watches),
            jwks=self.jwks_server.address if self.jwks_server else "",
            admin=self.admin_server.address if self.admin_server else "",
        )

    def _tick(self) -> None:
        self._beat = time.monotonic()
        if self._stop.is_set():
            return
        if (seen := self.store.fingerprint()) != self._fingerprint:
            self._fingerprint = seen
            self.rounds.make_all_due()
        self._workers.submit(self._maintain)
        self.rounds.tick(self._workers)

    def _maintain(self) -> None:
        try:
            self.store.maintain()
        except Exception as error:  # noqa: BLE001 - a chore must not end the daemon; the next look meets the store itself
            self._log.warning("token_not_renewed", detail=str(error))

    def _scheduler_event(self, event: JobExecutionEvent) -> None:
        error = getattr(event, "exception", None)
        self._log.error("tick_failed", code=event.code, detail=str(error) if error else "")
        if isinstance(error, SystemExit | KeyboardInterrupt):
            self.stop()

    def wait(self, reload: threading.Event) -> bool:
        """
        Tell systemd what is true, once a second or faster, until `stop` is called (False) or *reload* is set (True).
        """
        interval = min(1.0, systemd.watchdog_interval() or 1.0)
        said = ""
        while not self._stop.wait(interval):
            readiness = self.readiness()
            status = self._status(readiness)
            if not self._started and self._serving():
                self._started = True
                systemd.notify(READY="1", STATUS=status)
                self._log.info("ready", detail=status)
            elif not self._started:
                systemd.notify(EXTEND_TIMEOUT_USEC="60000000", STATUS=status)
            elif status != said:
                systemd.notify(STATUS=status)
            said = status
            if self.alive():
                systemd.notify(WATCHDOG="1")
            if reload.is_set():
                return True
        return False

    def stop(self) -> None:
        """
        Ask for the end; safe to call from a signal handler.
        """
        self._parts.reconciler.stopping = True
        self._stop.set()

    def close(self, *, reloading: bool = False) -> None:
        """
        End everything at the next step boundary: no new save begins, and what is under way has its deadline.
        """
        if reloading:
            systemd.notify(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
        else:
            systemd.notify(STOPPING="1")
        self.stop()
        self._scheduler.shutdown(wait=False)
        if self._hints:
            self._hints.stop()
        self._workers.shutdown(wait=False, cancel_futures=True)
        patience = time.monotonic() + STOP_TIMEOUT
        while any(thread.name.startswith("worker") and thread.is_alive() for thread in threading.enumerate()):
            if time.monotonic() > patience:
                break
            time.sleep(0.02)
        for server in (self.jwks_server, self.admin_server):
            if server:
                server.stop()
        self._parts.close()
        self._log.info("stopped")

    # -- what it says of itself ----------------------------------------------------------------------------------------

    def alive(self) -> bool:
        """
        Whether the waking job has run lately.
        """
        return time.monotonic() - self._beat < max(5.0, 5 * self._period)

    def _serving(self) -> bool:
        """
        Whether every keyset was looked at with success, or is served from memory.
        """
        return all(
            watch.view is not None or self.board.get(name) is not None for name, watch in self.rounds.watches.items()
        )

    def readiness(self) -> Readiness:
        """
        Return whether every keyset is seen freshly, rotates on time and is not frozen; and the alarms that stand.
        """
        now, lines = time.monotonic(), {}
        alarms = self.alarms.active()
        for name, watch in self.rounds.watches.items():
            seen, limit = watch.seen_at, max(2.0, watch.policy.timing.propagation_time.total_seconds() / 4)
            if seen is None:
                lines[name] = "not looked at yet"
            elif now - seen > limit:
                lines[name] = f"last seen {now - seen:.0f} s ago"
            elif watch.overdue:
                lines[name] = "rotation overdue"
            elif any(alarm.keyset == name and alarm.reason.stalls for alarm in alarms):
                lines[name] = "stalled"
            else:
                lines[name] = "ok"
        return Readiness(all(line == "ok" for line in lines.values()), lines, alarms)

    @staticmethod
    def _status(readiness: Readiness) -> str:
        total = len(readiness.keysets)
        good = sum(line == "ok" for line in readiness.keysets.values())
        worst = next((f"; {alarm.keyset}: {alarm.reason.value}: {alarm.detail}" for alarm in readiness.alarms), "")
        return f"{good} of {total} keysets ok{worst}"[:400].replace("\n", " ")

    def keysets(self) -> Iterable[KeysetSample]:
        """
        Yield what the metrics say of each keyset.
        """
        for name, watch in self.rounds.watches.items():
            keyset = watch.view.keyset if watch.view else None
            keys = tuple(keyset.keys()) if keyset else ()
            states = {"next": 0, "current": 0, "old": 0}
            created: dict[str, datetime] = {}
            for key in keys:
                state = type(key).__name__.removesuffix("Key").lower()
                states[state] += 1
                created[state] = min(created.get(state, key.created_at), key.created_at)
            yield KeysetSample(
                name=name,
                sequence=keyset.sequence if keyset else 0,
                states=states,
                created=created,
                rotates_at=keyset.rotates_at if keyset else None,
                last_success=watch.last_success,
                notify_pending=name in self._parts.effects.unannounced,
                rotations=watch.rotations,
            )

    def active(self) -> tuple[Alarm, ...]:
        """
        Return the alarms that stand.
        """
        return self.alarms.active()

    def token_expires_at(self) -> datetime | None:
        """
        Return when the Vault token expires, None where there is none or it never does.
        """
        return self.store.token_expires_at


def run(settings: Settings, log: Log, read_again: Callable[[], Settings]) -> bool:
    """
    Run until SIGTERM or SIGINT (False), or until SIGHUP finds that *read_again* returns a faultless configuration (True).

    A faulty one is told in the log, and the daemon goes on as it is.
    """
    systemd.no_core_dumps()
    faulthandler.enable()
    daemon = Daemon(settings, log)
    reload = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            reload.set()
        else:
            daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    daemon.start()
    changed = False
    try:
        while not changed and daemon.wait(reload):
            reload.clear()
            try:
                read_again()
            except ConfigError as error:
                for fault in error.faults:
                    log.error("configuration_refused", detail=fault)  # noqa: TRY400 - the fault says it all
            else:
                log.info("configuration_changed")
                changed = True
    finally:
        daemon.close(reloading=changed)
    return changed
