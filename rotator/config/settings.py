"""
The settings of a process, as `rotator.config.load` returns them: complete, validated, frozen.

They have a module of their own so that code which only uses settings does not import pydantic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from rotator.model.policy import Policy
from rotator.model.secret import SecretText


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """
    Where keysets are kept; `path` is the folder of the file backend.
    """

    backend: Literal["vault", "file"]
    path: Path


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """
    How to reach Vault and log in; `token` is VAULT_TOKEN if that applies, and then overrides `auth`.

    `address` has no trailing slash; `mount`, `prefix` and `namespace` have none at either end. The credential files may
    be missing: they are read at log-in. `secret_id_file` is None for a role that takes no secret_id.
    """

    address: str
    mount: str
    prefix: str
    namespace: str
    ca_file: Path | None
    auth: Literal["approle", "token"]
    role_id_file: Path
    secret_id_file: Path | None
    token_file: Path
    token: SecretText | None


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """
    Where changes are announced; `url` holds no credentials.
    """

    url: str
    channel: str
    username: str
    password_file: Path | None
    ca_file: Path | None


@dataclass(frozen=True, slots=True)
class PublishSettings:
    """
    Where verifiers find the JWKS; "" is off.

    `file` is absolute and may hold "{keyset}" in its last part. `ca_file` is for `verify_urls`, beside the authorities of
    the system.
    """

    vault: bool
    file: str
    http: str
    verify_urls: tuple[str, ...]
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """
    How the daemon runs; `poll_interval` is None for "auto", which follows each keyset's propagation time.
    """

    poll_interval: timedelta | None
    workers: int
    state_dir: Path


@dataclass(frozen=True, slots=True)
class LogSettings:
    """
    What is logged, and how.
    """

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["auto", "json", "console"]


@dataclass(frozen=True, slots=True)
class Settings:
    """
    One configuration, from the file `path` and the environment. All paths are absolute.

    `redis` is None if changes are not announced; `admin_http` is "" if there is no admin listener. `keysets` has at
    least one keyset, in the order of the file.
    """

    path: Path
    store: StoreSettings
    vault: VaultSettings
    redis: RedisSettings | None
    publish: PublishSettings
    admin_http: str
    daemon: DaemonSettings
    log: LogSettings
    keysets: Mapping[str, Policy]

    @property
    def source(self) -> str:
        """
        The CloudEvents source of everything that this configuration announces.
        """
        return f"rotator/{self.vault.mount}/{self.vault.prefix}"

    @property
    def target(self) -> str:
        """
        Where changes go, in words that an operator can check before a change.
        """
        if self.store.backend == "file":
            return f"file store {self.store.path}"
        namespace = f" namespace {self.vault.namespace}" if self.vault.namespace else ""
        return f"Vault {self.vault.address}{namespace} at {self.vault.mount}/{self.vault.prefix}"
