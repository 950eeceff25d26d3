"""
Signing a token: with the current key only, and never for longer than the keyset's policy allows.
"""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from rotator.client.arguments import is_text, require_names, require_provider
from rotator.client.errors import SigningError
from rotator.client.jose.compact import MAX_TOKEN, parse_object
from rotator.client.protocols import Provider
from rotator.client.verifier import ACCESS, MAX_LEEWAY
from rotator.model.times import format_duration

RESERVED = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti"})
LIFETIME = timedelta(minutes=15)


class Signer:
    """
    Signs tokens of one *issuer*, with kid and typ, and with `iss sub aud iat exp jti`.

    Safe to use from several threads.

    It raises KeysUnavailableError when its keys are older than the propagation time: a signer that is cut off from
    its source must not go on with a key that others may have retired.
    """

    def __init__(
        self, keys: Provider, *, issuer: str, audience: str, typ: str = ACCESS, now: Callable[[], float] = time.time
    ) -> None:
        require_provider(keys=keys)
        require_names(issuer=issuer, audience=audience, typ=typ)
        self._keys = keys
        self._issuer, self._audience, self._typ = issuer, audience, typ
        self._now = now

    def sign(
        self,
        subject: str,
        *,
        lifetime: timedelta = LIFETIME,
        claims: Mapping[str, Any] | None = None,
        token_id: str = "",
        issued_at: int | None = None,
    ) -> str:
        """
        Return a token about *subject* that expires after *lifetime*, in whole seconds; *claims* are further ones.

        *token_id* is the `jti`, a random UUID by default; *issued_at* is the `iat` in seconds since 1970, now by
        default. Raises SigningError for what the policy or the format does not allow, and KeysUnavailableError.
        """
        if not isinstance(lifetime, timedelta):
            raise SigningError("lifetime must be a timedelta, as in timedelta(minutes=15)")
        # Read before the keys are: the token must not be younger than the moment at which they may sign.
        now = int(self._now())
        keys = self._keys.signing()
        longest, seconds = keys.timing.max_token_lifetime, int(lifetime.total_seconds())
        if lifetime > longest:
            raise SigningError(
                f"lifetime ({format_duration(lifetime)}) exceeds max_token_lifetime of the keyset "
                f"({format_duration(longest)}); shorten it, or raise max_token_lifetime in rotator's configuration first"
            )
        if seconds < 1:
            raise SigningError("lifetime must be at least 1s")
        if not is_text(subject):
            raise SigningError("subject must be a text of at most 1024 characters")
        if token_id and not is_text(token_id):
            raise SigningError("token_id must be a text of at most 1024 characters")
        if claims is not None and not isinstance(claims, Mapping):
            raise SigningError("claims must be a mapping, as in {'roles': ['reader']}")
        extra = dict(claims or {})
        if reserved := sorted(RESERVED & extra.keys()):
            raise SigningError(f"claims: {', '.join(reserved)} are set by the signer; leave them out")
        issued = now if issued_at is None else issued_at
        if type(issued) is not int or not 0 <= issued <= now + MAX_LEEWAY.total_seconds():
            raise SigningError("issued_at must be whole seconds since 1970, and at most a minute ahead of now")
        registered = {
            "iss": self._issuer,
            "sub": subject,
            "aud": self._audience,
            "iat": issued,
            "exp": issued + seconds,
            "jti": token_id or str(uuid.uuid4()),
        }
        try:
            payload = json.dumps(
                {**registered, **extra}, separators=(",", ":"), allow_nan=False, ensure_ascii=False
            ).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise SigningError(f"claims cannot be written as JSON ({type(error).__name__})") from None
        if extra:
            # A Verifier would refuse a token with a name twice, as 1 and "1" are in JSON, or with 17 levels.
            try:
                parse_object(payload)
            except ValueError as error:
                raise SigningError(f"claims: no verifier would accept them ({error})") from None
        if keys.signing is None:
            raise SigningError("these keys do not sign")
        token = keys.signing.signed(self._typ, payload)
        if len(token) > MAX_TOKEN:
            raise SigningError(f"the token has {len(token)} bytes, more than {MAX_TOKEN}; put less into its claims")
        return token
