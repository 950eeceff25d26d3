"""
The places where verifiers find the JWKS: the store, a file, our own listener, and addresses that others serve.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from rotator.adapters.jwks.cache import Board
from rotator.adapters.jwks.file import FilePublisher
from rotator.adapters.jwks.read_back import fetch, require_keys
from rotator.documents.jwk import EMPTY, parse_jwks
from rotator.documents.signing import Fields, decode_public, encode_public
from rotator.errors import DocumentError, PublicationError, StoreConflictError, VerificationKeyError
from rotator.model.keys import Kid
from rotator.ports.store import DocumentStore, Publication, Tree

__all__ = ["WELL_KNOWN_PATH", "FilePublisher", "HttpPublisher", "StorePublisher", "VerifyUrls", "keyset_path"]

ATTEMPTS = 3
FETCH_TIMEOUT = 10.0
WELL_KNOWN_PATH = "/.well-known/jwks.json"


def keyset_path(name: str) -> str:
    """
    Return the path under which our listener serves one keyset.
    """
    return f"/keysets/{name}/jwks.json"


@dataclass(frozen=True, slots=True)
class _Seen:
    """
    A public document as the store last showed it: *at* is monotonic seconds, *fields* None where there is none of ours.
    """

    version: int
    fields: Fields | None
    at: float


class StorePublisher:
    """
    The tree `jwks/` of the store. What it holds is remembered for a propagation time at most, to spare requests.
    """

    name = "store"

    def __init__(self, store: DocumentStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._seen: dict[str, _Seen] = {}

    def publish(self, publication: Publication) -> None:
        """
        Save the public document unless it is there, or a later one of the same epoch is.

        Of a symmetric keyset it is saved only when something verifiers read has changed; its sequence may lag.
        """
        keyset, fields = publication.document.keyset, encode_public(publication.document)
        _scan(publication)
        for _ in range(ATTEMPTS):
            seen = self._seen.get(keyset)
            if seen is None or self._monotonic() - seen.at >= publication.timing.propagation_time.total_seconds():
                seen = self._look(keyset)
            if not _outdated(seen.fields, fields, symmetric=publication.symmetric):
                return
            try:
                stored = self._store.save(Tree.JWKS, keyset, fields, seen.version)
            except StoreConflictError:
                self._seen.pop(keyset, None)
            except BaseException:
                self._seen.pop(keyset, None)
                raise
            else:
                self._seen[keyset] = _Seen(stored.version, fields, self._monotonic())
                return
        raise PublicationError(f"{keyset}: its public document keeps changing under us; find out who else writes it")

    def shown(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids of the stored set; none where there is no document, or none that verifiers can read.
        """
        try:
            return parse_jwks(_text_of(self._look(publication.document.keyset).fields)).keys()
        except (PublicationError, VerificationKeyError):
            return ()

    def confirm(self, publication: Publication) -> None:
        """
        Read the document back.
        """
        if not publication.symmetric:
            fields = self._look(publication.document.keyset).fields
            require_keys(publication, _text_of(fields), f"the public document of {publication.document.keyset}")

    def _look(self, keyset: str) -> _Seen:
        stored = self._store.load(Tree.JWKS, keyset)
        fields: Fields | None = None
        if stored.fields is not None:
            try:
                fields = encode_public(decode_public(stored.fields, keyset))
            except DocumentError as error:
                self._seen.pop(keyset, None)
                raise PublicationError(
                    f"{error}; move {Tree.JWKS}/{keyset} away, or give rotator a prefix of its own"
                ) from error
        self._seen[keyset] = seen = _Seen(stored.version, fields, self._monotonic())
        return seen


def _scan(publication: Publication) -> None:
    try:
        parse_jwks(publication.document.jwks)
    except VerificationKeyError as error:
        raise PublicationError(f"{publication.document.keyset}: {error}") from error


def _text_of(fields: Fields | None) -> str:
    return str(fields["jwks"]) if fields else EMPTY


def _outdated(shown: Fields | None, wanted: Fields, *, symmetric: bool) -> bool:
    if shown is None or shown["epoch"] != wanted["epoch"]:
        return True
    lag = int(wanted["sequence"]) - int(shown["sequence"])
    changed = any(shown[member] != wanted[member] for member in ("jwks", "revoked"))
    return lag >= 0 and (changed or (lag > 0 and not symmetric))


class HttpPublisher:
    """
    Our own listener, which serves what the board holds. *url_base* tells its address, without a slash at the end.
    """

    name = "http"

    def __init__(self, board: Board, url_base: Callable[[], str]) -> None:
        self._board = board
        self._url_base = url_base

    def publish(self, publication: Publication) -> None:
        """
        Put it on the board.
        """
        self._board.put(publication)

    def shown(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids this process serves; None before it has served the keyset.
        """
        known = self._board.get(publication.document.keyset)
        return None if known is None or publication.symmetric else parse_jwks(known.document.jwks).keys()

    def confirm(self, publication: Publication) -> None:
        """
        Ask the listener, over its socket.
        """
        if not publication.symmetric:
            paths = [keyset_path(publication.document.keyset), *([WELL_KNOWN_PATH] if publication.well_known else [])]
            _confirm_urls(publication, (self._url_base() + path for path in paths), FETCH_TIMEOUT)


class VerifyUrls:
    """
    Addresses where consumers really fetch the JWKS, served by others: read back only, all within *timeout* seconds.

    "{keyset}" in an address stands for the name; an address without it concerns well-known keysets only.
    """

    name = "verify_urls"

    def __init__(self, urls: Iterable[str], timeout: float = FETCH_TIMEOUT) -> None:
        self._urls = tuple(urls)
        self._timeout = timeout

    def publish(self, publication: Publication) -> None:
        """
        Do nothing: whoever serves these addresses reads the other places.
        """

    def shown(self, publication: Publication) -> Collection[Kid] | None:  # noqa: ARG002 - the port's signature
        """
        Return None: this process never served them.
        """
        return None

    def confirm(self, publication: Publication) -> None:
        """
        Read every address back.
        """
        if not publication.symmetric:
            _confirm_urls(publication, self._concerning(publication), self._timeout)

    def _concerning(self, publication: Publication) -> Iterator[str]:
        for url in self._urls:
            if "{keyset}" in url or publication.well_known:
                yield url.replace("{keyset}", publication.document.keyset)


def _confirm_urls(publication: Publication, urls: Iterable[str], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    for url in urls:
        body = fetch(url, max(0.1, deadline - time.monotonic()))
        require_keys(publication, body.decode(errors="replace"), url)
