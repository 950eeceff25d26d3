"""
Requests to one Vault or OpenBao: bounded in time and size, never redirected, independent of the environment.

hvac builds the requests and this module sends them. hvac's own adapter would follow redirects with the token, restart
its timeout at each read, and use the proxies that the environment names.
"""

import http.client
import json
import re
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from hvac.adapters import Adapter

from rotator.adapters.clocks import LOCAL_CLOCKS
from rotator.adapters.http_client import Connection, connect, tls_context
from rotator.adapters.vault.pacer import Pacer
from rotator.errors import ConfigError, LostReplyError, StoreUnavailableError
from rotator.model.document import ClockReading
from rotator.model.secret import SecretText
from rotator.ports.clocks import Clocks

_READABLE = frozenset({200, 204, 400, 403, 404, 412})
_REDIRECTS = range(300, 400)
_REASONS = {
    429: "it limits the rate of requests",
    472: "it is a disaster-recovery secondary",
    473: "it is a performance standby that cannot answer this",
    501: "it is not initialised",
    502: "its proxy cannot reach it",
    503: "it is sealed, or in maintenance",
    504: "its proxy had no answer in time",
}
# Said before anything is carried out; after any other failure a write may have happened.
_NOT_DONE = frozenset({429, 472, 473, 501})


if TYPE_CHECKING:
    _Adapter = Adapter["Reply"]
else:
    _Adapter = Adapter  # generic in its stubs only


@dataclass(frozen=True, slots=True)
class Reply:
    """
    An answer with a meaning (200, 204, 400, 403, 404, 412): a JSON object or nothing, and the server's clock.
    """

    status: int
    body: Mapping[str, Any]
    clock: ClockReading

    def section(self, *names: str) -> Mapping[str, Any]:
        """
        Return the object found by following *names* into the body, an empty one if there is none.
        """
        found: Any = self.body
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def says(self, words: str) -> bool:
        """
        Whether one of the errors in the body contains *words*.
        """
        errors = self.body.get("errors")
        return isinstance(errors, list) and any(words in str(error) for error in errors)


class RateLimitedError(StoreUnavailableError):
    """
    The server limits the rate of requests, and did not carry this one out; it may be sent again in *retry_after* seconds.
    """

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Transport:
    """
    Idle connections to one server, each lent to one request at a time. Safe to use from several threads.
    """

    def __init__(
        self, address: str, namespace: str = "", ca_file: Path | None = None, clocks: Clocks = LOCAL_CLOCKS
    ) -> None:
        try:
            split = urlsplit(address)
            port = split.port or {"http": 80, "https": 443}[split.scheme]
        except (KeyError, ValueError) as error:
            raise ConfigError("vault.address: must look like https://vault.example.org:8200") from error
        if not split.hostname or split.hostname.startswith("."):
            raise ConfigError("vault.address: has no host name")
        self.address = f"{split.scheme}://{split.netloc.rpartition('@')[2]}"
        self._host, self._port = split.hostname, port
        self._base = split.path.rstrip("/")
        self._tls = _context(ca_file) if split.scheme == "https" else None
        self._headers = {"X-Vault-Request": "true", "Content-Type": "application/json", "User-Agent": "rotator"}
        if namespace:
            self._headers["X-Vault-Namespace"] = namespace
        self._clocks = clocks
        self.pacer = Pacer()
        self._idle: deque[Connection] = deque()

    def ask(
        self,
        method: str,
        path: str,
        content: object,
        token: SecretText | None,
        deadline: float,
        further: Mapping[str, str] = MappingProxyType({}),
    ) -> Reply:
        """
        Send one request, with *further* headers, and return its answer before *deadline*, a moment of `time.monotonic()`.

        Raises LostReplyError if the request may have been carried out, StoreUnavailableError if it was not.
        """
        body = None if content is None else json.dumps(content, separators=(",", ":")).encode()
        headers = self._headers if token is None else {**self._headers, "X-Vault-Token": token.reveal()}
        headers = {**headers, **further} if further else headers
        connection = self._lend(deadline)
        started, began = self._clocks.wall(), self._clocks.monotonic()
        try:
            try:
                response, data = connection.exchange(method, self._base + path, body, headers, deadline)
            except ConnectionError:
                # The server closed it just as it was used again. Reading twice does no harm; writing twice might.
                if method != "GET" or not connection.used:
                    raise
                connection = self._open(deadline)
                response, data = connection.exchange(method, self._base + path, body, headers, deadline)
        except (OSError, http.client.HTTPException) as error:
            # Not chained: some of these exceptions quote what was received.
            raise LostReplyError(f"vault at {self.address}: no answer to {method} {path}: {_what(error)}") from None
        if connection.open:
            self._idle.append(connection)
        return self._reply(f"vault at {self.address}: {method} {path}", response, data, started, began)

    def close(self) -> None:
        """
        Close the idle connections.
        """
        while self._idle:
            self._idle.pop().close()

    def _lend(self, deadline: float) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._open(deadline)
            if connection.fit():
                return connection
            connection.close()

    def _open(self, deadline: float) -> Connection:
        try:
            return Connection(self._host, self._port, connect(self._host, self._port, self._tls, deadline))
        except ssl.SSLCertVerificationError as error:
            raise StoreUnavailableError(
                f"vault at {self.address}: its certificate is not accepted: {error.verify_message}; see vault.ca_file"
            ) from error
        except OSError as error:
            raise StoreUnavailableError(f"vault at {self.address}: cannot connect: {_what(error)}") from error

    def _reply(
        self, what: str, response: http.client.HTTPResponse, data: bytes, started: datetime, began: float
    ) -> Reply:
        status = response.status
        if status in _REDIRECTS:
            raise StoreUnavailableError(
                f"{what}: redirect refused ({status}); set vault.address to the active node or the public address"
            )
        if status == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise RateLimitedError(f"{what}: {status}, {_REASONS[status]}", _retry_after(response))
        if status not in _READABLE:
            error = StoreUnavailableError if status in _NOT_DONE else LostReplyError
            raise error(f"{what}: {status}, {_REASONS.get(status, 'an answer that proves nothing')}")
        try:
            body = json.loads(data) if data else {}
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or bool(data) == (status == http.HTTPStatus.NO_CONTENT):
            raise LostReplyError(f"{what}: {status}, but the answer is not Vault's; is a proxy in between?")
        return Reply(status, body, self._reading(what, response, started, began))

    def _reading(self, what: str, response: http.client.HTTPResponse, started: datetime, began: float) -> ClockReading:
        read_at = self._clocks.monotonic()
        took = timedelta(seconds=read_at - began)
        try:
            earliest = parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
        except (TypeError, ValueError):
            raise LostReplyError(f"{what}: the answer has no Date; let the proxy pass it on") from None
        second = timedelta(seconds=1)
        return ClockReading(
            earliest,
            earliest + second,
            offset=started + took / 2 - earliest,
            tolerance=second + took,
            read_at=read_at,
        )


class Call(_Adapter):
    """
    What hvac sends the requests of one operation through: a token, and a deadline for all of them together.
    """

    def __init__(self, transport: Transport, token: SecretText | None, deadline: float) -> None:
        self._transport = transport
        self._secret = token
        self._deadline = deadline

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        raise_exception: bool = True,  # noqa: FBT001, FBT002 - hvac's signature
        **kwargs: Any,
    ) -> Reply:
        """
        Send one request; a status is for the caller to judge, whatever hvac asks for.

        If the server limits their rate, it is sent again when its turn comes.
        """
        del headers, raise_exception
        query = urlencode(kwargs.get("params") or {})
        where, pacer = f"{url}?{query}" if query else url, self._transport.pacer
        limited = StoreUnavailableError(f"vault at {self._transport.address} {_REASONS[429]}")
        while (turn := pacer.turn(self._deadline)) is not None:
            try:
                reply = self._transport.ask(method.upper(), where, kwargs.get("json"), self._secret, self._deadline)
            except RateLimitedError as error:
                pacer.refused(turn, error.retry_after)
                limited = error
            else:
                pacer.worked()
                return reply
        raise limited

    def get_login_token(self, response: Reply) -> str:
        """
        Refuse: hvac asks for it to keep the token itself, which no caller of ours wants.
        """
        raise NotImplementedError(f"a login of status {response.status} is read by its LoginMethod")


def _retry_after(response: http.client.HTTPResponse) -> float:
    """
    Return the seconds that the answer asks to wait for, 0 if it says nothing of use.
    """
    told = str(response.headers.get("Retry-After", "")).strip()
    return float(told) if re.fullmatch(r"[0-9]{1,6}", told) else 0.0


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return tls_context(ca_file)
    except OSError as error:
        raise ConfigError(f"vault.ca_file: {ca_file} cannot be used: {_what(error)}") from error


def _what(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
