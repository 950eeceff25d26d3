"""
The composition root: the one place that knows which adapters the daemon, one pass and the commands are made of.

Adapters are imported when they are used, so that a command does not pay for those of the daemon.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rotator.adapters.credentials import read_secret, require_authorities
from rotator.config.settings import RedisSettings, Settings, VaultSettings
from rotator.model.policy import Policy

if TYPE_CHECKING:
    from rotator.adapters.jwks.cache import JwksCache
    from rotator.adapters.redis.connection import RedisConnection
    from rotator.adapters.redis.listener import HintListener
    from rotator.adapters.vault.login.method import LoginMethod
    from rotator.adapters.vault.store import VaultStore
    from rotator.model.event import Hint
    from rotator.ports.last_seen import LastSeenStore
    from rotator.ports.log import Log
    from rotator.ports.notifier import Notifier
    from rotator.ports.probe import StoreProbe
    from rotator.ports.store import ArchiveStore, DocumentStore
    from rotator.reconcile.alarms import Alarms
    from rotator.reconcile.operator_effects import Operator
    from rotator.reconcile.publishing import Publishing
    from rotator.reconcile.reconciler import Reconciler
    from rotator.reconcile.work_queue import WorkQueue

Observe = Callable[[str, str], None]
OwnUrl = Callable[[], str]
MAX_OPERATION = 10.0
MIN_OPERATION = 2.0


class Engine(NamedTuple):
    """
    What keeps keysets fresh: every part of the daemon but its listeners, signals and schedule.
    """

    alarms: "Alarms"
    cache: "JwksCache"
    last_seen: "LastSeenStore"
    store: "DocumentStore"
    publishing: "Publishing"
    reconciler: "Reconciler"
    queue: "WorkQueue"

    def maintain(self) -> None:
        """
        Do the store's chores, and notice what happens to the feed.

        What needs a person before the store stops working becomes an alarm.
        """
        from rotator.model.reasons import AlarmReason

        if trouble := self.store.maintain():
            self.alarms.raise_("", AlarmReason.TOKEN, trouble)
        else:
            self.alarms.clear("", AlarmReason.TOKEN)
        self.publishing.watch_feed()

    def take_over(self, before: "Engine", *, same_store: bool) -> None:
        """
        Go on where *before* ended: what it served, its alarms, and what it knew of the keysets that are in both.
        """
        names = [tracker.name for tracker in self.queue.trackers]
        self.alarms.take_over(before.alarms, names)
        self.cache.take_over(before.cache, names)
        self.publishing.take_over(before.publishing)
        self.queue.take_over(before.queue, same_store=same_store)

    def close(self) -> None:
        """
        Give back connections, file locks, and the token that a login granted.
        """
        self.publishing.close()
        self.store.close()


def wire_engine(
    settings: Settings,
    log: "Log",
    own_url: OwnUrl | None = None,
    observe: Observe | None = None,
    last_seen: "LastSeenStore | None" = None,
    *,
    patient: bool = False,
) -> Engine:
    """
    Join what *settings* name.

    *own_url* tells the address of our listener once it is bound, if there is one; *observe* is told of each request to
    Vault; *last_seen* is what an engine of the same state_dir uses already. A *patient* pass waits until the addresses
    that it reads back have answered, for there is no next one. Raises ConfigError or FrozenError if a part cannot be
    had.
    """
    from rotator.adapters.clocks import LOCAL_CLOCKS
    from rotator.adapters.files.clock_memory import ClockFiles
    from rotator.adapters.files.last_seen import LastSeenFiles
    from rotator.adapters.jwks.cache import JwksCache
    from rotator.adapters.jwks.places import make_publishers
    from rotator.adapters.keygen import Keygen
    from rotator.reconcile.alarms import Alarms
    from rotator.reconcile.clock_trust import ClockTrust
    from rotator.reconcile.effects import Effects
    from rotator.reconcile.forgotten import Forgotten, remembered
    from rotator.reconcile.last_known import LastKnown
    from rotator.reconcile.loading import Loader
    from rotator.reconcile.publishing import Publishing
    from rotator.reconcile.reconciler import Reconciler
    from rotator.reconcile.saving import SeenRecord
    from rotator.reconcile.tracker import Tracker
    from rotator.reconcile.work_queue import WorkQueue

    last_seen = last_seen or LastSeenFiles(settings.daemon.state_dir)
    alarms = Alarms(log)
    policies = {**settings.keysets, **remembered(settings.keysets, last_seen, log)}
    sharing = list(in_combined_set(policies))
    cache = JwksCache(sharing)
    store = make_store(settings, log, state_dir=settings.daemon.state_dir, observe=observe)
    notifier, loader = make_notifier(settings), Loader(store)

    def wake(name: str) -> None:
        queue.make_due(name)

    publishers = make_publishers(
        settings.publish,
        store,
        loader.seals.get,
        log,
        cache=cache,
        own_url=own_url,
        on_result=None if patient else wake,
    )
    publishing = Publishing(publishers, notifier, alarms, log)
    seen = SeenRecord(last_seen, alarms)
    effects = Effects(store, loader, publishing, Keygen(), seen, log, LOCAL_CLOCKS, sharing)
    trust = ClockTrust(ClockFiles(settings.daemon.state_dir), alarms)
    reconciler = Reconciler(store, loader, effects, publishing, last_seen, cache, alarms, log, LOCAL_CLOCKS, trust)
    queue = WorkQueue(
        (Tracker(name, policy) for name, policy in policies.items()),
        reconciler,
        LastKnown(store, loader.seals, last_seen, cache, publishing),
        notifier,
        alarms,
        log,
        LOCAL_CLOCKS,
        settings.daemon.poll_interval,
        limited=lambda: store.limited,
        hang_after=10 * deadline(settings),
    )
    period = min(policy.timing.propagation_time for policy in policies.values()).total_seconds()
    forgotten = Forgotten(store, loader.seals, queue, cache, sharing, alarms, log, LOCAL_CLOCKS, period)
    # A host that remembers nothing must not serve a combined set that lacks keysets which were in it.
    queue.discover_with(forgotten.find, first=not last_seen.names())
    return Engine(alarms, cache, last_seen, store, publishing, reconciler, queue)


def wire_operator(settings: Settings, log: "Log") -> "Operator":
    """
    Join what a command needs: it writes the store and Redis; files and listeners belong to the daemon.
    """
    from rotator.adapters.clocks import LOCAL_CLOCKS
    from rotator.adapters.files.clock_memory import ClockFiles
    from rotator.adapters.jwks.places import make_publishers
    from rotator.adapters.keygen import Keygen
    from rotator.reconcile.alarms import Alarms
    from rotator.reconcile.clock_trust import ClockTrust
    from rotator.reconcile.loading import Loader
    from rotator.reconcile.operator_effects import Operator, OperatorEffects
    from rotator.reconcile.publishing import Publishing
    from rotator.reconcile.saving import SeenRecord

    store, alarms = make_store(settings, log), Alarms(log)
    notifier, loader = make_notifier(settings), Loader(store)
    publishers = make_publishers(settings.publish, store, loader.seals.get, log)
    publishing = Publishing(publishers, notifier, alarms, log)
    seen, sharing = SeenRecord(None, alarms), in_combined_set(settings.keysets)
    trust = ClockTrust(ClockFiles(settings.daemon.state_dir, writable=False))
    effects = OperatorEffects(store, loader, publishing, Keygen(), seen, log, LOCAL_CLOCKS, sharing)
    return Operator(store, loader, publishing, effects, trust)


def in_combined_set(policies: Mapping[str, Policy]) -> tuple[str, ...]:
    """
    Return the names of the keysets in the combined JWKS.
    """
    return tuple(name for name, policy in policies.items() if policy.well_known and not policy.algorithm.symmetric)


def make_store(
    settings: Settings, log: "Log", *, state_dir: Path | None = None, observe: Observe | None = None
) -> "ArchiveStore":
    """
    Return the store that the settings name.

    With *state_dir*, failed logins are remembered there, and a token that a login granted is revoked at the end.
    """
    if settings.store.backend == "file":
        from rotator.adapters.files.store import FileStore

        return FileStore(settings.store.path)
    return _vault_store(settings, log, state_dir, observe)


def make_probed_store(settings: Settings, log: "Log") -> "tuple[DocumentStore, StoreProbe | None]":
    """
    Return the store that the settings name and what asks it for rights and settings; None for files, which have neither.

    Both share one login.
    """
    if settings.store.backend == "file":
        return make_store(settings, log), None
    from rotator.adapters.vault.probe import VaultProbe

    store = _vault_store(settings, log, None, None)
    return store, VaultProbe(store.session)


def _vault_store(settings: Settings, log: "Log", state_dir: Path | None, observe: Observe | None) -> "VaultStore":
    from rotator.adapters.vault.session import VaultConnection
    from rotator.adapters.vault.store import VaultStore

    vault = settings.vault
    connection = VaultConnection(
        vault.address,
        vault.namespace,
        vault.ca_file,
        _login_of(vault),
        log,
        attempts_file=state_dir / "login.json" if state_dir else None,
        deadline=deadline(settings),
        observe=observe,
        watch_standby=state_dir is not None,
        revoke_at_close=state_dir is not None,
    )
    return VaultStore(connection, vault.mount, vault.prefix)


def _login_of(vault: VaultSettings) -> "LoginMethod":
    if vault.token is None and vault.auth == "approle":
        from rotator.adapters.vault.login.approle import AppRoleLogin

        return AppRoleLogin(vault.role_id_file, vault.secret_id_file)
    from rotator.adapters.vault.login.token import TokenLogin

    return TokenLogin(vault.token or read_secret(vault.token_file, "[vault] token_file"))


def deadline(settings: Settings) -> float:
    """
    Return the seconds that one operation of the store may last: at most a quarter of the shortest propagation time.

    A save that commits late makes a key old later than its document says; signers poll within half of P, so this much is free.
    """
    shortest = min(policy.timing.propagation_time.total_seconds() for policy in settings.keysets.values())
    return min(MAX_OPERATION, max(MIN_OPERATION, shortest / 4))


def make_notifier(settings: Settings) -> "Notifier | None":
    """
    Return the notifier, None if no notification is configured.
    """
    if settings.redis is None:
        return None
    from rotator.adapters.redis.notifier import RedisNotifier

    return RedisNotifier(_redis_connection(settings.redis), settings.redis.channel, settings.source)


def make_hint_listener(
    settings: Settings, *, on_hint: "Callable[[Hint], None]", on_gap: Callable[[], None]
) -> "HintListener | None":
    """
    Return the listener for hints of changes, None if no notification is configured.
    """
    if settings.redis is None:
        return None
    from rotator.adapters.redis.listener import HintListener

    connection = _redis_connection(settings.redis)
    return HintListener(connection, settings.redis.channel, settings.source, on_hint=on_hint, on_gap=on_gap)


def _redis_connection(redis: RedisSettings) -> "RedisConnection":
    from rotator.adapters.redis.connection import RedisConnection

    require_authorities(redis.ca_file, "[redis] ca_file")
    password = read_secret(redis.password_file, "[redis] password_file") if redis.password_file else None
    return RedisConnection(redis.url, redis.username, password, redis.ca_file)
