"""
Loads the configuration: a TOML file and the environment become frozen settings, or one error that lists every fault.
"""

import os
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from rotator.config import rules
from rotator.config.rules import Declared, Fault
from rotator.config.schema import (
    KEYSETS,
    TABLES,
    AdminTable,
    DaemonTable,
    KeysetTable,
    LogTable,
    PublishTable,
    RedisTable,
    StoreTable,
    VaultTable,
    read_table,
    safe_name,
    unknown_table,
)
from rotator.config.settings import (
    DaemonSettings,
    LogSettings,
    PublishSettings,
    RedisSettings,
    Settings,
    StoreSettings,
    VaultSettings,
)
from rotator.config.toml_file import read_toml
from rotator.errors import ConfigError
from rotator.model.keyset import KEYSET_NAME
from rotator.model.policy import Policy, Readers, Timing
from rotator.model.secret import SecretText

# Each overrides its option.
ENVIRONMENT = {
    "VAULT_ADDR": ("vault", "address"),
    "VAULT_NAMESPACE": ("vault", "namespace"),
    "VAULT_CACERT": ("vault", "ca_file"),
    "REDIS_URL": ("redis", "url"),
}
MAX_OLD_KEYS = 200
_T = TypeVar("_T", bound=NamedTuple)


def load(path: Path | None, *, environ: Mapping[str, str], command_line: bool) -> Settings:
    """
    Return the settings in *path*, else in the first file that `read_toml` finds, with the overrides of *environ*.

    VAULT_TOKEN counts always on the *command_line*, and for the daemon only with `auth = "token"`. Credential files are
    not read. Raises ConfigError with every fault, each with its file, table and option; no fault repeats a text value.
    """
    loader = _Loader(*read_toml(path, environ), environ)
    settings = loader.settings(command_line=command_line)
    if loader.faults:
        raise ConfigError(*loader.faults)
    return settings


def warnings(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[str]:
    """
    Return one sentence for each setting that works and is probably a mistake.
    """
    found, publish, redis = [], settings.publish, settings.redis
    asymmetric = any(not policy.algorithm.symmetric for policy in settings.keysets.values())
    if asymmetric and not publish.verify_urls and (publish.http or publish.file):
        found.append(
            "[publish] verify_urls is empty: only this process's own copy is proved before a key signs; "
            "name the addresses where consumers fetch the JWKS, each replica and the public one"
        )
    if publish.verify_urls and not any("{keyset}" in url for url in publish.verify_urls):
        for name, policy in settings.keysets.items():
            if not policy.algorithm.symmetric and not policy.well_known:
                found.append(
                    f"[keysets.{name}] is covered by no address in verify_urls, so only this process's own copy of its "
                    'keys is proved; add one with "{keyset}", or say well_known = true'
                )
    if settings.store.backend == "vault":
        if settings.vault.address.startswith("http:") and not _loopback(settings.vault.address):
            found.append(
                "[vault] address has no TLS: private keys and tokens cross the network in the clear; use https://"
            )
        if environ.get("VAULT_TOKEN") and settings.vault.token is None:
            auth = settings.vault.auth
            found.append(f'VAULT_TOKEN is ignored, since [vault] auth is "{auth}"; unset it, or say auth = "token"')
    if redis and redis.url.startswith("redis:") and not _loopback(redis.url):
        found.append(
            "[redis] url has no TLS: its password and all events cross the network in the clear; use rediss://"
        )
    for name, policy in settings.keysets.items():
        if (old := policy.timing.retention // policy.rotation_period) > MAX_OLD_KEYS:
            found.append(
                f"[keysets.{name}] would hold {old} old keys at once, and a store takes about 1 MB a document: "
                "raise rotation_period, or lower max_token_lifetime"
            )
    return found


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return re.fullmatch(r"(.*\.)?localhost|::1|127(\.[0-9]+){3}", host) is not None


class _Loader:
    """
    Loads one file: its content, overridden by the environment, and the faults found so far.
    """

    def __init__(self, file: Path, document: dict[str, Any], environ: Mapping[str, str]) -> None:
        self.faults: list[str] = []
        self._file = file
        self._document = document
        self._environ = environ
        self._variables: dict[tuple[str, str], str] = {}
        self._given: dict[str, AbstractSet[str]] = {}
        for variable, (table, option) in ENVIRONMENT.items():
            value = environ.get(variable)
            if value and isinstance(document.setdefault(table, {}), dict):
                # As for every other tool, a path in the environment starts where the process does.
                document[table][option] = os.path.abspath(value) if variable == "VAULT_CACERT" else value  # noqa: PTH100
                self._variables[table, option] = variable

    def settings(self, *, command_line: bool) -> Settings:
        """
        Return the settings; they are meaningful only if `faults` is empty afterwards.
        """
        self._add(
            unknown_table(name, value) for name, value in self._document.items() if name not in (*TABLES, KEYSETS)
        )
        store, vault = self._table("store", StoreTable), self._table("vault", VaultTable)
        daemon, log = self._table("daemon", DaemonTable), self._table("log", LogTable)
        settings = Settings(
            path=self._file,
            store=StoreSettings(store.backend, self._path(store.path)),
            vault=self._vault(vault, command_line=command_line, used=store.backend == "vault"),
            redis=self._redis(self._table("redis", RedisTable)) if "redis" in self._document else None,
            publish=self._publish(self._table("publish", PublishTable)),
            admin_http=self._table("admin", AdminTable).http,
            daemon=DaemonSettings(daemon.poll_interval, daemon.workers, self._path(daemon.state_dir)),
            log=LogSettings(log.level, log.format),
            keysets={},
        )
        self._add(rules.redis_fault(settings.redis))
        self._add(rules.publish_ca_fault(settings.publish))
        self._add(rules.listener_fault(settings.publish.http, settings.admin_http))
        return replace(settings, keysets=MappingProxyType(self._keysets(settings)))

    def _keysets(self, settings: Settings) -> dict[str, Policy]:
        defaults, inherited, faults = read_table(KeysetTable, "defaults", self._document.get("defaults", {}))
        self._add(faults)
        unreadable = {fault.option for fault in faults}
        declared = self._document.get(KEYSETS)
        if not isinstance(declared, dict) or not declared:
            self._add([Fault(KEYSETS, "", "must hold a table for each keyset, and at least one, as in [keysets.web]")])
            return {}
        keysets = [self._declared(name, table, inherited, unreadable) for name, table in declared.items()]
        policies = rules.policies(keysets)
        self._add(rules.well_known_faults(keysets))
        self._add(rules.keyset_faults(keysets, _policy(defaults)))
        self._add(rules.poll_fault(settings.daemon.poll_interval, keysets))
        self._add(rules.publish_faults(settings.publish, self._given["publish"], keysets, policies))
        return policies

    def _declared(
        self, name: str, table: object, inherited: Mapping[str, Any], unreadable: AbstractSet[str]
    ) -> Declared:
        if not KEYSET_NAME.fullmatch(name):
            name = safe_name(name)
            what = 'is no name for a keyset; use up to 63 of a-z, 0-9, "_" and "-", and begin with a letter or digit'
            self._add([Fault(f"{KEYSETS}.{name}", "", what)])
        _, own, faults = read_table(KeysetTable, f"{KEYSETS}.{name}", table)
        self._add(faults)
        options = KeysetTable(**{**inherited, **own})
        faulty = {fault.option for fault in faults} | (unreadable - own.keys())
        return Declared(name, _policy(options), options.well_known, own.keys(), faulty)

    def _vault(self, vault: VaultTable, *, command_line: bool, used: bool) -> VaultSettings:
        token = self._environ.get("VAULT_TOKEN") if used and (command_line or vault.auth == "token") else None
        if token and not re.fullmatch(r"[!-~]+", token):
            self.faults.append("environment VAULT_TOKEN: holds a space or a line break; set it to the token alone")
        return VaultSettings(
            vault.address,
            vault.mount,
            vault.prefix,
            vault.namespace,
            self._path(vault.ca_file) if vault.ca_file else None,
            vault.auth,
            self._credential(vault.role_id_file),
            self._credential(vault.secret_id_file) if vault.secret_id_file else None,
            self._credential(vault.token_file),
            SecretText(token) if token else None,
        )

    def _redis(self, redis: RedisTable) -> RedisSettings:
        return RedisSettings(
            redis.url,
            redis.channel,
            redis.username,
            self._credential(redis.password_file) if redis.password_file else None,
            self._path(redis.ca_file) if redis.ca_file else None,
        )

    def _publish(self, publish: PublishTable) -> PublishSettings:
        file = str(self._path(publish.file)) if publish.file else ""
        ca_file = self._path(publish.ca_file) if publish.ca_file else None
        return PublishSettings(publish.vault, file, publish.http, tuple(publish.verify_urls), ca_file)

    def _table(self, name: str, kind: type[_T]) -> _T:
        table, given, faults = read_table(kind, name, self._document.get(name, {}))
        self._given[name] = given.keys()
        self._add(faults)
        return table

    def _add(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            variable = self._variables.get((fault.table, fault.option))
            table = f" [{fault.table}]" if fault.table else ""
            option = f" {fault.option}:" if fault.option else ""
            place = f"environment {variable}:" if variable else f"{self._file}:{table}{option}"
            self.faults.append(f"{place} {fault.what}")

    def _path(self, text: str) -> Path:
        return self._file.parent / text

    def _credential(self, text: str) -> Path:
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        granted = Path(folder, text) if folder else None  # an absolute text stands for itself
        return granted if granted and granted.exists() else self._path(text)


def _policy(options: KeysetTable) -> Policy:
    return Policy(
        algorithm=options.algorithm,
        rotation_period=options.rotation_period,
        timing=Timing(options.propagation_time, options.max_token_lifetime, options.clock_skew),
        rsa_bits=options.rsa_bits,
        readers=Readers(options.readers),
        retain=options.retain,
        heartbeat=options.heartbeat,
    )
