"""
`rotator dev`: the whole job on this machine, with services that sign and verify real tokens throughout.
"""

import shutil
import socket
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization, OctKey, RSAKey

from rotator.adapters.file_store import FileStore
from rotator.codec import decode_keyset
from rotator.errors import RotatorError
from rotator.keys import CurrentKey, HmacSecret, KeyPair, Keyset, NextKey, OldKey
from rotator.ports import Tree

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
max_token_lifetime = "5s"
clock_skew = "1s"

[keysets.web]
algorithm = "RS256"

[keysets.internal]
algorithm = "HS256"
"""
POLL = 1.0
TELL_EVERY = 5.0
GENERATED = "generated: published, signs nothing yet"
TOKEN_LIFE = 5


def free_port() -> int:
    """
    Return a loopback port that was free a moment ago.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_redis(folder: Path) -> tuple[subprocess.Popen[bytes] | None, str]:
    """
    Start a redis-server found on PATH; return it and its [redis] table, nothing where there is none.
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
    Verifications so far; `failures` holds why each failed one did.
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
        Say what became of each key since the last call.
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
    A service that signs with each keyset and one that verifies, each polling on its own as real ones do.

    Tokens are verified again and again until they expire: HMAC with the secrets of the signing document, RSA with the JWKS over HTTP.
    """

    def __init__(self, store: FileStore, jwks_url: str, observer: Observer) -> None:
        self._store, self._url, self._observer = store, jwks_url, observer
        self._tokens: dict[str, list[tuple[str, float]]] = {"web": [], "internal": []}
        self._verifiers: dict[str, KeySet] = {}
        self._polled = 0.0
        self._keysets: dict[str, Keyset] = {}
        self.tally = Tally()

    def step(self) -> None:
        """
        Poll when it is time, sign one token with each keyset, verify all that live.
        """
        now = time.monotonic()
        for name in self._tokens:
            stored = self._store.load(Tree.KEYS, name)
            if stored.fields is None:
                continue
            keyset = decode_keyset(stored.fields, name)
            self._observer.see(keyset)
            if now - self._polled >= POLL:
                self._keysets[name] = keyset
                self._poll(keyset)
        if now - self._polled >= POLL:
            self._polled = now
        for name, keyset in self._keysets.items():
            if keyset.current:
                self._tokens[name].append((_sign(keyset.current), time.time() + TOKEN_LIFE - 0.5))
            self._tokens[name] = [(token, until) for token, until in self._tokens[name] if time.time() < until]
            for token, _ in self._tokens[name]:
                self._verify(name, token, keyset.algorithm.value)

    def _poll(self, keyset: Keyset) -> None:
        if keyset.symmetric:
            materials = [(key.kid, key.material) for key in keyset.keys()]
            self._verifiers[keyset.name] = KeySet(
                [
                    OctKey.import_key(material.secret.reveal(), {"kid": kid, "alg": keyset.algorithm.value})
                    for kid, material in materials
                    if isinstance(material, HmacSecret)
                ]
            )
            return
        try:
            with urllib.request.urlopen(self._url, timeout=2) as reply:  # noqa: S310 - our own listener
                self._verifiers[keyset.name] = KeySet.import_key_set(_json(reply.read()))
        except OSError:
            pass  # a verifier keeps its last good set

    def _verify(self, name: str, token: str, algorithm: str) -> None:
        try:
            jwt.decode(token, self._verifiers[name], algorithms=[algorithm])
        except (JoseError, ValueError, KeyError) as error:
            self.tally.failures.append(f"{name}: {type(error).__name__}")
        else:
            self.tally.verified += 1


def _json(data: bytes) -> KeySetSerialization:
    import json

    document: KeySetSerialization = json.loads(data)
    return document


def _sign(key: CurrentKey) -> str:
    issued = int(time.time())
    claims = {"sub": "somebody", "iat": issued, "exp": issued + TOKEN_LIFE, "jti": str(uuid.uuid4())}
    header = {"alg": key.algorithm.value, "kid": key.kid}
    match key.material:
        case HmacSecret(secret=secret):
            return jwt.encode(header, claims, OctKey.import_key(secret.reveal()), algorithms=[key.algorithm.value])
        case KeyPair(private=private):
            return jwt.encode(header, claims, RSAKey.import_key(private.reveal()), algorithms=[key.algorithm.value])


def run(folder: Path, say: Callable[[str], None], stop: threading.Event, seconds: float | None = None) -> Tally:
    """
    Run the daemon and the services in *folder* until *stop* is set, or for so many *seconds*; return the tally.
    """
    import os

    from rotator import logs
    from rotator.config import load
    from rotator.daemon import Daemon

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    server, redis = start_redis(folder)
    config = folder / "config.toml"
    config.write_text(CONFIG.format(redis=redis, jwks_port=free_port(), admin_port=free_port()))
    settings = load(config, environ={}, command_line=False)
    say(f"configuration: {config}")
    say(f"JWKS: http://{settings.publish.http}/.well-known/jwks.json   metrics: http://{settings.admin_http}/metrics")
    say(
        "Redis: started"
        if server
        else "Redis: no redis-server on PATH, so without notifications (they are only a hint)"
    )
    say(
        f"try: rotator --config {os.path.relpath(config)} status     rotator --config {os.path.relpath(config)} rotate-now --all"
    )
    daemon = Daemon(settings, logs.configure(settings.log.level, settings.log.format))
    services = Services(
        FileStore(settings.store.path), f"http://{settings.publish.http}/.well-known/jwks.json", Observer(say)
    )
    began, told = time.monotonic(), time.monotonic()
    daemon.start()
    try:
        while not stop.wait(0.25):
            try:
                services.step()
            except RotatorError as error:
                say(f"trouble: {error}")
            if time.monotonic() - told >= TELL_EVERY:
                told = time.monotonic()
                say(f"{services.tally.verified} tokens verified so far, {len(services.tally.failures)} failed")
            if seconds is not None and time.monotonic() - began >= seconds:
                break
    finally:
        daemon.close()
        if server:
            server.terminate()
            server.wait()
    return services.tally
