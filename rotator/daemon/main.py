"""
The daemon's life: start, what systemd is told, SIGHUP (`_reload`: build, wait for the passes, swap), the orderly end.
"""

import faulthandler
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from rotator.config.load import warnings
from rotator.config.settings import Settings
from rotator.daemon import systemd
from rotator.daemon.file_limit import raise_file_limit
from rotator.daemon.health import Health
from rotator.daemon.instance import Instance
from rotator.daemon.last_resort import ended_within
from rotator.daemon.listeners import ADMIN, JWKS, Listeners
from rotator.daemon.reload import Candidate, build, rebuild
from rotator.daemon.setup import STOP_TIMEOUT
from rotator.daemon.signals import Signals
from rotator.errors import ConfigError, RotatorError
from rotator.model.reasons import AlarmReason
from rotator.ports.log import Log
from rotator.telemetry import logs
from rotator.telemetry.metrics import Metrics

MAX_BUILD = 30.0
MAX_DRAIN = 20.0
MAX_ABANDON = 2.0
_POLL = 0.02


class Daemon:
    """
    Everything `rotator run` is made of: `start`, then `serve` until it is asked to end, then `close`.

    What belongs to one configuration is a Setup, which a reload replaces; the rest lives as long as the process.
    Raises ConfigError or FrozenError on construction if a listener, folder or credential cannot be had.
    """

    def __init__(self, settings: Settings, log: Log, signals: Signals | None = None) -> None:
        self._log = log
        self._signals = signals or Signals()
        self._instance = Instance(settings.daemon.state_dir)
        self._interval = min(1.0, systemd.watchdog_interval() or 1.0)
        self._told_at = 0.0
        self._told = ""
        self._serving = False
        self._was_ready = False
        self._other_log = False
        self._builder: threading.Thread | None = None
        self.metrics = Metrics()
        self.listeners = Listeners()
        try:
            first = build(settings, log, self.metrics, self.listeners)
        except BaseException:
            self._instance.close()
            raise
        self._put_in_force(first)

    @property
    def health(self) -> Health:
        """
        How the configuration in force fares.
        """
        return self._setup.health

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """
        Start hints and the waking job. The first pass over every keyset begins at once.
        """
        self._say("started")
        self._setup.start(on_exit=self.stop)

    def serve(self, read: Callable[[], Settings]) -> None:
        """
        Tell systemd what is true, once a second or faster, until `stop`; reload with what *read* returns when asked to.
        """
        while self._signals.wait(self._interval):
            self._tell_systemd()
            if self._signals.take_reload():
                self._reload(read)

    def stop(self) -> None:
        """
        Ask for the end. Safe to call from a signal handler.
        """
        self._setup.stop_soon()
        self._signals.stop()

    def close(self) -> None:
        """
        End everything at the next step boundary: no new save begins, and what is under way has its deadline.
        """
        systemd.notify(STOPPING="1")
        self.stop()
        if self._builder:
            self._builder.join(MAX_ABANDON)  # it gives back the token that it logged in for
        self._setup.close()
        self.listeners.close()
        self._instance.close()
        self._log.info("stopped")

    # -- reload --------------------------------------------------------------------------------------------------------

    def _reload(self, read: Callable[[], Settings]) -> None:
        """
        Build what is configured now beside what runs, then swap them; or say why not, and go on as before.
        """
        read_at, self._other_log = time.monotonic(), False
        if self._serving:
            systemd.notify(RELOADING="1", MONOTONIC_USEC=str(int(read_at * 1_000_000)))
        faults: tuple[str, ...] = ()
        try:
            candidate = self._built(read)
            self._make_way(candidate)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old configuration goes on
            if self._signals.stopping:
                return
            faults = self._refuse(error)
        else:
            self._swap(candidate)
        self._instance.answer(read_at, *faults)
        if self._serving:
            systemd.notify(READY="1", STATUS=self.health.readiness().summary)

    def _built(self, read: Callable[[], Settings]) -> Candidate:
        """
        Build in a thread, so that the main thread hears of signals and the watchdog of us. One that hangs is the last.
        """
        if self._builder and self._builder.is_alive():
            raise ConfigError("a file system or Vault hangs since an earlier reload; reload again later, or restart")
        building: Future[Candidate] = Future()
        build = partial(rebuild, read, self._log_for, self.metrics, self.listeners, before=self._setup)
        self._builder = threading.Thread(target=_carry_out, args=(build, building), name="reload", daemon=True)
        self._builder.start()
        if not self._wait_until(building.done, MAX_BUILD):
            building.add_done_callback(lambda late: late.exception() or late.result().abandon())
            raise ConfigError(
                f"it could not be read and built within {MAX_BUILD:.0f} s; is a file system or Vault hung?"
            )
        return building.result()

    def _make_way(self, candidate: Candidate) -> None:
        """
        Wait until no pass is under way, so that no keyset is reconciled by two setups at once.
        """
        self._setup.pause()
        try:
            self._require_rest()
            candidate.change.make_room()
        except BaseException:
            candidate.abandon()
            if not self._signals.stopping:
                self._setup.resume()
            raise

    def _require_rest(self) -> None:
        if not self._wait_until(self._setup.at_rest, MAX_DRAIN):
            raise ConfigError(f"a pass under way did not end within {MAX_DRAIN:.0f} s; reload again when it has")

    def _swap(self, candidate: Candidate) -> None:
        before = self._setup
        candidate.setup.take_over(before)
        if self._other_log:
            self._log = candidate.setup.log
            logs.install_hooks(self._log)
        before.engine.publishing.close()  # its lock on the JWKS file is for the new one
        self._put_in_force(candidate)
        self._setup.engine.alarms.clear("", AlarmReason.CONFIG_REFUSED)
        self._say("configuration_unchanged" if self._setup.settings == before.settings else "configuration_changed")
        self._setup.start(on_exit=self.stop)
        try:
            before.close()
        except Exception:  # noqa: BLE001 - what it leaves open is lost, the new setup works
            self._log.exception("not_closed")

    def _refuse(self, error: Exception) -> tuple[str, ...]:
        if self._other_log:  # it sent the libraries' log there, too
            ours = self._setup.settings.log
            logs.configure(ours.level, ours.format)
        faults = error.faults if isinstance(error, ConfigError) else (str(error),)
        if not isinstance(error, RotatorError):
            faults = (f"{type(error).__name__}: {error}",)
            self._log.exception("reload_failed")
        for fault in faults:
            self._log.error("configuration_refused", detail=fault)
        detail = f"{'; '.join(faults)}; correct it and reload, until then the daemon goes on as before"
        self._setup.engine.alarms.raise_("", AlarmReason.CONFIG_REFUSED, detail)
        self.metrics.configuration_read(accepted=False, at=time.time())
        return faults

    def _put_in_force(self, candidate: Candidate) -> None:
        self._setup = candidate.setup
        self.metrics.sample(candidate.setup.health)
        self.metrics.configuration_read(accepted=True, at=time.time())
        candidate.change.carry_out()

    def _log_for(self, settings: Settings) -> Log:
        """
        Return the log that *settings* ask for: the one in use, unless that part of the configuration changed.
        """
        self._other_log = settings.log != self._setup.settings.log
        if not self._other_log:
            return self._log
        return logs.configure(settings.log.level, settings.log.format)

    # -- what is told --------------------------------------------------------------------------------------------------

    def _wait_until(self, done: Callable[[], bool], seconds: float) -> bool:
        """
        Wait until *done*, for *seconds* at most or until the end is asked for; return whether it is.
        """
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline and self._signals.wait(_POLL):
            self._tell_systemd()
        return done() and not self._signals.stopping

    def _tell_systemd(self) -> None:
        if time.monotonic() - self._told_at < self._interval:
            return
        self._told_at = time.monotonic()
        serving, readiness = self.health.serving(), self.health.readiness()
        status = readiness.summary
        if not self._serving and serving:
            self._serving = True
            systemd.notify(READY="1", STATUS=status)
            if not readiness.some_well:
                self._log.warning("serving_last_known", detail=status)
        elif not self._serving:
            systemd.notify(EXTEND_TIMEOUT_USEC="60000000", STATUS=status)
        elif status != self._told:
            systemd.notify(STATUS=status)
        if self._serving and readiness.some_well and not self._was_ready:
            self._was_ready = True
            self._log.info("ready", detail=status)
        self._told = status
        if self.health.alive():
            systemd.notify(WATCHDOG="1")

    def _say(self, event: str) -> None:
        settings = self._setup.settings
        for warning in warnings(settings) if event != "configuration_unchanged" else ():
            self._log.warning("configuration", detail=warning)
        self._log.info(
            event,
            keysets=len(self._setup.engine.queue.trackers),
            jwks=self.listeners.address(JWKS),
            admin=self.listeners.address(ADMIN),
        )


def _carry_out(build: Callable[[], Candidate], building: "Future[Candidate]") -> None:
    try:
        building.set_result(build())
    except BaseException as error:  # noqa: BLE001 - it is the caller's
        building.set_exception(error)


def run(settings: Settings, log: Log, read: Callable[[], Settings], signals: Signals) -> None:
    """
    Run until SIGTERM or SIGINT. At each SIGHUP the configuration that *read* returns is put in force, or refused.
    """
    raise_file_limit()
    faulthandler.enable()
    daemon = Daemon(settings, log, signals)
    try:
        daemon.start()
        daemon.serve(read)
    finally:
        with ended_within(STOP_TIMEOUT + 5, log):
            daemon.close()
        signals.ignore()
