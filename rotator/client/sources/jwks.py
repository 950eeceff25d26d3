"""
A JWKS at a URL: fetched within a deadline, never through a redirect, and used only if it is valid.
"""

import re
import ssl
import time
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from rotator.adapters.http_client import Connection, connect, max_age_of, tls_context
from rotator.client.arguments import require_keyset, require_names, require_timing
from rotator.client.jose.keys import DEFAULT_TIMING, Keys, VerifyingKey, keys_of_served
from rotator.client.log import StdlibLog
from rotator.documents.served_jwks import MAX_JWKS, read_jwks
from rotator.errors import ConfigError, KeyMaterialError, PublicationError
from rotator.model.policy import Timing

_HEADERS = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "rotator",
}
_MAX_ETAG = 256
_LOG = StdlibLog()


class JwksSource:
    """
    A JWKS at an http or https *url*: public keys for verifiers, nothing to sign with.

    A JWKS does not hold the policy of its keyset: give *timing* as in the daemon's configuration, which has the same
    defaults. *keyset* is the name that hints must bear; by default it comes from a path `/keysets/NAME/jwks.json`, and
    without one, a hint for any keyset causes a refresh.
    """

    def __init__(
        self,
        url: str,
        *,
        keyset: str = "",
        timing: Timing = DEFAULT_TIMING,
        ca_file: Path | str | None = None,
    ) -> None:
        require_names(url=url)
        require_timing(timing)
        if keyset:
            require_keyset(keyset)
        try:
            split = urlsplit(url)
            port = split.port
        except ValueError:
            raise ConfigError("url: is not a URL; write https://HOST/keysets/NAME/jwks.json") from None
        if split.scheme not in {"http", "https"} or not split.hostname or "@" in split.netloc:
            raise ConfigError("url: must be http or https, with a host and without a user or password")
        if not re.fullmatch(r"[!-~]+", url):
            raise ConfigError("url: must be printable ASCII without spaces; write others as %XX")
        segments = split.path.split("/")
        named = segments[-2] if segments[-3:-2] == ["keysets"] and segments[-1] == "jwks.json" else ""
        self.keyset = keyset or named
        # Without the query, which may hold a secret.
        self.place = f"{split.scheme}://{split.netloc}{split.path}"
        self._host, self._port = split.hostname, port or (443 if split.scheme == "https" else 80)
        self._target = (split.path or "/") + (f"?{split.query}" if split.query else "")
        self._tls = _tls(ca_file) if split.scheme == "https" else None
        self._timing = timing
        # The last answer that was a set, and the keys that it gave. Used as long as those are the reader's keys.
        self._etag, self._text = "", b""
        self._verifying: object = None
        self._leaked: frozenset[str] = frozenset()

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Fetch the set.

        Raises PublicationError for a redirect or any other failure, and KeyMaterialError for a damaged set.
        """
        headers = {**_HEADERS, **({"Cache-Control": "no-cache"} if fresh else {})}
        answered = known is not None and known.verifying is self._verifying
        if answered and self._etag:
            headers["If-None-Match"] = self._etag
        response, body = self._fetched(headers, time.monotonic() + timeout)
        seconds = max_age_of(response)
        may_keep = None if seconds is None else timedelta(seconds=seconds)
        if response.status == HTTPStatus.NOT_MODIFIED and known is not None and "If-None-Match" in headers:
            return known, may_keep
        if response.status != HTTPStatus.OK:
            raise PublicationError(f"{self.place} {_what(response.status)} ({response.status})")
        if len(body) > MAX_JWKS:
            raise PublicationError(f"{self.place} answers with more than {MAX_JWKS} bytes")
        if known is None or not answered or body != self._text:
            verifying = self._verifying_keys(body, known)
            known = Keys(verifying=verifying, timing=self._timing, keyset=self.keyset)
        self._etag, self._text, self._verifying = _etag(response), body, known.verifying
        return known, may_keep

    def _verifying_keys(self, body: bytes, known: Keys | None) -> dict[str, VerifyingKey]:
        """
        Return the keys of an answer; raises KeyMaterialError if it has none, or casts doubt on a known key.
        """
        try:
            served = read_jwks(body)
            if served.leaked - self._leaked:
                _LOG.warning("jwks_shows_private_keys", place=self.place, kids=sorted(served.leaked))
            self._leaked = served.leaked
            found = keys_of_served(served)
        except KeyMaterialError as error:
            raise KeyMaterialError(f"{self.place}: {error}") from None
        # The known keys are served on, rather than lost at once by what a stranger put beside them.
        ours = known.verifying.keys() if known is not None else frozenset[str]()
        if doubted := served.ambiguous & ours:
            raise KeyMaterialError(f"{self.place}: a JWKS holds a kid twice, for different keys: {min(doubted)}")
        if doubted := served.leaked & ours:
            raise KeyMaterialError(f"{self.place}: shows the private key of kid {min(doubted)}; revoke it")
        return found

    def changed(self) -> bool:
        """
        Return False: a URL does not announce changes.
        """
        return False

    def _fetched(self, headers: dict[str, str], deadline: float) -> tuple[HTTPResponse, bytes]:
        try:
            connection = Connection(self._host, self._port, connect(self._host, self._port, self._tls, deadline))
            try:
                return connection.exchange("GET", self._target, None, headers, deadline)
            finally:
                connection.close()
        except (OSError, HTTPException) as error:
            raise PublicationError(f"{self.place} cannot be read: {_reason(error)}") from None


def _tls(ca_file: Path | str | None) -> ssl.SSLContext:
    try:
        return tls_context(Path(ca_file) if ca_file else None)
    except OSError as error:
        raise ConfigError(f"ca_file: {ca_file} cannot be used ({type(error).__name__})") from None


def _reason(error: OSError | HTTPException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}; see ca_file"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _what(status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "is not there; is the keyset's name right? Shared secrets (HS256 …) have no JWKS, and are read by VaultSource"
    return "redirects; name the address it redirects to" if 300 <= status < 400 else "answered"  # noqa: PLR2004


def _etag(response: HTTPResponse) -> str:
    """
    Return the ETag, "" if it is folded or long: sent back as it is, it would spoil every later request.
    """
    etag = response.headers.get("ETag", "")
    return etag if len(etag) <= _MAX_ETAG and etag.isascii() and etag.isprintable() else ""
