"""
Access and refresh tokens: issued in pairs, refreshed once each, revoked before they expire.
"""

import asyncio
import json
import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from rotator.client.arguments import (
    require_aware,
    require_callable,
    require_durations,
    require_names,
    require_provider,
    require_session,
    require_texts,
)
from rotator.client.errors import InvalidTokenError, Rejection, TokenStateError
from rotator.client.log import StdlibLog
from rotator.client.protocols import Provider
from rotator.client.sessions.state import SessionStore, TokenIds
from rotator.client.signer import Signer
from rotator.client.verifier import ACCESS, MAX_LEEWAY, REFRESH, Claims, Verifier
from rotator.errors import ConfigError

ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=7)
GRACE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """
    What a login or a refresh brings; both tokens belong to the session named `session`.
    """

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    access_expires_at: datetime
    refresh_expires_at: datetime
    subject: str
    session: str


class Tokens:
    """
    Issues, checks, refreshes and revokes the tokens of one *issuer* for one *audience*.

    *keys* sign and verify; *refresh_keys* those of a keyset of its own for refresh tokens. Refresh tokens are typed `rt+jwt` and
    addressed to the issuer itself, so neither kind passes for the other. Each is good for one refresh: shown again it ends
    its session, unless it is the immediate predecessor, at most *grace* old, which brings the same successor (an answer was
    lost, or two tabs asked at once). Safe to use from several threads; methods that begin with `a` are for asyncio.

    *claims_of* gives the claims of an access token besides the registered ones, by subject, anew at each refresh. *version_of* gives
    a user's token version: tokens of another one are refused, so that raising it ends all sessions of a user at once. None
    there means that the user is gone: all tokens are refused (reason REVOKED), and none are issued. What these raise is
    passed on.

    While Redis is down nobody logs in or is refreshed (TokenStateError); *access_without_redis* says whether access tokens
    are then taken on their signature ("accept": a revoked one may live out its last minutes) or not ("refuse").
    """

    def __init__(
        self,
        keys: Provider,
        state: SessionStore,
        *,
        issuer: str,
        audience: str,
        refresh_keys: Provider | None = None,
        access_lifetime: timedelta = ACCESS_LIFETIME,
        refresh_lifetime: timedelta = REFRESH_LIFETIME,
        grace: timedelta = GRACE,
        claims_of: Callable[[str], Mapping[str, Any]] | None = None,
        version_of: Callable[[str], int | None] | None = None,
        access_without_redis: Literal["accept", "refuse"] = "accept",
        now: Callable[[], float] = time.time,
    ) -> None:
        refresh_keys = keys if refresh_keys is None else refresh_keys
        require_provider(keys=keys, refresh_keys=refresh_keys)
        if not isinstance(state, SessionStore):
            raise ConfigError('state: must be a SessionStore, as in SessionStore("redis://127.0.0.1:6379/0")')
        require_names(issuer=issuer, audience=audience)
        require_durations(access_lifetime=access_lifetime, refresh_lifetime=refresh_lifetime, grace=grace)
        if audience == issuer:
            raise ConfigError("audience: must differ from the issuer, to whom refresh tokens are addressed")
        for name, function in (("claims_of", claims_of), ("version_of", version_of)):
            if function is not None:
                require_callable(**{name: function})
        if access_without_redis not in ("accept", "refuse"):
            raise ConfigError('access_without_redis: must be "accept" or "refuse"')
        if not timedelta(0) <= grace <= GRACE:
            raise ConfigError(
                "grace: must be from 0 to 10 seconds; who shows a token later than that may have stolen it"
            )
        if not timedelta(seconds=1) <= access_lifetime < refresh_lifetime:
            raise ConfigError("access_lifetime: must be at least 1 s, and shorter than refresh_lifetime")
        self._access_keys, self._refresh_keys = keys, refresh_keys
        self._access = Signer(keys, issuer=issuer, audience=audience, typ=ACCESS, now=now)
        self._refresh = Signer(self._refresh_keys, issuer=issuer, audience=issuer, typ=REFRESH, now=now)
        self._access_verifier = Verifier(keys, issuer=issuer, audience=audience, typ=ACCESS, now=now)
        self._refresh_verifier = Verifier(self._refresh_keys, issuer=issuer, audience=issuer, typ=REFRESH, now=now)
        self._state = state
        self._access_lifetime, self._refresh_lifetime, self._grace = access_lifetime, refresh_lifetime, grace
        self._claims_of, self._version_of = claims_of, version_of
        self._accepts_without_redis = access_without_redis == "accept"
        self._now = now
        self._log = StdlibLog()

    def issue(self, subject: str) -> TokenPair:
        """
        Begin a session of *subject*, whose login the caller has checked.
        """
        session, version, ids = _new_id(), self._version(subject), _Successor.new(int(self._now()))
        self._pair(subject, session, version, ids, at=0)  # tried first: without a key at hand nothing is begun
        at = self._state.begin(session, ids.refresh, subject, self._refresh_seconds)
        return self._pair(subject, session, version, ids, at)

    def verify(self, access_token: str) -> Claims:
        """
        Return the claims of an access token that was not revoked; raises InvalidTokenError, or TokenStateError by policy.
        """
        claims = self._access_verifier.verify(access_token)
        self._require_not_revoked(claims)
        return claims

    def refresh(self, refresh_token: str) -> TokenPair:
        """
        Return the successors of *refresh_token*, which is used up by it.

        Raises InvalidTokenError (reason REUSED: the session is at its end), and TokenStateError where Redis gave no answer: then
        asking again with the same token, within the grace, is safe.
        """
        claims = self._refresh_verifier.verify(refresh_token)
        ids = _ids(claims)
        # Asked once: a version that is raised meanwhile must not be found in the successors.
        version = self._require_version(claims)
        fresh = _Successor.new(int(self._now()))
        self._pair(claims.subject, ids.session, version, fresh, at=0)  # the same: only then is the token used up
        outcome, stored, at = self._state.rotate(
            ids, fresh.refresh, fresh.text(), self._grace.total_seconds(), self._refresh_seconds
        )
        if outcome == "rotated":
            return self._pair(claims.subject, ids.session, version, self._alive(stored), at)
        if outcome == "reused":
            self._log.warning("refresh_token_reused", session=ids.session)
            raise InvalidTokenError(Rejection.REUSED)
        raise InvalidTokenError(Rejection.REVOKED)

    def revoke(self, token: str) -> None:
        """
        Refuse *token* from now on: an access token by its `jti`; with a refresh token its whole session ends.

        Raises InvalidTokenError for a token that would be refused anyway, TokenStateError when nothing was revoked.
        """
        try:
            claims = self._access_verifier.verify(token)
        except InvalidTokenError as error:
            if error.reason is not Rejection.TYPE:
                raise
            self._end_session(_ids(self._refresh_verifier.verify(token)).session)
            return
        self.revoke_token(claims.token_id, claims.expires_at)

    def revoke_token(self, token_id: str, expires_at: datetime) -> None:
        """
        Refuse the token with this `jti`, which expires by itself at *expires_at*.
        """
        require_texts(token_id=token_id)
        require_aware(expires_at=expires_at)
        self._state.deny_token(token_id, expires_at.timestamp() - self._now() + _MARGIN)

    def end_session(self, session: str) -> None:
        """
        End a session (`pair.session`, or the claim `sid`): a logout. Neither its refresh token nor its access tokens are taken again.
        """
        require_session(session)
        self._end_session(session)

    def _end_session(self, session: str) -> None:
        self._state.end_session(session, self._refresh_seconds + _MARGIN)

    def revoke_kid(self, kid: str) -> None:
        """
        Refuse all tokens signed with *kid*, faster than `rotator revoke` reaches every reader; it does not replace that.
        """
        require_texts(kid=kid)
        self._state.deny_kid(kid, self._longest_life())

    def revoke_issued_before(self, moment: datetime | None = None, *, subject: str | None = None) -> None:
        """
        Refuse all tokens (of *subject*, or everybody's) issued before *moment*, by Redis' clock; by default until now.

        What `issue` gives out from now on is good.
        """
        if moment is not None:
            require_aware(moment=moment)
        if subject is not None:
            require_texts(subject=subject)
        if moment is not None and moment.timestamp() > self._now():
            raise ConfigError("moment: lies in the future; nobody could log in until then")
        at = None if moment is None else math.ceil(moment.timestamp() * 1000)
        self._state.deny_before(at, subject, self._longest_life())

    async def aissue(self, subject: str) -> TokenPair:
        """
        Do as `issue` does.
        """
        return await asyncio.to_thread(self.issue, subject)

    async def averify(self, access_token: str) -> Claims:
        """
        Do as `verify` does.
        """
        claims = await self._access_verifier.averify(access_token)
        await asyncio.to_thread(self._require_not_revoked, claims)
        return claims

    async def arefresh(self, refresh_token: str) -> TokenPair:
        """
        Do as `refresh` does.
        """
        return await asyncio.to_thread(self.refresh, refresh_token)

    async def arevoke(self, token: str) -> None:
        """
        Do as `revoke` does.
        """
        await asyncio.to_thread(self.revoke, token)

    async def aend_session(self, session: str) -> None:
        """
        Do as `end_session` does.
        """
        await asyncio.to_thread(self.end_session, session)

    @property
    def _refresh_seconds(self) -> float:
        return self._refresh_lifetime.total_seconds()

    def _longest_life(self) -> float:
        longest = max(provider.verifying().longest_token for provider in (self._access_keys, self._refresh_keys))
        return longest.total_seconds() + _MARGIN

    def _pair(self, subject: str, session: str, version: int | None, ids: "_Successor", at: int) -> TokenPair:
        common: dict[str, Any] = {"sid": session, "rat": at} | ({} if version is None else {"ver": version})
        more = {} if self._claims_of is None else self._claims_of(subject)
        if not isinstance(more, Mapping):
            raise ConfigError("claims_of: must return a mapping of claims, {} for none")
        if taken := sorted(more.keys() & {"rat", "sid", "ver"}):
            raise ConfigError(f"claims_of: {', '.join(taken)} are set by Tokens; leave them out")
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

    def _alive(self, stored: str) -> "_Successor":
        """
        Return the successor that was made before, its access part anew where that is over: Redis may have been away so long.
        """
        made = _Successor.of(stored)
        now = int(self._now())
        if now < made.access_issued + int(self._access_lifetime.total_seconds()):
            return made
        return replace(made, access=_new_id(), access_issued=now)

    def _require_not_revoked(self, claims: Claims) -> None:
        ids = _ids(claims)
        self._require_version(claims)
        try:
            revoked = self._state.revoked(ids)
        except TokenStateError as error:
            if not self._accepts_without_redis:
                raise
            self._log.warning("access_token_taken_unchecked", error=str(error))
            return
        if revoked:
            raise InvalidTokenError(Rejection.REVOKED)

    def _version(self, subject: str) -> int | None:
        """
        Return the token version of *subject*, None where nobody has one; raises InvalidTokenError for a subject who is gone.
        """
        if self._version_of is None:
            return None
        version: object = self._version_of(subject)
        if version is None:
            raise InvalidTokenError(Rejection.REVOKED)
        if type(version) is not int:
            raise ConfigError("version_of: must return an int, or None for a subject who is gone")
        return version

    def _require_version(self, claims: Claims) -> int | None:
        version = self._version(claims.subject)
        if version is not None and (type(claims.get("ver")) is not int or claims["ver"] != version):
            raise InvalidTokenError(Rejection.REVOKED)
        return version


@dataclass(frozen=True, slots=True)
class _Successor:
    """
    What makes a pair of tokens the same pair: their ids and the seconds they were issued.
    """

    refresh: str
    refresh_issued: int
    access: str
    access_issued: int

    @classmethod
    def new(cls, issued: int) -> "_Successor":
        return cls(_new_id(), issued, _new_id(), issued)

    @classmethod
    def of(cls, text: str) -> "_Successor":
        return cls(*json.loads(text))

    def text(self) -> str:
        return json.dumps([self.refresh, self.refresh_issued, self.access, self.access_issued])


# An entry on the deny-list outlives its token by the leeway of whoever verifies, and by what their clock is behind ours.
_MARGIN = 2 * MAX_LEEWAY.total_seconds()


def _ids(claims: Claims) -> TokenIds:
    session, at = claims.get("sid"), claims.get("rat")
    if not isinstance(session, str) or not session:
        raise InvalidTokenError(Rejection.CLAIMS, "sid")
    if type(at) is not int:
        raise InvalidTokenError(Rejection.CLAIMS, "rat")
    return TokenIds(claims.token_id, session, claims.kid, claims.subject, at)


def _end(issued: int, lifetime: timedelta) -> datetime:
    return datetime.fromtimestamp(issued + int(lifetime.total_seconds()), UTC)


def _new_id() -> str:
    return str(uuid.uuid4())
