"""
Verifying a token: whether its signature (`jose/jws.py`) and its claims are acceptable, with nothing to switch off.

It does what RFC 8725 asks of services that accept JWTs.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rotator.client import clock
from rotator.client.arguments import is_text, require_durations, require_names, require_provider
from rotator.client.errors import InvalidTokenError, KeysUnavailableError, Rejection
from rotator.client.jose.compact import parse_object
from rotator.client.jose.jws import JwsVerifier, Search
from rotator.client.jose.keys import Keys, VerifyingKey
from rotator.client.protocols import Provider
from rotator.client.static import StaticKeys
from rotator.errors import ConfigError
from rotator.model.policy import Timing

ACCESS, REFRESH = "at+jwt", "rt+jwt"
MAX_LEEWAY = timedelta(minutes=1)
LAST_SECOND = 253402300799  # of the year 9999, the last that a datetime can hold


@dataclass(frozen=True, slots=True)
class Refresh:
    """
    A verification needs the keys as they are now. Answered with them.
    """


_Steps = Generator[Search | Refresh, Keys | None, "Claims"]


class Claims(Mapping[str, Any]):
    """
    The claims of a verified token. Only a Verifier makes them, so that unverified ones cannot be passed on.
    """

    __slots__ = ("_claims", "kid")

    def __init__(self, claims: dict[str, Any], kid: str) -> None:
        self._claims = claims
        self.kid = kid

    def __getitem__(self, name: str) -> Any:
        return self._claims[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def __repr__(self) -> str:
        return f"Claims(sub={self.subject!r}, jti={self.token_id!r})"

    @property
    def subject(self) -> str:
        """
        The user that the token is about (`sub`).
        """
        return str(self._claims["sub"])

    @property
    def token_id(self) -> str:
        """
        The id that a deny-list knows the token by (`jti`).
        """
        return str(self._claims["jti"])

    @property
    def issued_at(self) -> datetime:
        """
        When it was signed (`iat`).
        """
        return datetime.fromtimestamp(self._claims["iat"], UTC)

    @property
    def expires_at(self) -> datetime:
        """
        When it expires (`exp`); a verifier adds its leeway.
        """
        return datetime.fromtimestamp(self._claims["exp"], UTC)


class Verifier:
    """
    Accepts the tokens of one *issuer* for one *audience* and of one *typ*, and refuses everything else.

    The algorithm comes from the key. Required are `exp iat sub iss aud jti` and the header's `typ` (RFC 8725 section
    3.11). A token lives no longer than the keyset's `max_token_lifetime`, or the longest that was in force while its
    key signed. *leeway* for clocks is by default the keyset's `clock_skew`, at most a minute. A token without a kid
    is refused, unless *kid_optional* allows trying every key, for tokens from before an import. Safe to use from
    several threads.
    """

    def __init__(
        self,
        keys: Provider,
        *,
        issuer: str,
        audience: str,
        typ: str = ACCESS,
        leeway: timedelta | None = None,
        kid_optional: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        require_provider(keys=keys)
        require_names(issuer=issuer, audience=audience, typ=typ)
        if leeway is not None:
            require_durations(leeway=leeway)
        if leeway is not None and not timedelta(0) <= leeway <= MAX_LEEWAY:
            raise ConfigError("leeway: must be from 0 to 60 seconds; set clocks that differ by more")
        self._keys = keys
        self._issuer, self._audience = issuer, audience
        self._leeway = leeway
        self._now = now
        self._jws = JwsVerifier(typ, kid_optional=kid_optional)
        self._known_leeway: tuple[Timing, float] | None = None

    def verify(self, token: str) -> Claims:
        """
        Return the claims of *token*.

        Raises InvalidTokenError for any fault of the token, and KeysUnavailableError for lack of fresh keys.
        """
        steps = self._steps(token, self._keys.verifying())
        answer: Keys | None = None
        while True:
            try:
                request = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer = self._keys.search(request.kid) if isinstance(request, Search) else self._keys.refresh()

    async def averify(self, token: str) -> Claims:
        """
        Do as `verify` does, without blocking the event loop.
        """
        try:
            keys = self._keys.verifying(wait=False)
        except KeysUnavailableError:
            keys = await asyncio.to_thread(self._keys.verifying)
        steps = self._steps(token, keys)
        answer: Keys | None = None
        while True:
            try:
                request = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(request, Search):
                answer = await self._keys.asearch(request.kid)
            else:
                answer = await self._keys.arefresh()

    def _steps(self, token: object, keys: Keys) -> _Steps:
        """
        Verify *token* with *keys*: yield what that needs, which a driver answers, and return the claims.

        Waits for nothing.
        """
        key, header, payload = yield from self._jws.open(token, keys)
        try:
            claims = parse_object(payload)
        except ValueError:
            raise InvalidTokenError(Rejection.MALFORMED) from None
        self._require_for_us(claims)
        life = _require_times(claims)
        self._require_now(claims, keys.timing)
        if life > _longest_life(keys, key):
            yield from self._require_longer_policy(claims, keys, key)
        return Claims(claims, header.kid)

    def _require_for_us(self, claims: dict[str, Any]) -> None:
        if claims.get("iss") != self._issuer:
            raise InvalidTokenError(Rejection.CLAIMS, "iss")
        if claims.get("aud") not in (self._audience, [self._audience]):
            raise InvalidTokenError(Rejection.CLAIMS, "aud")
        for name in ("sub", "jti"):
            if not is_text(claims.get(name)):
                raise InvalidTokenError(Rejection.CLAIMS, name)

    def _require_now(self, claims: dict[str, Any], timing: Timing) -> None:
        leeway, now = self._leeway_of(timing), self._now()
        if now >= claims["exp"] + leeway:
            raise InvalidTokenError(Rejection.EXPIRED)
        # An int of any size compares with a float; calculating with it could overflow.
        if now + leeway < max(claims["iat"], claims.get("nbf", 0)):
            raise InvalidTokenError(Rejection.NOT_YET_VALID)

    def _require_longer_policy(
        self, claims: dict[str, Any], keys: Keys, key: VerifyingKey
    ) -> Generator[Refresh, Keys | None, None]:
        """
        Refuse the token, unless a policy that was saved after *keys* were read allows its life.

        A longer policy is saved before any signer may use it, so *keys* may be older. They are refreshed only for a
        token that is younger than they are and signed with one of them. So a stranger cannot cause refreshes, and one
        refresh decides all tokens issued before it.
        """
        age = self._now() - claims["iat"] - self._leeway_of(keys.timing)
        if keys.policy_known and clock.now() - keys.read_at > age:
            newer = yield Refresh()
            if newer is None or newer.read_at <= keys.read_at:
                raise KeysUnavailableError("a token lives longer than the policy allows, which could not be read again")
            if key.kid in newer.revoked:
                raise InvalidTokenError(Rejection.REVOKED)
            now = newer.verifying.get(key.kid)
            if now is not None and claims["exp"] - claims["iat"] <= _longest_life(newer, now):
                return
        raise InvalidTokenError(Rejection.CLAIMS, "exp")

    def _leeway_of(self, timing: Timing) -> float:
        known = self._known_leeway
        if known is None or known[0] is not timing:
            leeway = min(timing.clock_skew, MAX_LEEWAY) if self._leeway is None else self._leeway
            known = timing, leeway.total_seconds()
            self._known_leeway = known
        return known[1]


def verify_with(
    current: str, *former: str | None, issuer: str, audience: str, algorithm: str = "HS256", typ: str = ACCESS
) -> Verifier:
    """
    Return a Verifier for services that have a secret and former ones in their environment, and no Vault.

    `verify_with(environ["JWT_SECRET"], environ.get("JWT_SECRET_OLD"), issuer=..., audience=...)`: as strict as with a
    keyset. Raises WeakSecretError for a secret that could be guessed.
    """
    return Verifier(StaticKeys(current, *former, algorithm=algorithm), issuer=issuer, audience=audience, typ=typ)


def _require_times(claims: dict[str, Any]) -> int:
    """
    Return the seconds from `iat` to `exp`.
    """
    expires, issued, not_before = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
    # Not `isinstance`: True is an int, too. A float could be infinite.
    if type(expires) is not int or expires > LAST_SECOND:
        raise InvalidTokenError(Rejection.CLAIMS, "exp")
    if type(issued) is not int or not 0 <= issued < expires:
        raise InvalidTokenError(Rejection.CLAIMS, "iat")
    if type(not_before) is not int:
        raise InvalidTokenError(Rejection.CLAIMS, "nbf")
    return expires - issued


def _longest_life(keys: Keys, key: VerifyingKey) -> float:
    # A shorter policy revokes nothing: the key signed under a longer one, and is kept for its tokens.
    return max(keys.timing.max_token_lifetime, key.longest_token).total_seconds()
