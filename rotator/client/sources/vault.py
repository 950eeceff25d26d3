"""
A keyset in Vault or OpenBao, with a login that is kept alive.
"""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rotator.adapters.files.reading import read_regular
from rotator.client.arguments import require_keyset, require_names, require_timing, require_vault_address
from rotator.client.jose.keys import DEFAULT_TIMING, Keys
from rotator.client.log import StdlibLog
from rotator.client.sources.document import DocumentDecoder
from rotator.errors import ConfigError, StoreUnavailableError
from rotator.model.policy import Timing
from rotator.model.secret import SecretText

if TYPE_CHECKING:
    from rotator.adapters.vault.store import VaultStore

# Seconds between two tries to renew a token that cannot be looked up, or never expires.
_RENEW_INTERVAL = 60.0


class VaultSource:
    """
    A keyset in Vault or OpenBao (KV version 2), at `<mount>/data/<prefix>/keys/<keyset>`.

    Log in with one of: *token*; *token_file*, read again when it changes, as Vault Agent's sink does; *role_id_file*
    and *secret_id_file* of an AppRole. The policy of `rotator policy signer KEYSET` is enough. With *public* the
    document `jwks/<keyset>` is read instead: public keys and revoked kids, for which `rotator policy verifier KEYSET`
    is enough. It does not hold the policy, so give *timing* as for JwksSource.
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
            raise ConfigError(
                'role_id_file and secret_id_file go together; secret_id_file="" is for a role without one'
            )
        # Imported here, because other sources need no hvac; not in `read`, because a fork during an import would
        # leave it unfinished.
        from rotator.adapters.vault.login.approle import AppRoleLogin  # noqa: PLC0415
        from rotator.adapters.vault.login.token import TokenLogin  # noqa: PLC0415
        from rotator.adapters.vault.session import VaultConnection  # noqa: PLC0415
        from rotator.adapters.vault.store import VaultStore  # noqa: PLC0415

        secret_id = Path(secret_id_file) if secret_id_file else None
        approle = AppRoleLogin(Path(role_id_file), secret_id) if role_id_file else None

        def opened(token: SecretText, deadline: float) -> VaultStore:
            login = approle or TokenLogin(token)
            ca = Path(ca_file) if ca_file else None
            connection = VaultConnection(address, namespace, ca, login, StdlibLog(), deadline=deadline)
            return VaultStore(connection, mount, prefix)

        opened(SecretText(""), 0.0)  # connects to nothing; raises ConfigError if the address or the CA file is wrong
        self.keyset = keyset
        self._opened, self._approle = opened, approle is not None
        self._token, self._token_file = SecretText(token), Path(token_file) if token_file else None
        self._store: VaultStore | None = None
        self._pid = 0
        self._opened_with = SecretText("")
        self._renew_at = 0.0
        where = "/".join(part for part in (namespace.strip("/"), mount, prefix) if part)
        self._decoder = DocumentDecoder(keyset, f"{address} {where}", public, timing)
        self.place = self._decoder.place
        self.announced_by = f"rotator/{mount}/{prefix}"

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Read the document.
        """
        del fresh  # there is no cache between us and Vault
        store = self._connected(timeout)
        try:
            return self._decoder.decode(store.load(self._decoder.tree, self.keyset), known), None
        finally:
            store.close()  # refreshes are minutes apart

    def changed(self) -> bool:
        """
        Renew the token if that is due, and return False: Vault does not announce changes.
        """
        store, now = self._store, time.monotonic()
        if store is not None and self._pid == os.getpid() and now >= self._renew_at:
            store.maintain()
            store.close()
            # A token may lack the right to look itself up: then its end is not known.
            known = self._approle or store.token_expires_at is not None
            self._renew_at = now if known else now + _RENEW_INTERVAL
        return False

    def _connected(self, timeout: float) -> "VaultStore":
        """
        Return the store.

        It is made again after a fork, which must not share logins and locks, and for a new token in the file.
        """
        token = read_token(self._token_file) if self._token_file else self._token
        if self._store is None or self._pid != os.getpid() or self._opened_with != token:
            self._store, self._pid, self._opened_with = self._opened(token, timeout), os.getpid(), token
            self._renew_at = 0.0
        return self._store


def read_token(file: Path) -> SecretText:
    """
    Return the token in *file*; raises StoreUnavailableError if there is none.
    """
    try:
        text = read_regular(file).decode("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise StoreUnavailableError(f"token_file: {file} cannot be read ({type(error).__name__})") from None
    if not text or not text.isprintable():
        raise StoreUnavailableError(f"token_file: {file} does not hold a token")
    return SecretText(text)
