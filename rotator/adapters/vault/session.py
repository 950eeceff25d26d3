"""
A logged-in client of Vault: the deadline of an operation, its token, and the meaning of statuses.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rotator.adapters.vault.login.attempts import LoginAttempts
from rotator.adapters.vault.login.lease import Observe, TokenLease
from rotator.adapters.vault.login.method import LoginMethod
from rotator.adapters.vault.standby import StandbyWatch, answers_reads_as_standby
from rotator.adapters.vault.transport import Call, Reply, Transport
from rotator.errors import LostReplyError, StoreConflictError, StoreDeniedError, StoreUnavailableError
from rotator.ports.log import Log

OK, NO_CONTENT, BAD_REQUEST, FORBIDDEN, NOT_FOUND, NOT_YET = 200, 204, 400, 403, 404, 412
_FIRST_PAUSE, _MAX_PAUSE = 0.05, 1.0
_MAX_REVOKE = 2.0


@dataclass(frozen=True, slots=True)
class VaultConnection:
    """
    How to reach one Vault, and as whom; `deadline` in seconds bounds a whole operation with its logins and repetitions.

    `observe` is called with each operation and its result: ok, conflict, denied or unavailable. With `watch_standby` a
    standby that answers reads itself is logged. `revoke_at_close`: a token that we logged in for is given back at the
    end.
    """

    address: str
    namespace: str
    ca_file: Path | None
    login: LoginMethod
    log: Log
    attempts_file: Path | None = None
    deadline: float = 10.0
    observe: Observe | None = None
    watch_standby: bool = False
    revoke_at_close: bool = False


class VaultSession:
    """
    A client of one Vault, logged in when first needed. Safe to use from several threads.
    """

    def __init__(self, connection: VaultConnection) -> None:
        self._connection = connection
        self._transport = Transport(connection.address, connection.namespace, connection.ca_file)
        self._watch = StandbyWatch(self._transport, connection.log) if connection.watch_standby else None
        self._observe = connection.observe or _unobserved
        attempts = LoginAttempts(connection.attempts_file, connection.log)
        self._lease = TokenLease(self._transport, connection.login, connection.log, attempts, self._observe)

    @property
    def token_expires_at(self) -> datetime | None:
        """
        When our token ends unless it is renewed; None if it never does, or nothing is known yet.
        """
        return self._lease.expires_at

    @property
    def limited(self) -> bool:
        """
        Whether a rate limit lets few of our requests through.
        """
        return self._transport.pacer.slow

    def maintain(self) -> str:
        """
        Keep our token alive. Call it about once a second; cheap if nothing is due, raises nothing.

        Return why the token will end without another one, "" unless that needs a person.
        """
        if self._watch is not None:
            self._watch.look(time.monotonic() + self._connection.deadline)
        return self._lease.maintain(time.monotonic() + self._connection.deadline)

    def answers_as_standby(self) -> bool:
        """
        Return whether the node that we talk to is a standby that answers reads itself; raises StoreError.
        """
        return answers_reads_as_standby(self._transport, time.monotonic() + self._connection.deadline)

    def close(self) -> None:
        """
        Close idle connections; before that, let the token go.
        """
        if self._connection.revoke_at_close:
            self._lease.revoke(time.monotonic() + min(_MAX_REVOKE, self._connection.deadline))
        self._transport.close()

    def read(self, where: str, deadline: float, send: Callable[[Call], Any], *, capability: str = "read") -> Reply:
        """
        Ask again while the server lags behind our last write (412), until *deadline*; the status is 200 or 404.

        *where* is the path below /v1/, and *capability* what it takes, for error messages.
        """
        pause = _FIRST_PAUSE
        while (reply := self.ask(capability, where, deadline, send)).status == NOT_YET:
            if time.monotonic() + pause >= deadline:
                raise StoreUnavailableError(f"vault's standby lags behind: {where} answers {NOT_YET}")
            time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads load, guards nothing
            pause = min(2 * pause, _MAX_PAUSE)
        if reply.status not in {OK, NOT_FOUND}:
            raise StoreUnavailableError(f"vault did not read {where}: {reply.status}")
        return reply

    def ask(self, capability: str, where: str, deadline: float, send: Callable[[Call], Any]) -> Reply:
        """
        Send a request, once more with a new token if the old one is dead. Never returns a 403.

        Raises StoreDeniedError, which names *capability* and the path *where*.
        """
        token = self._lease.token(deadline)
        reply: Reply = send(Call(self._transport, token, deadline))
        if reply.status == FORBIDDEN and (another := self._lease.renewed(token, deadline)) is not None:
            reply = send(Call(self._transport, another, deadline))
        if reply.status == FORBIDDEN:
            raise StoreDeniedError(
                f'denied: needs "{capability}" on {where} (`rotator policy ROLE` prints what a daemon, operator, '
                "signer or verifier needs)"
            )
        return reply

    @contextmanager
    def operation(self, name: str) -> Iterator[float]:
        """
        Yield the deadline of one operation, a moment of `time.monotonic()`, and report its result.
        """
        result = "unavailable"
        try:
            yield time.monotonic() + self._connection.deadline
            result = "ok"
        except StoreConflictError:
            result = "conflict"
            raise
        except StoreDeniedError:
            result = "denied"
            raise
        finally:
            self._observe(name, result)

    def proves_nothing(self, where: str) -> LostReplyError:
        """
        Return the error for a 200 that does not say what Vault would say.
        """
        return LostReplyError(
            f"vault at {self._transport.address} answers for {where} with something that proves nothing"
        )


def _unobserved(_operation: str, _result: str) -> None:
    pass
