"""
The signature of a token: which key may have made it, and whether it did.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rotator.client.errors import InvalidTokenError, Rejection
from rotator.client.jose.compact import MAX_HEADER, decode_segment, parse_object, split
from rotator.client.jose.keys import Keys, VerifyingKey

Search = Callable[[str], Keys | None]
# Each would have a verifier fetch, trust or read something else than the key it already has (RFC 8725 sections 3.1, 3.10).
_FORBIDDEN = frozenset({"crit", "b64", "jku", "jwk", "x5u", "x5c", "enc", "zip", "cty", "epk"})
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_HEADERS = 256


@dataclass(frozen=True, slots=True)
class Header:
    """
    What counts of a header: `kid` is "" where there is none, `typ` in lower case without "application/".
    """

    algorithm: str
    kid: str
    typ: str


class JwsVerifier:
    """
    Opens compact JWS of one *typ* (None: any). A token names its key by kid; *kid_optional* tries every key for one that does not.
    """

    def __init__(self, typ: str | None, *, kid_optional: bool = False) -> None:
        self._typ = None if typ is None else media_type(typ)
        self._kid_optional = kid_optional
        # Of tokens that verified: all that one key signs have the same header, to the letter.
        self._headers: dict[str, Header] = {}

    def open(self, token: object, keys: Keys, search: Search) -> tuple[VerifyingKey, Header, bytes]:
        """
        Return key, header and payload of *token*, whose signature verifies; raises InvalidTokenError for any other.

        *search* is asked for a kid that is in order and not among *keys*.
        """
        try:
            text, payload, encoded = split(token)
            header = self._headers.get(text)
            known = header is not None
            if header is None:
                header = _header(text)
            signature, content = decode_segment(encoded), decode_segment(payload)
        except ValueError:
            raise InvalidTokenError(Rejection.MALFORMED) from None
        if self._typ is not None and header.typ != self._typ:
            raise InvalidTokenError(Rejection.TYPE)
        signing_input = f"{text}.{payload}".encode()
        for key in self._candidates(header, keys, search):
            if key.algorithm == header.algorithm and key.verifies(signing_input, signature):
                if not known:
                    self._remember(text, header)
                return key, header, content
        raise InvalidTokenError(Rejection.SIGNATURE)

    def _candidates(self, header: Header, keys: Keys, search: Search) -> Iterable[VerifyingKey]:
        kid = header.kid
        if not keys.named or (not kid and self._kid_optional):
            return [key for name, key in keys.verifying.items() if name not in keys.revoked]
        if kid in keys.revoked:
            raise InvalidTokenError(Rejection.REVOKED)
        key = keys.verifying.get(kid)
        if (
            key is None
            and _KID.fullmatch(kid)
            and any(k.algorithm == header.algorithm for k in keys.verifying.values())
        ):
            found = search(kid)
            if found and kid in found.revoked:
                raise InvalidTokenError(Rejection.REVOKED)
            key = found.verifying.get(kid) if found else None
        if key is None:
            raise InvalidTokenError(Rejection.UNKNOWN_KEY)
        return (key,)

    def _remember(self, text: str, header: Header) -> None:
        if len(self._headers) >= _MAX_HEADERS:
            self._headers.clear()
        self._headers[text] = header


def media_type(typ: str) -> str:
    """
    Return *typ* as it compares: without case, and with "application/" left out where that is all (RFC 7515 section 4.1.9).
    """
    name = typ.lower()
    return name.removeprefix("application/") if name.count("/") == 1 else name


def _header(segment: str) -> Header:
    data = decode_segment(segment)
    if len(data) > MAX_HEADER:
        raise ValueError("a header that long has something to hide")
    members = parse_object(data)
    algorithm, kid, typ = members.get("alg"), members.get("kid", ""), members.get("typ", "")
    if not _FORBIDDEN.isdisjoint(members):
        raise InvalidTokenError(Rejection.HEADER)
    if not isinstance(algorithm, str) or not isinstance(kid, str) or not isinstance(typ, str):
        raise InvalidTokenError(Rejection.HEADER)
    if "kid" in members and not kid:
        raise InvalidTokenError(Rejection.HEADER)
    return Header(algorithm, kid, media_type(typ))
