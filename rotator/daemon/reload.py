"""
The first half of a reload (the rest: `_reload` in `main.py`): build a configuration beside what runs, and prove it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from rotator.adapters.credentials import require_login
from rotator.config.settings import Settings
from rotator.daemon.admin_pages import AdminPages
from rotator.daemon.jwks_pages import JwksPages
from rotator.daemon.listeners import ADMIN, JWKS, Change, Listeners, Wanted
from rotator.daemon.setup import Setup
from rotator.errors import ConfigError, StoreDeniedError, StoreUnavailableError
from rotator.model.document import Tree
from rotator.ports.log import Log
from rotator.telemetry.metrics import Metrics


class Candidate(NamedTuple):
    """
    A setup that was built and does nothing yet, and the step to its listeners.
    """

    setup: Setup
    change: Change

    def abandon(self) -> None:
        """
        Give back what was taken.
        """
        self.change.abandon()
        self.setup.close()


def build(
    settings: Settings, log: Log, metrics: Metrics, listeners: Listeners, before: Setup | None = None
) -> Candidate:
    """
    Build what *settings* name, to be started, or to replace *before*, which goes on untouched meanwhile.

    Raises ConfigError or FrozenError if a part cannot be had. In place of a running one, also if a credential file is
    missing, or if the store answers the running login and not the new one.
    """
    with ExitStack() as undo:
        setup = Setup(settings, log, metrics, lambda: f"http://{listeners.address(JWKS)}", before)
        undo.callback(setup.close)
        wanted = {}
        if settings.publish.http:
            pages = JwksPages(setup.engine.cache, tuple(settings.keysets))
            wanted[JWKS] = Wanted(settings.publish.http, pages.respond)
        if settings.admin_http:
            wanted[ADMIN] = Wanted(settings.admin_http, AdminPages(setup.health, metrics).respond)
        change = Change(listeners, wanted)
        undo.callback(change.abandon)
        if before is not None:
            require_login(settings)
            _require_store(setup, before)
        undo.pop_all()
    return Candidate(setup, change)


def rebuild(
    read: Callable[[], Settings],
    make_log: Callable[[Settings], Log],
    metrics: Metrics,
    listeners: Listeners,
    before: Setup,
) -> Candidate:
    """
    Read the configuration again and build it. Raises ConfigError or FrozenError if it cannot take the place of *before*.
    """
    settings = read()
    if settings.daemon.state_dir != before.settings.daemon.state_dir:
        raise ConfigError("[daemon] state_dir: cannot change while the daemon runs; restart it for that")
    return build(settings, make_log(settings), metrics, listeners, before)


def _require_store(setup: Setup, before: Setup) -> None:
    """
    Read one document. What the running login suffers as well is an outage, and no reason to refuse.
    """
    keysets = setup.settings.keysets
    name = next((name for name in keysets if name in before.settings.keysets), next(iter(keysets)))
    try:
        _read(setup, name)
    except (StoreDeniedError, StoreUnavailableError) as error:
        try:
            _read(before, name)
        except (StoreDeniedError, StoreUnavailableError):
            setup.log.warning("reloaded_without_store", detail=str(error))
            return
        raise ConfigError(f"{error} (the configuration in force reads keys/{name})") from error


def _read(setup: Setup, name: str) -> None:
    setup.engine.store.load(Tree.KEYS, name)
