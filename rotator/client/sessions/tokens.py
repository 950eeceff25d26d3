"""
Access and refresh tokens: issued in pairs, refreshed once each, revoked before they expire.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
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
from rotator.client.sessions.pair import PairIds, PairSigner, TokenPair, new_id
from rotator.client.sessions.state import SessionStore, TokenIds
from rotator.client.verifier import ACCESS, MAX_LEEWAY, REFRESH, Claims, Verifier
from rotator.errors import ConfigError

ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=7)
GRACE = timedelta(seconds=10)


class Tokens:
    """
    Issues, checks, refreshes and revokes the tokens of one *issuer* for one *audience*.

    *keys* sign and verify; *refresh_keys* do so for refresh tokens, if those have a keyset of their own. Refresh
    tokens have the type `rt+jwt` and the issuer as audience, so neither kind passes for the other. Each is good for
    one refresh. Used again, it ends its session, unless it is the immediate predecessor, used at most *grace* ago:
    that brings the same successor (an answer was lost, or two tabs asked at once). Safe to use from several threads;
    methods that begin with `a` are for asyncio.

    *claims_of* maps a subject to further claims of its access tokens; it is called at each refresh. *version_of* maps
    a subject to its token version, or to None if the user is gone. Tokens with another version are refused (reason
    REVOKED), so raising it ends all sessions of a user at once; for None all are refused, and none are issued. What
    these functions raise is passed on.

    While Redis is down, no session begins and no token is refreshed (TokenStateError). *access_without_redis* says
    what then happens to access tokens: "accept" checks only signature and claims, so a revoked one may live out its
    last minutes; "refuse" raises TokenStateError.
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
            raise ConfigError("grace: must be from 0 to 10 seconds; a token that is used again later may be stolen")
        if not timedelta(seconds=1) <= access_lifetime < refresh_lifetime:
            raise ConfigError("access_lifetime: must be at least 1 s, and shorter than refresh_lifetime")
        self._access_keys, self._refresh_keys = keys, refresh_keys
        self._pairs = PairSigner(
            keys, refresh_keys, issuer, audience, access_lifetime, refresh_lifetime, claims_of=claims_of, now=now
        )
        self._access_verifier = Verifier(keys, issuer=issuer, audience=audience, typ=ACCESS, now=now)
        self._refresh_verifier = Verifier(refresh_keys, issuer=issuer, audience=issuer, typ=REFRESH, now=now)
        self._state = state
        self._refresh_lifetime, self._grace = refresh_lifetime, grace
        self._version_of = version_of
        self._accepts_without_redis = access_without_redis == "accept"
        self._now = now
        self._log = StdlibLog()

    def issue(self, subject: str) -> TokenPair:
        """
        Begin a session of *subject*, whose login the caller has checked; return its first pair.
        """
        session, version, ids = new_id(), self._version(subject), PairIds.new(int(self._now()))
        self._pairs.sign(subject, session, version, ids, at=0)  # tried first: without keys no session is begun
        at = self._state.begin(session, ids.refresh, subject, self._refresh_seconds)
        return self._pairs.sign(subject, session, version, ids, at)

    def verify(self, access_token: str) -> Claims:
        """
        Return the claims of an access token that was not revoked; raises InvalidTokenError.

        Without Redis, *access_without_redis* decides whether it raises TokenStateError.
        """
        claims = self._access_verifier.verify(access_token)
        self._require_not_revoked(claims)
        return claims

    def refresh(self, refresh_token: str) -> TokenPair:
        """
        Return the successors of *refresh_token*, which is then used up.

        Raises InvalidTokenError (with reason REUSED the session has ended), and TokenStateError if Redis did not
        answer: then it is safe to ask again with the same token, within the grace.
        """
        claims = self._refresh_verifier.verify(refresh_token)
        ids = _ids(claims)
        # Asked once: if the version is raised meanwhile, the successors must not bear the new one.
        version = self._require_version(claims)
        successor = PairIds.new(int(self._now()))
        self._pairs.sign(
            claims.subject, ids.session, version, successor, at=0
        )  # tried first: then the token is used up
        outcome, stored, at = self._state.rotate(
            ids, successor.refresh, successor.text(), self._grace.total_seconds(), self._refresh_seconds
        )
        if outcome == "rotated":
            successor = self._pairs.renewed(PairIds.of(stored))
            return self._pairs.sign(claims.subject, ids.session, version, successor, at)
        if outcome == "reused":
            self._log.warning("refresh_token_reused", session=ids.session)
            raise InvalidTokenError(Rejection.REUSED)
        raise InvalidTokenError(Rejection.REVOKED)

    def revoke(self, token: str) -> None:
        """
        Refuse *token* from now on: an access token by its `jti`; a refresh token ends its whole session.

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
        End a session (`pair.session`, or the claim `sid`): a logout.

        Its refresh token and its access tokens are refused.
        """
        require_session(session)
        self._end_session(session)

    def _end_session(self, session: str) -> None:
        self._state.end_session(session, self._refresh_seconds + _MARGIN)

    def revoke_kid(self, kid: str) -> None:
        """
        Refuse all tokens signed with *kid*, sooner than `rotator revoke` reaches every reader. Run that command, too.
        """
        require_texts(kid=kid)
        self._state.deny_kid(kid, self._longest_life())

    def revoke_issued_before(self, moment: datetime | None = None, *, subject: str | None = None) -> None:
        """
        Refuse all tokens (of *subject*, or everybody's) issued before *moment*, by Redis' clock; by default until now.

        Tokens that `issue` returns after this call are good.
        """
        if moment is not None:
            require_aware(moment=moment)
        if subject is not None:
            require_texts(subject=subject)
        if moment is not None and moment.timestamp() > self._now():
            raise ConfigError("moment: lies in the future; no login would work until then")
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
        Return the token version of *subject*, None without a *version_of*.

        Raises InvalidTokenError if the user is gone.
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


# An entry on the deny-list outlives its token by the leeway of verifiers, and by as much as their clocks may be
# behind ours.
_MARGIN = 2 * MAX_LEEWAY.total_seconds()


def _ids(claims: Claims) -> TokenIds:
    session, at = claims.get("sid"), claims.get("rat")
    if not isinstance(session, str) or not session:
        raise InvalidTokenError(Rejection.CLAIMS, "sid")
    if type(at) is not int:
        raise InvalidTokenError(Rejection.CLAIMS, "rat")
    return TokenIds(claims.token_id, session, claims.kid, claims.subject, at)
