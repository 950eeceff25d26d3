"""
The signature of a token: which key may have made it, and whether that key did.
"""

import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass

from rotator.client.errors import InvalidTokenError, Rejection
from rotator.client.jose.compact import MAX_HEADER, decode_segment, parse_object, split
from rotator.client.jose.keys import Keys, VerifyingKey

# Each would make a verifier fetch, trust or read something other than the key that it already has (RFC 8725 sections
# 3.1, 3.10).
_FORBIDDEN = frozenset({"crit", "b64", "jku", "jwk", "x5u", "x5c", "enc", "zip", "cty", "epk"})
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_HEADERS = 256


@dataclass(frozen=True, slots=True)
class Header:
    """
    The members of a header that count: `kid` is "" if there is none, `typ` is in lower case and without "application/".
    """

    algorithm: str
    kid: str
    typ: str


@dataclass(frozen=True, slots=True)
class Search:
    """
    What opening a token may need: the key *kid*, which is not among the keys at hand.

    The answer is keys that hold it, or None.
    """

    kid: str


class JwsVerifier:
    """
    Opens compact JWS of one *typ* (None: any).

    A token names its key by kid. With *kid_optional*, a token without a kid is tried with every key.
    """

    def __init__(self, typ: str | None, *, kid_optional: bool = False) -> None:
        self._typ = None if typ is None else media_type(typ)
        self._kid_optional = kid_optional
        # Headers of tokens that verified: all tokens of one key have the same header, to the letter.
        self._headers: dict[str, Header] = {}

    def open(self, token: object, keys: Keys) -> Generator[Search, Keys | None, tuple[VerifyingKey, Header, bytes]]:
        """
        Return key, header and payload of *token*, whose signature verifies; raises InvalidTokenError for any other.

        Yields a Search if the kid is well-formed, is not among *keys*, and one of them has the algorithm of the token.
        """
        try:
            text, payload, encoded = split(token)
            header = self._headers.get(text)
            remembered = header is not None
            if header is None:
                header = _header(text)
            signature, content = decode_segment(encoded), decode_segment(payload)
        except ValueError:
            raise InvalidTokenError(Rejection.MALFORMED) from None
        if self._typ is not None and header.typ != self._typ:
            raise InvalidTokenError(Rejection.TYPE)
        if _is_worth_a_search(header, keys):
            keys = (yield Search(header.kid)) or keys
        signing_input = f"{text}.{payload}".encode()
        for key in self._candidates(header.kid, keys):
            if key.algorithm == header.algorithm and key.verifies(signing_input, signature):
                if not remembered:
                    self._remember(text, header)
                return key, header, content
        raise InvalidTokenError(Rejection.SIGNATURE)

    def _candidates(self, kid: str, keys: Keys) -> Iterable[VerifyingKey]:
        if not keys.named or (not kid and self._kid_optional):
            return [key for name, key in keys.verifying.items() if name not in keys.revoked]
        if kid in keys.revoked:
            raise InvalidTokenError(Rejection.REVOKED)
        key = keys.verifying.get(kid)
        if key is None:
            raise InvalidTokenError(Rejection.UNKNOWN_KEY)
        return (key,)

    def _remember(self, text: str, header: Header) -> None:
        if len(self._headers) >= _MAX_HEADERS:
            self._headers.clear()
        self._headers[text] = header


def _is_worth_a_search(header: Header, keys: Keys) -> bool:
    kid = header.kid
    return (
        kid not in keys.verifying
        and keys.named
        and kid not in keys.revoked
        and _KID.fullmatch(kid) is not None
        and any(key.algorithm == header.algorithm for key in keys.verifying.values())
    )


def media_type(typ: str) -> str:
    """
    Return *typ* as it is compared (RFC 7515 section 4.1.9).

    That is in lower case, and without "application/" if no other slash follows.
    """
    name = typ.lower()
    return name.removeprefix("application/") if name.count("/") == 1 else name


def _header(segment: str) -> Header:
    data = decode_segment(segment)
    if len(data) > MAX_HEADER:
        raise ValueError("the header is too long")
    members = parse_object(data)
    algorithm, kid, typ = members.get("alg"), members.get("kid", ""), members.get("typ", "")
    if not _FORBIDDEN.isdisjoint(members):
        raise InvalidTokenError(Rejection.HEADER)
    if not isinstance(algorithm, str) or not isinstance(kid, str) or not isinstance(typ, str):
        raise InvalidTokenError(Rejection.HEADER)
    if "kid" in members and not kid:
        raise InvalidTokenError(Rejection.HEADER)
    return Header(algorithm, kid, media_type(typ))
