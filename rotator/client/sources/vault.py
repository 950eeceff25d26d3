"""
Where a service reads its keyset: Vault, the URL of a JWKS, or the file store.
"""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rotator.client.arguments import require_keyset, require_names, require_timing, require_vault_address
from rotator.client.jose.keys import DEFAULT_TIMING, Keys, keys_of, keys_of_jwks
from rotator.client.log import Quiet
from rotator.client.sources.jwks import JwksSource
from rotator.documents.signing import decode_keyset, decode_public
from rotator.errors import ConfigError, StoreUnavailableError, VerificationKeyError
from rotator.model.keys import Timing
from rotator.model.secret import SecretText
from rotator.ports.store import Stored, Tree

if TYPE_CHECKING:
    from rotator.adapters.vault.store import VaultStore

__all__ = ["FileSource", "JwksSource", "Quiet", "Source", "VaultSource"]

# How often a token that may not be looked up, or never ends, is looked after.
_SELDOM = 60.0


@runtime_checkable
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
        token: str | None = None,
        token_file: Path | str | None = None,
        role_id_file: Path | str | None = None,
        secret_id_file: Path | str | None = None,
        public: bool = False,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        require_keyset(keyset)
        require_timing(timing)
        address = address or os.environ.get("VAULT_ADDR", "")
        if not address:
            raise ConfigError("address: say where Vault is, as in https://vault.example.org:8200, or set VAULT_ADDR")
        require_names(address=address, mount=mount, prefix=prefix)
        require_vault_address(address)
        mount, prefix = mount.strip("/"), prefix.strip("/")
        token = token or ""
        if token:
            require_names(token=token)
        if (bool(token) + (token_file is not None) + (role_id_file is not None)) != 1:
            raise ConfigError("say one of token, token_file, or role_id_file with secret_id_file")
        if (role_id_file is None) != (secret_id_file is None):
            raise ConfigError("role_id_file and secret_id_file go together")
        # Imported here, as others need no hvac, and not when reading: a process forked amid an import never ends it.
        from rotator.adapters.vault.store import AppRoleCredentials, TokenCredentials, VaultConnection, VaultStore  # noqa: PLC0415

        approle = (
            AppRoleCredentials(Path(role_id_file), Path(secret_id_file)) if role_id_file and secret_id_file else None
        )

        def opened(token: SecretText, deadline: float) -> VaultStore:
            credentials = approle or TokenCredentials(token)
            ca = Path(ca_file) if ca_file else None
            connection = VaultConnection(address, namespace, ca, credentials, Quiet(), deadline=deadline)
            return VaultStore(connection, mount, prefix)

        opened(SecretText(""), 0.0)  # connects to nothing, and tells what is wrong with the address or the CA file
        self.keyset = keyset
        self._opened, self._approle = opened, approle is not None
        self._token, self._token_file = SecretText(token), Path(token_file) if token_file else None
        self._store: VaultStore | None = None
        self._opened_by = 0
        self._opened_with = SecretText("")
        self._looks_after_token_at = 0.0
        where = "/".join(part for part in (namespace.strip("/"), mount, prefix) if part)
        self._reading = _Reading(keyset, f"{address} {where}", public, timing)
        self.place = self._reading.place

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Read the document.
        """
        del fresh  # nothing between us and Vault keeps answers
        store = self._connected(timeout)
        try:
            return self._reading.keys(store.load(self._reading.tree, self.keyset), known), None
        finally:
            store.close()  # readings are minutes apart

    def look(self) -> bool:
        """
        Renew the token when that is due. Vault tells of no changes.
        """
        store, now = self._store, time.monotonic()
        if store is not None and self._opened_by == os.getpid() and now >= self._looks_after_token_at:
            store.maintain()
            store.close()
            # A token given to us may not be allowed to look itself up: then nobody knows when it ends.
            known = self._approle or store.token_expires_at is not None
            self._looks_after_token_at = now if known else now + _SELDOM
        return False

    def _connected(self, timeout: float) -> "VaultStore":
        """
        Return the store, made anew after a fork (logins and locks are not shared) and when the token's file has another.
        """
        token = _read_token(self._token_file) if self._token_file else self._token
        if self._store is None or self._opened_by != os.getpid() or self._opened_with != token:
            self._store, self._opened_by, self._opened_with = self._opened(token, timeout), os.getpid(), token
            self._looks_after_token_at = 0.0
        return self._store


class FileSource:
    """
    A keyset in the file store in the folder *path*, on the same host and readable for this user only.
    """

    def __init__(self, path: Path | str, keyset: str, *, public: bool = False, timing: Timing = DEFAULT_TIMING) -> None:
        from rotator.adapters.files.store import FileStore  # noqa: PLC0415 - others have no file store

        require_keyset(keyset)
        require_timing(timing)
        self.keyset = keyset
        self._store = FileStore(Path(path))
        self._reading = _Reading(keyset, f"{path}", public, timing)
        self._file = Path(path) / self._reading.tree / f"{keyset}.json"
        self._seen: tuple[int, int] | None = None
        self.place = self._reading.place

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Read the document.
        """
        del timeout, fresh
        self._seen = self._fingerprint()
        return self._reading.keys(self._store.load(self._reading.tree, self.keyset), known), None

    def look(self) -> bool:
        """
        Return whether the document was saved since the last reading, which costs one stat.
        """
        return self._fingerprint() != self._seen

    def _fingerprint(self) -> tuple[int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


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
            why = "it was deleted" if stored.version else "is its name right, and did the daemon start?"
            raise StoreUnavailableError(f"{self.place}: no such document; {why}")
        if self.tree is Tree.KEYS:
            keyset = decode_keyset(stored.fields, self._keyset)
            now = (keyset.epoch, keyset.sequence, keyset.op_id)
            return known if known and (known.epoch, known.sequence, known.op_id) == now else keys_of(keyset)
        document = decode_public(stored.fields, self._keyset)
        if known and (known.epoch, known.sequence) == (document.epoch, document.sequence):
            return known
        try:
            verifying = keys_of_jwks(document.jwks)
        except VerificationKeyError as error:
            raise VerificationKeyError(f"{self.place}: {error}") from None
        return Keys(
            verifying=verifying,
            revoked=frozenset(str(revocation.kid) for revocation in document.revoked),
            timing=self._timing,
            keyset=document.keyset,
            epoch=document.epoch,
            sequence=document.sequence,
        )


def _read_token(file: Path) -> SecretText:
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise StoreUnavailableError(f"token_file: {file} cannot be read ({type(error).__name__})") from None
    if not text or not text.isprintable():
        raise StoreUnavailableError(f"token_file: {file} does not hold a token")
    return SecretText(text)
