"""
The public listener: the JWKS of each keyset, the combined one, their Cache-Control header, and nothing else.
"""

import hashlib
from collections.abc import Collection
from http import HTTPStatus

from rotator.adapters.jwks.cache import Combined, JwksCache
from rotator.adapters.jwks.http import WELL_KNOWN_PATH
from rotator.daemon.http_message import Request, Response, plain
from rotator.model.policy import max_age
from rotator.model.publication import Jwks, Publication

# A public document: scripts of every origin may read it (CORS), failures too.
_OF_EVERY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
_NOT_YET = plain(HTTPStatus.SERVICE_UNAVAILABLE, "not loaded yet", retry_after="1", **_OF_EVERY_ORIGIN)
_NOT_FOUND = plain(HTTPStatus.NOT_FOUND, **_OF_EVERY_ORIGIN)
PREFLIGHT = Response(
    HTTPStatus.NO_CONTENT,
    {
        **_OF_EVERY_ORIGIN,
        "Access-Control-Allow-Methods": "GET, HEAD",
        "Access-Control-Allow-Headers": "*",
        "Access-Control-Max-Age": "86400",
        "Allow": "GET, HEAD, OPTIONS",
    },
)


def render(jwks: Jwks, seconds: int) -> Response:
    """
    Return the answer that serves *jwks* and lets caches keep it for *seconds*; its tag is a digest of the body.
    """
    body = jwks.encode()
    return Response(
        HTTPStatus.OK,
        {
            "Content-Type": "application/jwk-set+json",
            "Cache-Control": f"public, max-age={seconds}",
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            **_OF_EVERY_ORIGIN,
        },
        body,
    )


def _render(source: Publication | Combined) -> Response:
    if isinstance(source, Combined):
        return render(source.jwks, source.max_age)
    return render(source.document.jwks, max_age(source.timing))


def unless_cached(response: Response, request: Request) -> Response:
    """
    Return *response*, or 304 without a body if *request* names its tag (RFC 9110 section 13.1.2).
    """
    known = request.headers.get("if-none-match")
    if known is None:
        return response
    cached = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    if "*" not in cached and response.headers.get("ETag") not in cached:
        return response
    return Response(
        HTTPStatus.NOT_MODIFIED, {name: value for name, value in response.headers.items() if name != "Content-Type"}
    )


class JwksPages:
    """
    What the listener answers. A keyset in *names* that is not in the cache yet will be: 503, not 404.
    """

    def __init__(self, cache: JwksCache, names: Collection[str]) -> None:
        self._cache = cache
        self._names = frozenset(names)
        self._rendered: dict[str, tuple[Publication | Combined, Response]] = {}

    def respond(self, request: Request) -> Response:
        """
        Return the answer to a GET, or to a browser's OPTIONS before one.
        """
        if request.method == "OPTIONS":
            return PREFLIGHT
        path = request.path
        if path == WELL_KNOWN_PATH:
            return self._combined(request)
        name = path.removeprefix("/keysets/").removesuffix("/jwks.json")
        if path != f"/keysets/{name}/jwks.json":
            return _NOT_FOUND
        publication = self._cache.get(name)
        if publication is None:
            return _NOT_YET if name in self._names else _NOT_FOUND
        if publication.symmetric:
            return _NOT_FOUND
        return self._serve(publication, request)

    def _combined(self, request: Request) -> Response:
        combined = self._cache.combined()
        if combined is None:
            return _NOT_YET if self._cache.has_combined else _NOT_FOUND
        return self._serve(combined, request)

    def _serve(self, source: Publication | Combined, request: Request) -> Response:
        """
        Return the answer, rendered only if *source* is not the value that was rendered last.
        """
        rendered, response = self._rendered.get(request.path, (None, _NOT_FOUND))
        if rendered is not source:
            response = _render(source)
            self._rendered[request.path] = source, response
        return unless_cached(response, request)
