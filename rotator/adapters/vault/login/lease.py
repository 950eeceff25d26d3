"""
The token that requests to Vault carry: renewed in time, replaced when it died, whatever the login method.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from rotator.adapters.vault.login.attempts import LoginAttempts
from rotator.adapters.vault.login.method import Grant, LoginMethod, grant_of
from rotator.adapters.vault.transport import Call, Transport
from rotator.errors import StoreDeniedError, StoreError, StoreUnavailableError
from rotator.model.secret import SecretText
from rotator.model.times import format_time
from rotator.ports.log import Log

Observe = Callable[[str, str], object]
_LOOKUP, _RENEW, _REVOKE = (f"/v1/auth/token/{verb}-self" for verb in ("lookup", "renew", "revoke"))
_RETRY = 10.0
# A token this young did not die. Without this rule one that may not look itself up would be replaced at each refusal.
_YOUNG = 10.0


@dataclass(frozen=True, slots=True)
class _Lease:
    """
    A token and its life: `ttl` in seconds as first granted; `since`, and when care is `due`, in monotonic seconds.
    """

    token: SecretText
    since: float
    due: float
    ttl: int | None = None
    renewable: bool = False
    expires_at: datetime | None = None
    warned: bool = False


class TokenLease:
    """
    The one token of a process, swapped whole. Safe to use from several threads; only one of them logs in at a time.
    """

    def __init__(
        self, transport: Transport, method: LoginMethod, log: Log, attempts: LoginAttempts, observe: Observe
    ) -> None:
        self._transport = transport
        self._method = method
        self._log = log
        self._attempts = attempts
        self._observe = observe
        self._lock = threading.Lock()
        self._lease: _Lease | None = None
        self._trouble = ""

    @property
    def expires_at(self) -> datetime | None:
        """
        When the token ends unless it is renewed; None if it never does, or nothing is known yet.
        """
        lease = self._lease
        return None if lease is None else lease.expires_at

    def token(self, deadline: float) -> SecretText:
        """
        Return the token; log in first if there is none yet.
        """
        lease = self._lease
        if lease is None:
            with self._alone(deadline):
                lease = self._lease = self._lease or self._begin(deadline)
        return lease.token

    def renewed(self, refused: SecretText, deadline: float) -> SecretText | None:
        """
        Return another token in place of one that Vault *refused*; None if that one is alive and merely lacks a right.
        """
        with self._alone(deadline):
            lease = self._lease
            if lease is not None and lease.token is not refused:
                return lease.token
            answer = Call(self._transport, refused, deadline).get(_LOOKUP)
            young = lease is not None and time.monotonic() - lease.since < _YOUNG
            if answer.status != 403 or (young and not answer.says("invalid token")):  # noqa: PLR2004 - forbidden
                return None
            if not self._method.repeatable:
                raise StoreDeniedError("the vault token is expired, revoked or unknown to vault; supply a new one")
            self._lease = self._begin(deadline)
            return self._lease.token

    def maintain(self, deadline: float) -> str:
        """
        Renew the token if that is due, or log in again if renewing gains too little. Failures are logged, not raised.

        Return why the token will end without another one, "" unless that needs a person.
        """
        lease = self._lease
        if lease is None or time.monotonic() < lease.due or not self._lock.acquire(blocking=False):
            return self._trouble
        try:
            if self._lease is lease:
                self._trouble = ""
                self._lease = self._prolonged(lease, deadline)
        except StoreError as error:
            if isinstance(error, StoreDeniedError) and self._method.repeatable:
                self._trouble = f"the token in use ends at {format_time(lease.expires_at)}, and {error}"
            if not lease.warned:
                self._log.warning("vault_token_not_renewed", expires_at=format_time(lease.expires_at), error=str(error))
            retry = min(_RETRY, (lease.ttl or _RETRY) / 10)
            self._lease = replace(lease, due=time.monotonic() + retry, warned=True)
        finally:
            self._lock.release()
        return self._trouble

    def revoke(self, deadline: float) -> None:
        """
        Revoke the token if a login of ours granted it. One that cannot be revoked lives until its own end.
        """
        lease = self._lease
        if lease is None or not self._method.repeatable:
            return
        try:
            with self._alone(deadline):
                lease, self._lease = self._lease or lease, None
                answer = Call(self._transport, lease.token, deadline).post(_REVOKE, json={})
            self._observe("revoke", "ok" if answer.status == 204 else "denied")  # noqa: PLR2004 - done, says nothing
        except StoreError:
            self._observe("revoke", "unavailable")

    @contextmanager
    def _alone(self, deadline: float) -> Iterator[None]:
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise StoreUnavailableError("another thread's login to vault did not end in time")
        try:
            yield
        finally:
            self._lock.release()

    def _begin(self, deadline: float) -> _Lease:
        call = Call(self._transport, None, deadline)
        if not self._method.repeatable:
            now = time.monotonic()
            return _Lease(self._method.log_in(call, self._attempts).token, since=now, due=now)
        try:
            lease = _leased(self._method.log_in(call, self._attempts))
        except StoreDeniedError:
            self._observe("login", "denied")
            raise
        except StoreUnavailableError:
            self._observe("login", "unavailable")
            raise
        self._observe("login", "ok")
        self._trouble = ""
        self._log.info("vault_login", expires_at=format_time(lease.expires_at))
        return lease

    def _prolonged(self, lease: _Lease, deadline: float) -> _Lease:
        if lease.ttl is None:
            return self._looked_up(lease, deadline)
        ending = lease
        if lease.renewable:
            answer = Call(self._transport, lease.token, deadline).post(_RENEW, json={})
            self._observe("renew", "ok" if answer.status == 200 else "denied")  # noqa: PLR2004 - granted
            extended = _leased(grant_of(lease.token, answer))
            # Near the token's maximum life each renewal grants less; then only a new login helps.
            if extended.ttl is not None and extended.ttl >= lease.ttl:
                return replace(extended, since=lease.since, ttl=lease.ttl)
            ending = extended if extended.expires_at else lease
        if self._method.repeatable:
            return self._begin(deadline)
        self._log.warning("vault_token_ends", expires_at=format_time(ending.expires_at))
        self._trouble = f"the token given ends at {format_time(ending.expires_at)} for good; supply a new one"
        return replace(ending, due=math.inf)

    def _looked_up(self, lease: _Lease, deadline: float) -> _Lease:
        """
        Learn what is left of a token that someone else made.
        """
        answer = Call(self._transport, lease.token, deadline).get(_LOOKUP)
        data = answer.section("data")
        ttl = data.get("ttl")
        if not isinstance(ttl, int):
            raise StoreDeniedError("the vault token may not look itself up, so nobody knows when it ends")
        # Less than a second left is 0, too; only a token without an end has no `expire_time`.
        left = max(1, ttl) if data.get("expire_time") else 0
        return _leased(Grant(lease.token, left, renewable=data.get("renewable") is True))


def _leased(grant: Grant) -> _Lease:
    now = time.monotonic()
    if grant.ttl is None:
        return _Lease(grant.token, since=now, due=math.inf)
    if grant.ttl <= 0:
        return _Lease(grant.token, since=now, due=math.inf, ttl=0)
    ends = datetime.now(UTC) + timedelta(seconds=grant.ttl)
    return _Lease(
        grant.token, since=now, due=now + grant.ttl * 2 / 3, ttl=grant.ttl, renewable=grant.renewable, expires_at=ends
    )
