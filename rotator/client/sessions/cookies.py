"""
Tokens in cookies: scripts cannot read them, and requests from other sites do not carry them.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from rotator.client.errors import SigningError
from rotator.client.sessions.pair import TokenPair
from rotator.errors import ConfigError

MAX_COOKIE = 4096
# Names and attributes as RFC 6265 section 4.1.1 allows them; a browser drops or misreads a cookie with other
# characters.
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PATH = re.compile(r"/[!-:<-~]*")
_DOMAIN = re.compile(r"[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Cookie:
    """
    One cookie of a response: `HttpOnly`, and by default `Secure` and `SameSite=Strict` (RFC 6265bis).
    """

    name: str
    value: str = field(repr=False)
    max_age: int
    path: str
    domain: str | None
    secure: bool
    samesite: Literal["Strict", "Lax"]

    @property
    def arguments(self) -> dict[str, Any]:
        """
        The arguments of `response.set_cookie(**cookie.arguments)` in Starlette, Flask and Django.
        """
        return {
            "key": self.name,
            "value": self.value,
            "max_age": self.max_age,
            "path": self.path,
            "domain": self.domain,
            "secure": self.secure,
            "httponly": True,
            "samesite": self.samesite.lower(),
        }

    @property
    def header(self) -> str:
        """
        The value of a Set-Cookie header, for any other framework.
        """
        # Not by http.cookies: it sorts the attributes, and quotes an empty value.
        attributes = [f"{self.name}={self.value}", f"Path={self.path}", f"Max-Age={self.max_age}"]
        if self.domain:
            attributes.append(f"Domain={self.domain}")
        if self.secure:
            attributes.append("Secure")
        return "; ".join([*attributes, "HttpOnly", f"SameSite={self.samesite}"])


class Cookies:
    """
    The two cookies of a session.

    Browsers send the refresh token to *refresh_path* only: refresh and logout belong there.

    *secure* False is for development without TLS. A response that sets cookies must not be cached.
    """

    def __init__(
        self,
        *,
        access_name: str = "access_token",
        refresh_name: str = "refresh_token",
        path: str = "/",
        refresh_path: str = "/",
        domain: str | None = None,
        secure: bool = True,
        samesite: Literal["Strict", "Lax"] = "Strict",
    ) -> None:
        checks = {
            "access_name": (access_name, _NAME, "a name such as access_token"),
            "refresh_name": (refresh_name, _NAME, "a name such as refresh_token"),
            "path": (path, _PATH, 'a path that begins with a slash, such as "/"'),
            "refresh_path": (refresh_path, _PATH, 'a path that begins with a slash, such as "/session"'),
            "domain": ("localhost" if domain is None else domain, _DOMAIN, "a domain such as example.org"),
        }
        for argument, (value, shape, wanted) in checks.items():
            given: object = value
            if not isinstance(given, str) or not shape.fullmatch(given):
                raise ConfigError(f"{argument}: must be {wanted}")
        if access_name == refresh_name:
            raise ConfigError("refresh_name: must differ from access_name")
        if samesite not in ("Strict", "Lax"):
            raise ConfigError('samesite: must be "Strict" or "Lax"; with "None" any site could use the session')
        for name, cookie_path in ((access_name, path), (refresh_name, refresh_path)):
            if name.lower().startswith("__secure-") and not secure:
                raise ConfigError(f"{name}: browsers accept a __Secure- cookie only with secure")
            if name.lower().startswith("__host-") and (not secure or domain or cookie_path != "/"):
                raise ConfigError(f"{name}: browsers accept a __Host- cookie only with secure, path / and no domain")
        self.access_name, self.refresh_name = access_name, refresh_name
        self._paths = {access_name: path, refresh_name: refresh_path}
        self._domain, self._secure, self._samesite = domain, secure, samesite

    def of(self, pair: TokenPair, now: datetime | None = None) -> tuple[Cookie, Cookie]:
        """
        Return the cookies that carry *pair*; each expires with its token.

        Raises SigningError for one too large for a browser.
        """
        at = now or datetime.now(UTC)
        return (
            self._cookie(self.access_name, pair.access, int((pair.access_expires_at - at).total_seconds())),
            self._cookie(self.refresh_name, pair.refresh, int((pair.refresh_expires_at - at).total_seconds())),
        )

    def cleared(self) -> tuple[Cookie, Cookie]:
        """
        Return the cookies that make a browser forget both: a logout.
        """
        return self._cookie(self.access_name, "", 0), self._cookie(self.refresh_name, "", 0)

    def _cookie(self, name: str, value: str, max_age: int) -> Cookie:
        if len(name) + len(value) > MAX_COOKIE:
            raise SigningError(f"the cookie {name} has more than {MAX_COOKIE} bytes; put less into the token's claims")
        return Cookie(name, value, max(0, max_age), self._paths[name], self._domain, self._secure, self._samesite)
