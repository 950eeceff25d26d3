"""
A JWKS as its consumers read it: one bounded HTTP GET, and whether every key of ours is there.
"""

import json
import socket
import ssl
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

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

    Other keys, and other members of ours, are other publishers' business. A second key under a kid of ours is not.
    """
    try:
        entries: list[dict[str, Any]] = json.loads(text)["keys"]
        shown = [(entry.get("kid"), entry.items()) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PublicationError(f"{where} shows no JWKS") from error
    for kid, member in parse_jwks(publication.document.jwks).items():
        found = [items for shown_kid, items in shown if shown_kid == kid]
        if not found:
            raise PublicationError(f"{where} does not show kid {kid}")
        if not all(member.items() <= items for items in found):
            raise PublicationError(f"{where} shows another key under kid {kid}")


def fetch(url: str, timeout: float) -> bytes:
    """
    Return what *url* serves, at most 1 MiB, within *timeout* seconds for all of it, the name's lookup included.

    TLS certificates are verified; proxies of the environment are not used. Raises PublicationError for anything but a
    200, redirects included, which several verifiers do not follow.
    """
    connection, target = _connect(url, timeout)
    answer: Future[bytes] = Future()
    opened: list[socket.socket] = []
    # A socket's timeout bounds each read, not their sum, and a lookup not at all: so a thread reads, this one waits.
    threading.Thread(target=_read, args=(connection, url, target, opened, answer), name="fetch", daemon=True).start()
    try:
        return answer.result(timeout)
    except TimeoutError as error:
        # The thread's next read fails, and it closes the socket itself.
        for sock in opened:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        raise PublicationError(f"{url} did not answer within {timeout:g} s") from error
    except (OSError, HTTPException, ValueError) as error:
        raise PublicationError(f"{url} cannot be read: {str(error) or type(error).__name__}") from error


def _connect(url: str, timeout: float) -> tuple[HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise PublicationError(f"{url} is no address") from error
    if parts.username is not None or parts.password is not None:
        raise PublicationError("an address to read back names a user or password; a JWKS is public, leave them out")
    if not host or parts.scheme not in {"http", "https"}:
        raise PublicationError(f"{url} is no http or https address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http":
        return HTTPConnection(host, port or 80, timeout=timeout), target
    return HTTPSConnection(host, port or 443, timeout=timeout, context=ssl.create_default_context()), target


def _read(
    connection: HTTPConnection, url: str, target: str, opened: list[socket.socket], answer: Future[bytes]
) -> None:
    try:
        connection.connect()
        opened.append(connection.sock)
        connection.request("GET", target, headers=dict(_HEADERS))
        with connection.getresponse() as response:
            answer.set_result(_body(response, url))
    except Exception as error:  # noqa: BLE001 - handed to the waiting thread, whatever it is
        answer.set_exception(error)
    finally:
        connection.close()


def _body(response: HTTPResponse, url: str) -> bytes:
    if 300 <= response.status < 400:  # noqa: PLR2004 - the class of redirects
        raise PublicationError(f"{url} redirects; name the address it redirects to")
    if response.status != 200:  # noqa: PLR2004 - the one status that carries a JWKS
        raise PublicationError(f"{url} answered {response.status}")
    if response.getheader("Content-Encoding", "identity") != "identity":
        raise PublicationError(f"{url} answers compressed although asked not to")
    body = response.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise PublicationError(f"{url} answers with more than {MAX_BODY} bytes")
    return body
