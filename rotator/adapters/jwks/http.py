"""
The JWKS over HTTP: our own listener, and addresses that others serve.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.fetches import Fetches
from rotator.adapters.jwks.read_back import Answer, remarks, require_keys
from rotator.documents.jwk import parse_jwks
from rotator.model.keys import Kid
from rotator.model.publication import Publication

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

    def __init__(self, cache: JwksCache, url_base: Callable[[], str], fetches: Fetches | None = None) -> None:
        self._cache = cache
        self._url_base = url_base
        self._fetches = fetches or Fetches()

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
            self._fetches.read(
                publication,
                [self._url_base() + path for path in paths],
                lambda url, answer: require_keys(publication, answer.body, url),
            )

    def withdraw(self, keyset: str) -> None:
        """
        Drop it from the cache.
        """
        self._cache.drop(keyset)

    def close(self) -> None:
        """
        Do nothing: the daemon owns the listener.
        """


class VerifyUrls:
    """
    Addresses where consumers fetch the JWKS, served by others: read back only.

    "{keyset}" in an address stands for the name; an address without it concerns well-known keysets only. *remark* is
    told, once, what is not good about an address though it shows our keys.
    """

    name = "verify_urls"

    def __init__(
        self, urls: Iterable[str], fetches: Fetches | None = None, remark: Callable[[str], object] = lambda _: None
    ) -> None:
        self._urls = tuple(urls)
        self._fetches = fetches or Fetches()
        self._remark = remark
        self._remarked: set[str] = set()

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
            self._fetches.read(publication, self.concerning(publication), lambda *at: self._check(publication, *at))

    def withdraw(self, keyset: str) -> None:
        """
        Do nothing: those who serve these addresses read the other places.
        """

    def close(self) -> None:
        """
        Do nothing: no connection stays open between calls.
        """

    def concerning(self, publication: Publication) -> Iterator[str]:
        """
        Yield the addresses that should show the keyset.
        """
        for url in self._urls:
            if "{keyset}" in url or publication.well_known:
                yield url.replace("{keyset}", publication.document.keyset)

    def _check(self, publication: Publication, url: str, answer: Answer) -> None:
        served = require_keys(publication, answer.body, url)
        for text in remarks(publication, answer, served, url):
            if text not in self._remarked:
                self._remarked.add(text)
                self._remark(text)
