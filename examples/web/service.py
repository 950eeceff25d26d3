"""
A web service that keeps its users signed in while the keys behind their tokens come and go.

    KEYSET_STORE=rotator-dev/store REDIS_URL=redis://127.0.0.1:6379/0 uvicorn --factory --app-dir examples/web service:create

Any number of instances may run: they share the keysets "web" and "internal", and Redis. To read the keysets from
Vault, replace FileSource by VaultSource.
"""

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from rotator.client import (
    Cookie,
    Cookies,
    FileSource,
    InvalidTokenError,
    KeysetReader,
    KeysUnavailableError,
    RedisHints,
    SessionStore,
    Tokens,
    TokenStateError,
)

# A real service takes the defaults (15 minutes and 7 days); these show a refresh every few seconds.
ACCESS_LIFETIME, REFRESH_LIFETIME = timedelta(seconds=10), timedelta(seconds=60)
MAX_FORM = 4096
MAX_FIELDS = 8
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer the Origin of our own forms would be "null"
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """
    What is stored of a password: its scrypt digest, which costs 16 MiB and about a quarter of a second.
    """

    salt: bytes
    digest: bytes = field(repr=False)

    def matches(self, password: str) -> bool:
        """
        Whether *password* is right; compared in constant time.
        """
        found = hashlib.scrypt(password.encode(), salt=self.salt, n=2**14, r=8, p=5, dklen=len(self.digest))
        return hmac.compare_digest(found, self.digest)


# A real service keeps them in its database. The password of alice is in README.md.
USERS = {
    "alice": PasswordHash(
        bytes.fromhex("d3440789b2b018ed6add39bad15cc6d8"),
        bytes.fromhex("ea33b7eda2fa712b6cd92edc3627dbbde900ae85e930e7f4de310f4b3b83778e"),
    )
}
NO_USER = PasswordHash(bytes(16), bytes(32))  # so that an unknown user takes as long as a wrong password


class Sessions:
    """
    The endpoints that begin, show, refresh and end a session. Tokens travel in cookies and nowhere else.
    """

    def __init__(self, tokens: Tokens, cookies: Cookies) -> None:
        self._tokens, self._cookies = tokens, cookies

    async def login(self, request: Request) -> Response:
        """
        Begin a session, if the password is right.
        """
        form = await read_form(request)
        user, password = form.get("user", ""), form.get("password", "")
        known = await asyncio.to_thread(USERS.get(user, NO_USER).matches, password)
        if not known:
            return failure(HTTPStatus.UNAUTHORIZED, "wrong user or password")
        return done(self._cookies.of(await self._tokens.aissue(user)))

    async def me(self, request: Request) -> Response:
        """
        Return the user of the access token, the key that signed it, and how long it is valid.
        """
        claims = await self._tokens.averify(request.cookies.get(self._cookies.access_name, ""))
        left = claims.expires_at - datetime.now(UTC)
        return JSONResponse(
            {
                "user": claims.subject,
                "kid": claims.kid,
                "jti": claims.token_id,
                "expires_in": max(0.0, left.total_seconds()),
            }
        )

    async def refresh(self, request: Request) -> Response:
        """
        Replace the tokens by new ones, signed with the key that is current now.
        """
        token = request.cookies.get(self._cookies.refresh_name, "")
        try:
            pair = await self._tokens.arefresh(token)
        except InvalidTokenError as error:
            response = await refused(request, error)
            return with_cookies(response, self._cookies.cleared() if token else ())
        return done(self._cookies.of(pair))

    async def logout(self, request: Request) -> Response:
        """
        End the session everywhere, its access tokens included; 503 and no change while Redis is down.
        """
        token = request.cookies.get(self._cookies.refresh_name, "")
        with suppress(InvalidTokenError):  # the session has ended already
            await self._tokens.arevoke(token)
        return done(self._cookies.cleared())


def create() -> Starlette:
    """
    Return the service that the environment describes: KEYSET_STORE is the folder of the keysets, REDIS_URL the Redis.
    """
    store, redis_url = Path(os.environ["KEYSET_STORE"]), os.environ["REDIS_URL"]
    hints = RedisHints(redis_url)
    web = KeysetReader(FileSource(store, "web"), hints=hints)
    internal = KeysetReader(FileSource(store, "internal"), hints=hints)
    state = SessionStore(redis_url)
    # This service signs, so it reads the signing document, and verifies with the public keys in it. One that only verifies
    # needs no private keys: it reads the JWKS at its URL, see README.md.
    tokens = Tokens(
        web,
        state,
        refresh_keys=internal,
        issuer="https://login.example",
        audience="https://app.example",
        access_lifetime=ACCESS_LIFETIME,
        refresh_lifetime=REFRESH_LIFETIME,
    )
    # With these prefixes the browser enforces Secure, and __Host- binds the cookie to this host (RFC 6265bis section 4.1.3).
    cookies = Cookies(access_name="__Host-access", refresh_name="__Secure-refresh", refresh_path="/session")
    sessions = Sessions(tokens, cookies)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with web, internal:
            yield
        state.close()

    async def healthz(_request: Request) -> Response:
        stale = [reader.status.place for reader in (web, internal) if reader.status.stale]
        if stale:
            return failure(HTTPStatus.SERVICE_UNAVAILABLE, f"keys are stale: {', '.join(stale)}")
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/login", sessions.login, methods=["POST"]),
            Route("/session/refresh", sessions.refresh, methods=["POST"]),
            Route("/session/logout", sessions.logout, methods=["POST"]),
            Route("/api/me", sessions.me),
            Route("/healthz", healthz),
            Mount("/", StaticFiles(directory=Path(__file__).with_name("page"), html=True)),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
        exception_handlers={
            InvalidTokenError: refused,
            KeysUnavailableError: unavailable,
            TokenStateError: unavailable,
        },
        lifespan=lifespan,
    )


async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """
    Refuse changes asked for by other sites' pages, and put the security headers on every answer.
    """
    if request.method in {"GET", "HEAD"} or comes_from_here(request):
        response = await call_next(request)
    else:
        response = failure(HTTPStatus.FORBIDDEN, "a request from another site")
    response.headers.update(HEADERS)
    return response


def comes_from_here(request: Request) -> bool:
    """
    Whether the browser says that a page of this origin sent *request*.

    Every browser sends Origin with a POST, and recent ones Sec-Fetch-Site, which no script can set: a request with neither
    is refused.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("origin") == f"{request.url.scheme}://{request.headers.get('host')}"


async def read_form(request: Request) -> dict[str, str]:
    """
    Return the fields of a small urlencoded form.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=MAX_FIELDS))
    except ValueError:
        raise HTTPException(HTTPStatus.BAD_REQUEST) from None


def done(cookies: Iterable[Cookie]) -> Response:
    """
    Return an answer without content that sets *cookies*.
    """
    return with_cookies(Response(status_code=HTTPStatus.NO_CONTENT), cookies)


def with_cookies(response: Response, cookies: Iterable[Cookie]) -> Response:
    """
    Return *response* with *cookies* set.
    """
    for cookie in cookies:
        response.set_cookie(**cookie.arguments)
    return response


async def refused(_request: Request, error: Exception) -> Response:
    """
    Answer a bad token with 401; the reason is for a log, not for the sender.
    """
    return failure(HTTPStatus.UNAUTHORIZED, str(error))


async def unavailable(_request: Request, _error: Exception) -> Response:
    """
    Answer 503 while keys or Redis are missing: the token may be good, so the page keeps it and tries again.
    """
    return failure(HTTPStatus.SERVICE_UNAVAILABLE, "try again", {"Retry-After": "2"})


def failure(status: HTTPStatus, error: str, headers: dict[str, str] | None = None) -> Response:
    """
    Return an answer that says what is wrong.
    """
    return JSONResponse({"error": error}, status, headers)
