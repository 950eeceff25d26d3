"""
What `rotator check` asks Vault: the rights of our token, and the settings of the KV store.
"""

from collections.abc import Collection, Mapping
from typing import Any

from rotator.adapters.vault.session import NOT_FOUND, OK, VaultSession
from rotator.adapters.vault.standby import ADVICE
from rotator.errors import StoreUnavailableError

_CAPABILITIES = "sys/capabilities-self"


class VaultProbe:
    """
    The StoreProbe of Vault. It shares the session of a store, so that probing costs no second login.

    Paths are relative to /v1/.
    """

    def __init__(self, session: VaultSession) -> None:
        self._session = session

    def capabilities(self, paths: Collection[str]) -> Mapping[str, frozenset[str]]:
        """
        Return what our token may do with each of *paths*, in one request.
        """
        with self._session.operation("capabilities") as deadline:
            reply = self._session.ask(
                "update",
                _CAPABILITIES,
                deadline,
                lambda call: call.post(f"/v1/{_CAPABILITIES}", json={"paths": sorted(paths)}),
            )
            if reply.status != OK:
                raise StoreUnavailableError(f"vault did not answer {_CAPABILITIES}: {reply.status}")
            found = reply.section("data")
            try:
                return {path: frozenset(map(str, found[path])) for path in paths}
            except (KeyError, TypeError):
                raise self._session.proves_nothing(_CAPABILITIES) from None

    def read_raw(self, path: str) -> Mapping[str, Any] | None:
        """
        Return the `data` that a GET of *path* answers with, None for a 404.
        """
        with self._session.operation("read") as deadline:
            reply = self._session.read(path, deadline, lambda call: call.get(f"/v1/{path}"))
            return None if reply.status == NOT_FOUND else reply.section("data")

    def standby(self) -> str:
        """
        Return what is to be said of a standby that answers reads itself, "" for any other node.
        """
        return f"is a standby that answers reads itself: {ADVICE}" if self._session.answers_as_standby() else ""
