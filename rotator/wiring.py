"""
The real parts, put together from settings: what the daemon and the commands share.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rotator.config.settings import RedisSettings, Settings
from rotator.errors import ConfigError
from rotator.model.secret import SecretText
from rotator.ports.log import Log
from rotator.ports.notifier import Notifier
from rotator.ports.probe import StoreProbe
from rotator.ports.publisher import JwksPublisher
from rotator.ports.store import DocumentStore

if TYPE_CHECKING:
    from rotator.adapters.jwks.cache import JwksCache
    from rotator.adapters.vault.login.method import LoginMethod
    from rotator.adapters.vault.store import VaultStore

Observe = Callable[[str, str], None]
OwnUrl = Callable[[], str]
MAX_OPERATION = 10.0
MIN_OPERATION = 2.0


@dataclass(frozen=True, slots=True)
class RedisArguments:
    """
    How to reach Redis, with the password read from its file.
    """

    url: str
    channel: str
    source: str
    username: str
    password: SecretText | None
    ca_file: Path | None


def source(settings: Settings) -> str:
    """
    Return the CloudEvents source of everything this configuration announces.
    """
    return f"rotator/{settings.vault.mount}/{settings.vault.prefix}"


def target(settings: Settings) -> str:
    """
    Return where changes go, in words an operator can check before a change.
    """
    if settings.store.backend == "file":
        return f"file store {settings.store.path}"
    vault = settings.vault
    return (
        f"Vault {vault.address}"
        + (f" namespace {vault.namespace}" if vault.namespace else "")
        + f" at {vault.mount}/{vault.prefix}"
    )


def make_store(
    settings: Settings, log: Log, *, state_dir: Path | None = None, observe: Observe | None = None
) -> DocumentStore:
    """
    Return the store that the settings name; failed logins are remembered across restarts in *state_dir*.
    """
    if settings.store.backend == "file":
        from rotator.adapters.files.store import FileStore

        return FileStore(settings.store.path)
    return _vault_store(settings, log, state_dir, observe)


def make_probed_store(settings: Settings, log: Log) -> tuple[DocumentStore, StoreProbe | None]:
    """
    Return the store that the settings name and what asks it for rights and settings; None for files, which have neither.

    Both share one login.
    """
    if settings.store.backend == "file":
        return make_store(settings, log), None
    from rotator.adapters.vault.probe import VaultProbe

    store = _vault_store(settings, log, None, None)
    return store, VaultProbe(store.session)


def _vault_store(settings: Settings, log: Log, state_dir: Path | None, observe: Observe | None) -> "VaultStore":
    from rotator.adapters.vault.store import AppRoleLogin, TokenLogin, VaultConnection, VaultStore

    vault = settings.vault
    login: LoginMethod
    if vault.token is not None:
        login = TokenLogin(vault.token)
    elif vault.auth == "token":
        login = TokenLogin(read_secret(vault.token_file, "[vault] token_file"))
    else:
        login = AppRoleLogin(vault.role_id_file, vault.secret_id_file)
    connection = VaultConnection(
        vault.address,
        vault.namespace,
        vault.ca_file,
        login,
        log,
        attempts_file=state_dir / "login.json" if state_dir else None,
        deadline=deadline(settings),
        observe=observe,
    )
    return VaultStore(connection, vault.mount, vault.prefix)


def deadline(settings: Settings) -> float:
    """
    Return the seconds that one operation of the store may take: at most a quarter of the shortest propagation time.

    A save that commits late makes a key old later than its document says; signers poll within half of P, so this much is free.
    """
    shortest = min(policy.timing.propagation_time.total_seconds() for policy in settings.keysets.values())
    return min(MAX_OPERATION, max(MIN_OPERATION, shortest / 4))


def make_publishers(
    settings: Settings, store: DocumentStore, board: "JwksCache | None", own_url: OwnUrl | None = None
) -> Iterable[JwksPublisher]:
    """
    Yield the publishers in the order they are written: the store, the file, the listener, then what others serve.

    Without a *board* (the commands) only the store is written; files and the listener belong to the daemon.
    """
    from rotator.adapters.jwks.http import HttpPublisher, VerifyUrls
    from rotator.adapters.jwks.store import FilePublisher, StorePublisher

    if settings.publish.vault:
        yield StorePublisher(store)
    if board is not None and settings.publish.file:
        yield FilePublisher(settings.publish.file, board)
    if board is not None and own_url is not None:
        yield HttpPublisher(board, own_url)
    if settings.publish.verify_urls:
        yield VerifyUrls(settings.publish.verify_urls)


def well_known(settings: Settings) -> tuple[str, ...]:
    """
    Return the names of the configured keysets in the combined set.
    """
    return tuple(name for name, policy in settings.keysets.items() if policy.well_known)


def neighbours(names: Collection[str]) -> Callable[[str], Iterable[str]]:
    """
    Return what gives, of the *names* that share the combined set, those beside a keyset.
    """
    return lambda name: (other for other in names if other != name)


def redis_arguments(settings: Settings) -> RedisArguments | None:
    """
    Return how to reach Redis, None when no notification is configured.
    """
    redis: RedisSettings | None = settings.redis
    if redis is None:
        return None
    password = read_secret(redis.password_file, "[redis] password_file") if redis.password_file else None
    return RedisArguments(redis.url, redis.channel, source(settings), redis.username, password, redis.ca_file)


def make_notifier(arguments: RedisArguments | None) -> Notifier | None:
    """
    Return the notifier, None when none is configured.
    """
    if arguments is None:
        return None
    from rotator.adapters.redis.notifier import RedisNotifier

    a = arguments
    return RedisNotifier(a.url, a.channel, a.source, a.username, a.password, a.ca_file)


def read_secret(path: Path, option: str) -> SecretText:
    """
    Return the text of a credential file without its trailing newline; raises ConfigError naming *option*.
    """
    try:
        text = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{option}: {path} cannot be read ({type(error).__name__}); create it or correct the option"
        ) from None
    if not text:
        raise ConfigError(f"{option}: {path} is empty; write the credential into it")
    return SecretText(text)
