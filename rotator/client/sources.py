"""
Where a service reads its keyset: Vault, the URL of a JWKS, or the file store.
"""

import logging
import os
import time
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from rotator.client.keys import DEFAULT_TIMING, LARGEST_JWKS, Keys, keys_of, keys_of_jwks
from rotator.codec import decode_keyset, decode_public
from rotator.errors import ConfigError, PublicationError, StoreUnavailableError
from rotator.keys import Timing
from rotator.ports import Stored, Tree
from rotator.secret import SecretText

if TYPE_CHECKING:
    import ssl

    from rotator.adapters.vault import AppRoleCredentials, TokenCredentials, VaultStore

_HEADERS = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "rotator",
}


class Source(Protocol):
    """
    One keyset at one place. Used by one thread at a time; reading raises RotatorError, for whatever is wrong.
    """

    @property
    def place(self) -> str:
        """
        The words for it in messages.
        """
        ...

    @property
    def keyset(self) -> str:
        """
        The name of the keyset, "" where it is not known or there are several.
        """
        ...

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Return the keys that are there now, and for how long the place says they may be kept; within *timeout* seconds.

        *known* itself is returned where nothing changed. *fresh* asks caches on the way to look again.
        """
        ...

    def look(self) -> bool:
        """
        Return whether something may have changed since the last reading, for next to nothing; called about once a second.
        """
        ...


class VaultSource:
    """
    A keyset in Vault or OpenBao (KV version 2), at `<mount>/data/<prefix>/keys/<keyset>`.

    Log in with one of: *token*; *token_file*, read again when it changes, as Vault Agent's sink does; *role_id_file* and
    *secret_id_file* of an AppRole. The policy of `rotator policy signer KEYSET` is enough. With *public* the document
    `jwks/<keyset>` is read instead: public halves and the deny-list, for which `rotator policy verifier KEYSET` is enough.
    That one does not tell the policy, so *timing* does, as with JwksSource.
    """

    def __init__(
        self,
        keyset: str,
        *,
        address: str = "",
        mount: str = "secret",
        prefix: str = "rotator",
        namespace: str = "",
        ca_file: Path | str | None = None,
        token: str = "",
        token_file: Path | str | None = None,
        role_id_file: Path | str | None = None,
        secret_id_file: Path | str | None = None,
        public: bool = False,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self.keyset = keyset
        self._address = address or os.environ.get("VAULT_ADDR", "")
        if not self._address:
            raise ConfigError("address: say where Vault is, as in https://vault.example.org:8200, or set VAULT_ADDR")
        if (bool(token) + (token_file is not None) + (role_id_file is not None)) != 1:
            raise ConfigError("say one of token, token_file, or role_id_file with secret_id_file")
        if (role_id_file is None) != (secret_id_file is None):
            raise ConfigError("role_id_file and secret_id_file go together")
        self._namespace = namespace
        self._ca_file = Path(ca_file) if ca_file else None
        self._mount, self._prefix = mount, prefix
        self._token, self._token_file = SecretText(token) if token else None, Path(token_file) if token_file else None
        self._approle = (Path(role_id_file), Path(secret_id_file)) if role_id_file and secret_id_file else None
        self._store: VaultStore | None = None
        self._made_with: object = None
        self._reading = _Reading(keyset, f"{self._address} {mount}/{prefix}", public, timing)
        self.place = self._reading.place

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Read the document.
        """
        del fresh  # nothing between us and Vault keeps answers
        return self._reading.keys(self._connected(timeout).load(self._reading.tree, self.keyset), known), None

    def look(self) -> bool:
        """
        Renew the token when that is due. Vault tells of no changes.
        """
        if self._store is not None:
            self._store.maintain()
        return False

    def _connected(self, timeout: float) -> "VaultStore":
        """
        Return the store, made anew after a fork (connections are not shared) and when the token's file has another.
        """
        credentials, made_with = self._credentials()
        if self._store is None or self._made_with != (os.getpid(), made_with):
            from rotator.adapters.vault import VaultConnection, VaultStore  # noqa: PLC0415 - others need no hvac

            connection = VaultConnection(
                self._address, self._namespace, self._ca_file, credentials, Quiet(), deadline=timeout
            )
            self._store, self._made_with = VaultStore(connection, self._mount, self._prefix), (os.getpid(), made_with)
        return self._store

    def _credentials(self) -> "tuple[TokenCredentials | AppRoleCredentials, object]":
        from rotator.adapters.vault import AppRoleCredentials, TokenCredentials  # noqa: PLC0415 - others need no hvac

        if self._approle is not None:
            return AppRoleCredentials(*self._approle), None
        token = self._token or _read_token(self._token_file)
        return TokenCredentials(token), token


class FileSource:
    """
    A keyset in the file store in the folder *path*, on the same host and readable for this user only.
    """

    def __init__(self, path: Path | str, keyset: str, *, public: bool = False, timing: Timing = DEFAULT_TIMING) -> None:
        from rotator.adapters.file_store import FileStore  # noqa: PLC0415 - others have no file store

        self.keyset = keyset
        self._store = FileStore(Path(path))
        self._seen = ""
        self._reading = _Reading(keyset, f"{path}", public, timing)
        self.place = self._reading.place

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Read the document.
        """
        del timeout, fresh
        seen = self._store.fingerprint()
        stored = self._store.load(self._reading.tree, self.keyset)
        self._seen = seen
        return self._reading.keys(stored, known), None

    def look(self) -> bool:
        """
        Return whether any signing document was saved since the last reading, which costs one stat.
        """
        return self._store.fingerprint() != self._seen


class JwksSource:
    """
    A JWKS at an http or https *url*: public keys for verifiers, nothing to sign with.

    A JWKS does not tell the policy of its keyset: *timing* says what the daemon's configuration says of it, and has the
    same defaults. *keyset* names it, so that hints can be told apart; it is taken from `/keysets/NAME/jwks.json` itself.
    """

    def __init__(
        self,
        url: str,
        *,
        keyset: str = "",
        timing: Timing = DEFAULT_TIMING,
        ca_file: Path | str | None = None,
    ) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ConfigError("url: is no address; write https://HOST/keysets/NAME/jwks.json") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise ConfigError("url: must be http or https, with a host and without a user or password")
        segments = parts.path.split("/")
        named = segments[-2] if segments[-3:-2] == ["keysets"] and segments[-1] == "jwks.json" else ""
        self.keyset = keyset or named
        self.place = url
        self._host, self._port = parts.hostname, port or (443 if parts.scheme == "https" else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = _tls(ca_file) if parts.scheme == "https" else None
        self._timing = timing
        self._etag, self._text = "", b""

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Fetch the set; a redirect is refused, and so is what is no JWKS.
        """
        from rotator.adapters.bounded_http import Connection, connect  # noqa: PLC0415 - others need no HTTP

        deadline = time.monotonic() + timeout
        headers = {**_HEADERS, **({"Cache-Control": "no-cache"} if fresh else {})}
        if known is not None and self._etag:
            headers["If-None-Match"] = self._etag
        try:
            connection = Connection(self._host, self._port, connect(self._host, self._port, self._tls, deadline))
            try:
                response, body = connection.exchange("GET", self._target, None, headers, deadline)
            finally:
                connection.close()
        except (OSError, HTTPException) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise PublicationError(f"{self.place} cannot be read: {reason}") from None
        may_keep = _max_age(response.headers.get("Cache-Control", ""))
        if response.status == HTTPStatus.NOT_MODIFIED and known is not None and self._etag:
            return known, may_keep
        if response.status != HTTPStatus.OK:
            what = "redirects; name the address it redirects to" if 300 <= response.status < 400 else "answered"  # noqa: PLR2004
            raise PublicationError(f"{self.place} {what} ({response.status})")
        if len(body) > LARGEST_JWKS:
            raise PublicationError(f"{self.place} answers with more than {LARGEST_JWKS} bytes")
        if known is None or body != self._text:
            known = Keys(verifying=keys_of_jwks(body), timing=self._timing, keyset=self.keyset)
        self._etag, self._text = response.headers.get("ETag", ""), body
        return known, may_keep

    def look(self) -> bool:
        """
        A URL tells nothing by itself.
        """
        return False


class Quiet:
    """
    A log for what the adapters tell, as lines of the standard library's logger `rotator.client`.
    """

    _log = logging.getLogger("rotator.client")

    def debug(self, event: str, **fields: object) -> None:
        """
        Tell what only a developer wants to know.
        """
        self._log.debug("%s %s", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """
        Tell a step.
        """
        self._log.info("%s %s", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """
        Tell what may need a look.
        """
        self._log.warning("%s %s", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """
        Tell an alarm.
        """
        self._log.error("%s %s", event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """
        Tell an alarm with the exception being handled.
        """
        self._log.error("%s %s", event, fields)


class _Reading:
    """
    What a document of a store is to a service: the signing document, or the *public* one.
    """

    def __init__(self, keyset: str, where: str, public: bool, timing: Timing) -> None:  # noqa: FBT001 - passed on
        self.tree = Tree.JWKS if public else Tree.KEYS
        self.place = f"{where}/{self.tree}/{keyset}"
        self._keyset, self._timing = keyset, timing

    def keys(self, stored: Stored, known: Keys | None) -> Keys:
        """
        Return the keys of *stored*; *known* where it is the document that those were read from.
        """
        if stored.fields is None:
            raise StoreUnavailableError(f"{self.place}: no such document; is its name right, and did the daemon start?")
        if self.tree is Tree.KEYS:
            keyset = decode_keyset(stored.fields, self._keyset)
            now = (keyset.epoch, keyset.sequence, keyset.op_id)
            return known if known and (known.epoch, known.sequence, known.op_id) == now else keys_of(keyset)
        document = decode_public(stored.fields, self._keyset)
        if known and (known.epoch, known.sequence) == (document.epoch, document.sequence):
            return known
        return Keys(
            verifying=keys_of_jwks(document.jwks),
            revoked=frozenset(str(revocation.kid) for revocation in document.revoked),
            timing=self._timing,
            keyset=document.keyset,
            epoch=document.epoch,
            sequence=document.sequence,
        )


def _read_token(file: Path | None) -> SecretText:
    try:
        text = file.read_text(encoding="ascii").strip() if file else ""
    except (OSError, UnicodeError) as error:
        raise StoreUnavailableError(f"token_file: {file} cannot be read ({type(error).__name__})") from None
    if not text or not text.isprintable():
        raise StoreUnavailableError(f"token_file: {file} does not hold a token")
    return SecretText(text)


def _tls(ca_file: Path | str | None) -> "ssl.SSLContext":
    from rotator.adapters.bounded_http import tls_context  # noqa: PLC0415 - others need no TLS

    try:
        return tls_context(Path(ca_file) if ca_file else None)
    except OSError as error:
        raise ConfigError(f"ca_file: {ca_file} cannot be used ({type(error).__name__})") from None


def _max_age(cache_control: str) -> timedelta | None:
    for directive in cache_control.split(","):
        name, _, value = directive.strip().partition("=")
        if name.lower() == "max-age" and value.isdecimal():
            return timedelta(seconds=min(int(value), 10**6))
    return None
