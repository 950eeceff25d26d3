"""
A JWKS as its consumers read it: one bounded HTTP GET, and whether every key of ours is there.
"""

import json
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from rotator.adapters.http_client import get
from rotator.documents.jwk import parse_jwks
from rotator.errors import PublicationError
from rotator.model.publication import Publication

MAX_BODY = 1 << 20
_HEADERS: Mapping[str, str] = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "Cache-Control": "no-cache",
    "Connection": "close",
    "Pragma": "no-cache",
    "User-Agent": "rotator",
}


def require_keys(publication: Publication, text: str, where: str) -> None:
    """
    Raise PublicationError unless *text* is a JWKS with every key of *publication* in it, member for member.

    Other keys, and other members of ours, are other publishers' business. A second key under one of our kids is not.
    """
    try:
        entries: list[dict[str, Any]] = json.loads(text)["keys"]
        served = [(entry.get("kid"), entry.items()) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PublicationError(f"{where} shows no JWKS") from error
    for kid, member in parse_jwks(publication.document.jwks).items():
        found = [items for served_kid, items in served if served_kid == kid]
        if not found:
            raise PublicationError(f"{where} does not show kid {kid}")
        if not all(member.items() <= items for items in found):
            raise PublicationError(f"{where} shows another key under kid {kid}")


def fetch(url: str, timeout: float) -> bytes:
    """
    Return what *url* serves, at most 1 MiB, within *timeout* seconds for all of it, the name's lookup included.

    Caches are passed and TLS certificates verified. Raises PublicationError for any status but 200: redirects, too,
    since several verifiers do not follow them.
    """
    _refuse_credentials(url)
    try:
        response, body = get(url, _HEADERS, time.monotonic() + timeout, MAX_BODY)
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
    return body


def _refuse_credentials(url: str) -> None:
    try:
        split = urlsplit(url)
    except ValueError as error:
        raise PublicationError(f"{url} is no address") from error
    if split.username is not None or split.password is not None:
        raise PublicationError("an address to read back names a user or password; a JWKS is public, leave them out")
