"""
The JWKS over HTTP: our own listener, and addresses that others serve.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator

from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.read_back import fetch, require_keys
from rotator.documents.jwk import parse_jwks
from rotator.model.keys import Kid
from rotator.model.publication import Publication

FETCH_TIMEOUT = 10.0
WELL_KNOWN_PATH = "/.well-known/jwks.json"


def keyset_path(name: str) -> str:
    """
    Return the path under which our listener serves one keyset.
    """
    return f"/keysets/{name}/jwks.json"


class HttpPublisher:
    """
    Our own listener, which serves what *cache* holds. *url_base* returns its address, without a slash at the end.
    """

    name = "http"

    def __init__(self, cache: JwksCache, url_base: Callable[[], str]) -> None:
        self._cache = cache
        self._url_base = url_base

    def publish(self, publication: Publication) -> None:
        """
        Put it into the cache.
        """
        self._cache.put(publication)

    def served_kids(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids this process serves; None before it has served the keyset.
        """
        known = self._cache.get(publication.document.keyset)
        return None if known is None or publication.symmetric else parse_jwks(known.document.jwks).keys()

    def read_back(self, publication: Publication) -> None:
        """
        Ask the listener, over its socket.
        """
        if not publication.symmetric:
            paths = [keyset_path(publication.document.keyset), *([WELL_KNOWN_PATH] if publication.well_known else [])]
            confirm_urls(publication, (self._url_base() + path for path in paths), FETCH_TIMEOUT)

    def close(self) -> None:
        """
        Do nothing: the daemon owns the listener.
        """


class VerifyUrls:
    """
    Addresses where consumers fetch the JWKS, served by others: read back only, all within *timeout* seconds.

    "{keyset}" in an address stands for the name; an address without it concerns well-known keysets only.
    """

    name = "verify_urls"

    def __init__(self, urls: Iterable[str], timeout: float = FETCH_TIMEOUT) -> None:
        self._urls = tuple(urls)
        self._timeout = timeout

    def publish(self, publication: Publication) -> None:
        """
        Do nothing: those who serve these addresses read the other places.
        """

    def served_kids(self, publication: Publication) -> Collection[Kid] | None:  # noqa: ARG002 - the port's signature
        """
        Return None: this process never served them.
        """
        return None

    def read_back(self, publication: Publication) -> None:
        """
        Read every address back.
        """
        if not publication.symmetric:
            confirm_urls(publication, self._concerning(publication), self._timeout)

    def close(self) -> None:
        """
        Do nothing: no connection stays open between calls.
        """

    def _concerning(self, publication: Publication) -> Iterator[str]:
        for url in self._urls:
            if "{keyset}" in url or publication.well_known:
                yield url.replace("{keyset}", publication.document.keyset)


def confirm_urls(publication: Publication, urls: Iterable[str], timeout: float) -> None:
    """
    Read back every address of *urls*, all within *timeout* seconds; raises PublicationError at the first missing key.
    """
    deadline = time.monotonic() + timeout
    for url in urls:
        body = fetch(url, max(0.1, deadline - time.monotonic()))
        require_keys(publication, body.decode(errors="replace"), url)
