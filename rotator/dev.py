"""
`rotator dev`: the whole job on this machine, with services that sign and verify real tokens throughout.
"""

import logging
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

from rotator.adapters.files.store import FileStore
from rotator.client import (
    FileSource,
    InvalidTokenError,
    JwksSource,
    KeysetReader,
    KeysUnavailableError,
    RedisHints,
    Signer,
    Verifier,
)
from rotator.daemon.signals import Signals
from rotator.documents.signing import decode_keyset
from rotator.errors import RotatorError
from rotator.model.document import Tree
from rotator.model.keys import CurrentKey, NextKey, OldKey
from rotator.model.keyset import Keyset
from rotator.model.times import format_duration

CONFIG = """\
# Written by `rotator dev`: seconds instead of days, everything in this folder.
[store]
backend = "file"
path = "store"
{redis}
[publish]
file = "public/jwks.json"
http = "127.0.0.1:{jwks_port}"

[admin]
http = "127.0.0.1:{admin_port}"

[daemon]
state_dir = "state"

[log]
level = "error"

[defaults]
rotation_period = "16s"
propagation_time = "4s"
max_token_lifetime = "{life}"
clock_skew = "1s"

[keysets.web]
algorithm = "RS256"

[keysets.internal]
algorithm = "HS256"
readers = "keys"
"""
REPORT_EVERY = 5.0
GENERATED = "generated: published, signs nothing yet"
TOKEN_LIFE = timedelta(seconds=5)
MAX_AT_ONCE = 20
ISSUER, AUDIENCE = "rotator dev", "services"


def free_port() -> int:
    """
    Return a loopback port that was free when asked.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_redis(folder: Path) -> tuple[subprocess.Popen[bytes] | None, str]:
    """
    Start the redis-server on PATH; return it and its [redis] table, None and "" if there is none.
    """
    program = shutil.which("redis-server")
    if program is None:
        return None, ""
    port = free_port()
    arguments = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    return server, f'\n[redis]\nurl = "redis://127.0.0.1:{port}/0"\n'


@dataclass(slots=True)
class Tally:
    """
    Verifications so far; `failures` holds the reason of each failure.
    """

    verified: int = 0
    failures: list[str] = field(default_factory=list)


class Observer:
    """
    Names each step of a keyset's life as the stored document shows it.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._states: dict[str, str] = {}

    def see(self, keyset: Keyset) -> None:
        """
        Say how each key changed since the last call.
        """
        seen = {f"{keyset.name} {key.kid[:12]}": _state(key) for key in keyset.keys()}
        for key, state in seen.items():
            if key not in self._states and state != GENERATED:
                self._say(f"{key}  {GENERATED}")
            if self._states.get(key) != state:
                self._say(f"{key}  {state}")
        mine = f"{keyset.name} "
        for key in [key for key in self._states if key.startswith(mine) and key not in seen]:
            self._say(f"{key}  retired: no live token can need it, its material is destroyed")
            del self._states[key]
        self._states |= seen


def _state(key: CurrentKey | NextKey | OldKey) -> str:
    match key:
        case NextKey(published_at=None):
            return GENERATED
        case NextKey():
            return "confirmed: found wherever verifiers look; propagating"
        case CurrentKey():
            return "activated: it signs now"
        case OldKey():
            return "old: signs no more, still verifies"


class Services:
    """
    A service that signs with each keyset and one that verifies, with keys of their own as real ones have.

    Each token is verified again and again until it expires: HMAC with the signing document, RSA with the JWKS over
    HTTP.
    """

    def __init__(self, store: Path, jwks_url: str, redis_url: str, life: timedelta, observer: Observer) -> None:
        hints = RedisHints(redis_url) if redis_url else None
        self._store, self._observer, self._life = FileStore(store), observer, life
        self._readers: dict[str, tuple[KeysetReader, KeysetReader]] = {
            "web": (KeysetReader(FileSource(store, "web")), KeysetReader(JwksSource(jwks_url), hints=hints)),
            "internal": (
                KeysetReader(FileSource(store, "internal")),
                KeysetReader(FileSource(store, "internal"), hints=hints),
            ),
        }
        self._signers = {
            name: Signer(signing, issuer=ISSUER, audience=AUDIENCE) for name, (signing, _) in self._readers.items()
        }
        self._verifiers = {
            name: Verifier(verifying, issuer=ISSUER, audience=AUDIENCE)
            for name, (_, verifying) in self._readers.items()
        }
        self._tokens: dict[str, list[tuple[str, float]]] = {name: [] for name in self._readers}
        self.tally = Tally()

    def __enter__(self) -> Self:
        for reader in (reader for pair in self._readers.values() for reader in pair):
            reader.start(timeout=0)
        return self

    def __exit__(self, *_: object) -> None:
        for reader in (reader for pair in self._readers.values() for reader in pair):
            reader.close()

    def step(self) -> None:
        """
        Observe each keyset, sign a token with it, and verify its tokens that have not expired.
        """
        for name, (_, verifying) in self._readers.items():
            stored = self._store.load(Tree.KEYS, name)
            if stored.fields is None or verifying.status.age is None:
                continue
            self._observer.see(decode_keyset(stored.fields, name))
            with suppress(KeysUnavailableError):  # no key signs yet
                token = self._signers[name].sign("somebody", lifetime=self._life)
                self._tokens[name].append((token, time.time() + self._life.total_seconds() - 1.5))
            self._tokens[name] = [(token, until) for token, until in self._tokens[name] if time.time() < until]
            # Long-lived tokens are hundreds; a sample of each age is enough.
            for token, _ in self._tokens[name][:: 1 + len(self._tokens[name]) // MAX_AT_ONCE]:
                self._verify(name, token)

    def _verify(self, name: str, token: str) -> None:
        try:
            self._verifiers[name].verify(token)
        except InvalidTokenError as error:
            self.tally.failures.append(f"{name}: {error.reason}")
        except KeysUnavailableError as error:
            self.tally.failures.append(f"{name}: {error}")
        else:
            self.tally.verified += 1


def run(
    folder: Path,
    say: Callable[[str], None],
    signals: Signals,
    seconds: float | None = None,
    life: timedelta = TOKEN_LIFE,
) -> Tally:
    """
    Run the daemon and the services in *folder* until *signals* ask for the end, or for *seconds*; return the tally.

    Tokens live for *life*, which is also the policy's max_token_lifetime.
    """
    from rotator.config.load import load
    from rotator.daemon.main import Daemon
    from rotator.telemetry import logs

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    server, redis = start_redis(folder)
    config = folder / "config.toml"
    config.write_text(
        CONFIG.format(redis=redis, jwks_port=free_port(), admin_port=free_port(), life=format_duration(life))
    )
    settings = load(config, environ={}, command_line=False)
    jwks_url = f"http://{settings.publish.http}/.well-known/jwks.json"
    say(f"configuration: {config}")
    say(f"JWKS: {jwks_url}   metrics: http://{settings.admin_http}/metrics")
    say(
        "Redis: started"
        if server
        else "Redis: no redis-server on PATH, so without notifications (they are only a hint)"
    )
    us = f"{sys.executable} -m rotator" if sys.argv[0].endswith("__main__.py") else sys.argv[0]
    say(f"try: {us} --config {config} status")
    say(f"     {us} --config {config} rotate-now --all")
    daemon = Daemon(settings, logs.configure(settings.log.level, settings.log.format))
    # Until the daemon has made the first keys, readers find none: that warning would only confuse.
    client_log = logging.getLogger("rotator.client")
    level = client_log.level
    client_log.setLevel(settings.log.level.upper())
    services = Services(
        settings.store.path, jwks_url, settings.redis.url if settings.redis else "", life, Observer(say)
    )
    began = reported = time.monotonic()
    daemon.start()
    try:
        with services:
            while signals.wait(0.25):
                try:
                    services.step()
                except RotatorError as error:
                    say(f"trouble: {error}")
                if time.monotonic() - reported >= REPORT_EVERY:
                    reported = time.monotonic()
                    say(f"{services.tally.verified} tokens verified so far, {len(services.tally.failures)} failed")
                if seconds is not None and time.monotonic() - began >= seconds:
                    break
    finally:
        daemon.close()
        client_log.setLevel(level)
        if server:
            server.terminate()
            server.wait()
    return services.tally
