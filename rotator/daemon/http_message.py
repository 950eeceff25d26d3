"""
HTTP/1.1 as text (RFC 9110, RFC 9112): the head of a request, read strictly, and an answer. No sockets.

What two programs may read differently is refused, so that nothing can be smuggled past a proxy in front of us: a line
that ends without CR, a folded header, a blank before the colon, two lengths, any Transfer-Encoding.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple

MAX_HEAD = 32768
MAX_FIELDS = 100
# Callers ask the same again and again, in the same words: heads up to this length are read once.
_MAX_REMEMBERED = 1024
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_AUTHORITY = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::[0-9]*)?"
_REQUEST_LINE = re.compile(rf"({_NAME}) ([!-~]+) HTTP/([0-9])\.([0-9])")
_TOKEN = re.compile(_NAME.encode())
_FIELD = re.compile(rf"({_NAME}):[ \t]*([\t -~\x80-\xff]*)")
_HOST = re.compile(rf"(?:{_AUTHORITY})?")
_ABSOLUTE = re.compile(rf"https?://{_AUTHORITY}(/[^?]*)?(?:\?.*)?", re.IGNORECASE)
_WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class BadRequestError(Exception):
    """
    A head that is refused with *status*. The connection ends: where the next request would begin is not known.
    """

    def __init__(self, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(status)
        self.status = status


class Request(NamedTuple):
    """
    The head of a request: *path* without the query, names of headers in lower case, *last* if the connection ends.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    last: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """
    An answer: everything but Date and Connection, which the listener adds, and Content-Length.

    It is written once, in `head`, and may be sent any number of times.
    """

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes = b""
    head: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += (f"{name}: {value}" for name, value in self.headers.items())
        if self.status in _WITHOUT_BODY:
            object.__setattr__(self, "body", b"")
        else:
            lines.append(f"Content-Length: {len(self.body)}")
        object.__setattr__(self, "head", "\r\n".join([*lines, ""]).encode("latin-1"))


def plain(status: HTTPStatus, text: str = "", **headers: str) -> Response:
    """
    Return a short text that must not be cached; header names are written with underscores.
    """
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    body = f"{text or status.phrase.lower()}\n".encode()
    return Response(status, {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", **named}, body)


NOT_ALLOWED = plain(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")


def is_token(text: bytes) -> bool:
    """
    Return whether *text* is a token (RFC 9110 section 5.6.2), as methods and names of headers are.
    """
    return _TOKEN.fullmatch(text) is not None


def parse_head(head: bytes) -> Request:
    """
    Return the request whose *head* this is, without the empty line that ends it; raises BadRequestError.

    A body is never read: a request that announces one is the last of its connection.
    """
    return _remembered(head) if len(head) <= _MAX_REMEMBERED else _parse(head)


def _parse(head: bytes) -> Request:
    line, *lines = head.decode("latin-1").split("\r\n")
    matched = _REQUEST_LINE.fullmatch(line)
    if matched is None:
        raise BadRequestError
    method, target, major, minor = matched.groups()
    if major != "1":
        raise BadRequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if len(lines) > MAX_FIELDS:
        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    headers = _fields(lines)
    host = headers.get("host")
    if "transfer-encoding" in headers or (host is None and minor != "0") or not _HOST.fullmatch(host or ""):
        raise BadRequestError
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequestError
    last = minor == "0" or bool(length.strip("0")) or "close" in headers.get("connection", "").lower()
    return Request(method, _path(target), headers, last)


_remembered = functools.lru_cache(128)(_parse)


def _fields(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        matched = _FIELD.fullmatch(line)
        if matched is None:
            raise BadRequestError
        name, value = matched[1].lower(), matched[2].rstrip(" \t")
        # A list in several lines is one list (RFC 9110 section 5.3); two hosts or two lengths are thus not one.
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _path(target: str) -> str:
    if target[0] == "/" or target == "*":
        return target.partition("?")[0]
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise BadRequestError
    return absolute[1] or "/"
