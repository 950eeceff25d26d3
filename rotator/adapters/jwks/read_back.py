"""
A JWKS as its consumers read it: one bounded HTTP GET, and whether every key of ours is there.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from rotator.adapters.http_client import get, max_age_of
from rotator.documents.jwk import parse_jwks
from rotator.documents.served_jwks import MAX_JWKS, ServedJwks, read_jwks
from rotator.errors import KeyMaterialError, PrivateKeyPublishedError, PublicationError
from rotator.model.publication import Publication

_HEADERS: Mapping[str, str] = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "Cache-Control": "no-cache",
    "Connection": "close",
    "Pragma": "no-cache",
    "User-Agent": "rotator",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What an address serves, and for how many seconds it may be cached (None if it does not say).
    """

    body: bytes
    max_age: int | None = None


def require_keys(publication: Publication, body: str | bytes, where: str) -> ServedJwks:
    """
    Return the JWKS that *body* is; raises PublicationError unless services can use every key of *publication* from it.

    Our keys must be there member for member. Other keys, and other members of ours, are other publishers' business. A
    second key under one of our kids is not, and a private key of ours raises PrivateKeyPublishedError.
    """
    try:
        served = read_jwks(body)
    except KeyMaterialError:
        raise PublicationError(f"{where} shows no JWKS") from None
    refuse_private(publication, served, where)
    for kid, ours in parse_jwks(publication.document.jwks).items():
        entries = [entry for entry in served.entries if entry.kid == kid]
        if not entries:
            raise PublicationError(f"{where} does not show kid {kid}")
        for entry in entries:
            wrong = [name for name, value in ours.items() if entry.members.get(name) != value]
            if not {"kty", "n", "e"}.isdisjoint(wrong):
                raise PublicationError(f"{where} shows another key under kid {kid}")
            if entry.fault or wrong:
                what = entry.fault or f"differs in {', '.join(wrong)}"
                raise PublicationError(f"{where} shows kid {kid} so that no service can use it: it {what}")
    return served


def refuse_leak(publication: Publication, found: str | bytes, where: str) -> None:
    """
    Raise PrivateKeyPublishedError if a private key of ours was *found* at a place of ours, be it replaced by now.

    Somebody may have read it. What is no JWKS at all shows none.
    """
    try:
        refuse_private(publication, read_jwks(found), where)
    except KeyMaterialError:
        return


def refuse_private(publication: Publication, served: ServedJwks, where: str) -> None:
    """
    Raise PrivateKeyPublishedError if *served* shows the private part of a key of *publication*, under whatever kid.
    """
    exposed = {entry.modulus for entry in served.entries if entry.private} - {None}
    ours = read_jwks(publication.document.jwks).entries
    kids = [entry.kid for entry in ours if entry.kid in served.leaked or entry.modulus in exposed]
    if kids:
        raise PrivateKeyPublishedError(f"{where} shows the private key of kid {' and '.join(kids)}", *kids)


def remarks(publication: Publication, answer: Answer, served: ServedJwks, where: str) -> Iterator[str]:
    """
    Yield what is not good about an answer that has every key of *publication*.
    """
    quarter = publication.timing.propagation_time.total_seconds() / 4
    if answer.max_age is not None and answer.max_age > quarter:
        yield (
            f"{where} lets caches keep it for {answer.max_age} s (max-age), longer than a quarter of propagation_time "
            f"({quarter:g} s): services may learn of a key too late; lower it there, or raise propagation_time"
        )
    if strangers := [entry.kid for entry in served.entries if entry.private]:
        named = f"kid {', '.join(sorted(set(strangers)))[:200]}" if any(strangers) else "a key without a kid"
        yield (
            f"{where} shows a private key that is none of {publication.document.keyset} ({named}): if it is of another "
            "keyset, revoke it there; else tell those whose it is"
        )


def fetch(url: str, timeout: float, ca_file: Path | None = None) -> Answer:
    """
    Return what *url* serves, at most 1 MiB, within *timeout* seconds for all of it, the name's lookup included.

    Caches are passed and TLS certificates verified, against *ca_file* beside the system's authorities. Raises
    PublicationError for any status but 200: redirects, too, since several verifiers do not follow them.
    """
    _refuse_credentials(url)
    try:
        response, body = get(url, _HEADERS, time.monotonic() + timeout, MAX_JWKS, ca_file)
    except TimeoutError as error:
        raise PublicationError(f"{url} did not answer within {timeout:g} s") from error
    except (OSError, HTTPException, ValueError) as error:
        raise PublicationError(f"{url} cannot be read: {str(error) or type(error).__name__}") from error
    if 300 <= response.status < 400:  # noqa: PLR2004 - the class of redirects
        raise PublicationError(f"{url} redirects; name the address it redirects to")
    if response.status != 200:  # noqa: PLR2004 - the one status that carries a JWKS
        raise PublicationError(f"{url} answered {response.status}")
    if response.getheader("Content-Encoding", "identity") != "identity":
        raise PublicationError(f"{url} answers compressed although asked not to")
    return Answer(body, max_age_of(response))


def _refuse_credentials(url: str) -> None:
    try:
        split = urlsplit(url)
    except ValueError as error:
        raise PublicationError(f"{url} is no address") from error
    if split.username is not None or split.password is not None:
        raise PublicationError("an address to read back names a user or password; a JWKS is public, leave them out")
