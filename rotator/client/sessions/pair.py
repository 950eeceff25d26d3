"""
A pair of tokens: what it holds, how it is signed, and how the same pair is signed again.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rotator.client.protocols import Provider
from rotator.client.signer import Signer
from rotator.client.verifier import ACCESS, REFRESH
from rotator.errors import ConfigError

_RESERVED = frozenset({"rat", "sid", "ver"})


@dataclass(frozen=True, slots=True)
class TokenPair:
    """
    The tokens that a login or a refresh brings; both belong to the session with the id `session`.
    """

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    access_expires_at: datetime
    refresh_expires_at: datetime
    subject: str
    session: str


@dataclass(frozen=True, slots=True)
class PairIds:
    """
    What makes two pairs of one session the same: their token ids, and the seconds since 1970 in which they were issued.
    """

    refresh: str
    refresh_issued: int
    access: str
    access_issued: int

    @classmethod
    def new(cls, issued: int) -> "PairIds":
        """
        Return random ids, issued at *issued*.
        """
        return cls(new_id(), issued, new_id(), issued)

    @classmethod
    def of(cls, text: str) -> "PairIds":
        """
        Return what `text` wrote.
        """
        return cls(*json.loads(text))

    def text(self) -> str:
        """
        Return this as it is stored.
        """
        return json.dumps([self.refresh, self.refresh_issued, self.access, self.access_issued])


class PairSigner:
    """
    Signs pairs of tokens; the options are those of Tokens.
    """

    def __init__(
        self,
        access_keys: Provider,
        refresh_keys: Provider,
        issuer: str,
        audience: str,
        access_lifetime: timedelta,
        refresh_lifetime: timedelta,
        *,
        claims_of: Callable[[str], Mapping[str, Any]] | None,
        now: Callable[[], float],
    ) -> None:
        self._access = Signer(access_keys, issuer=issuer, audience=audience, typ=ACCESS, now=now)
        self._refresh = Signer(refresh_keys, issuer=issuer, audience=issuer, typ=REFRESH, now=now)
        self._access_lifetime, self._refresh_lifetime = access_lifetime, refresh_lifetime
        self._claims_of = claims_of
        self._now = now

    def sign(self, subject: str, session: str, version: int | None, ids: PairIds, at: int) -> TokenPair:
        """
        Return the pair with *ids*, which Redis saw issued *at* (milliseconds of its clock).

        Raises KeysUnavailableError, SigningError, and ConfigError if *claims_of* returns what it must not.
        """
        common: dict[str, Any] = {"sid": session, "rat": at} | ({} if version is None else {"ver": version})
        more = {} if self._claims_of is None else self._claims_of(subject)
        if not isinstance(more, Mapping):
            raise ConfigError("claims_of: must return a mapping of claims, {} for none")
        if reserved := sorted(more.keys() & _RESERVED):
            raise ConfigError(f"claims_of: {', '.join(reserved)} are set by Tokens; leave them out")
        access, refresh = self._access_lifetime, self._refresh_lifetime
        return TokenPair(
            access=self._access.sign(
                subject, lifetime=access, claims={**more, **common}, token_id=ids.access, issued_at=ids.access_issued
            ),
            refresh=self._refresh.sign(
                subject, lifetime=refresh, claims=common, token_id=ids.refresh, issued_at=ids.refresh_issued
            ),
            access_expires_at=_end(ids.access_issued, access),
            refresh_expires_at=_end(ids.refresh_issued, refresh),
            subject=subject,
            session=session,
        )

    def renewed(self, ids: PairIds) -> PairIds:
        """
        Return *ids*, with a new access token if that one has expired: Redis may have been away for so long.
        """
        now = int(self._now())
        if now < ids.access_issued + int(self._access_lifetime.total_seconds()):
            return ids
        return replace(ids, access=new_id(), access_issued=now)


def new_id() -> str:
    """
    Return a random id, of a session or a token (UUID 4, RFC 9562).
    """
    return str(uuid.uuid4())


def _end(issued: int, lifetime: timedelta) -> datetime:
    return datetime.fromtimestamp(issued + int(lifetime.total_seconds()), UTC)
