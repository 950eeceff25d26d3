"""
Heads of requests, read strictly, and answers as they are written. No sockets.
"""

from http import HTTPStatus

import pytest

from rotator.daemon.http_message import MAX_FIELDS, BadRequestError, Request, Response, parse_head, plain

HOST = "Host: x"


def parse(line: str, *fields: str) -> Request:
    """Return the request with this first line and these headers."""
    return parse_head("\r\n".join([line, *fields]).encode("latin-1"))


def refused(head: bytes) -> int:
    """Return the status that a head is refused with."""
    with pytest.raises(BadRequestError) as caught:
        parse_head(head)
    return caught.value.status.value


def test_a_request_is_its_method_path_and_headers() -> None:
    """Names of headers in lower case, blanks around values gone, what stands twice joined (RFC 9110 section 5.3)."""
    request = parse("GET /here?a=b HTTP/1.1", HOST, 'If-None-Match:\t"a" ', "X-Empty:", 'if-none-match: "b"')
    assert request == ("GET", "/here", {"host": "x", "if-none-match": '"a", "b"', "x-empty": ""}, False)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/a/../b", "/a/../b"),
        ("//host/a", "//host/a"),
        ("/a%20b?", "/a%20b"),
        ("/?/b", "/"),
        ("*", "*"),
        ("http://host/a?b", "/a"),
        ("HTTPS://[::1]:443/a", "/a"),
        ("http://host", "/"),
        ("http://host?b", "/"),
    ],
)
def test_a_target_names_a_path(target: str, path: str) -> None:
    """With an authority before it, too (RFC 9112 section 3.2.2). Nothing is decoded, and no dots are resolved."""
    assert parse(f"GET {target} HTTP/1.1", HOST).path == path


@pytest.mark.parametrize(
    ("line", "fields", "last"),
    [
        ("GET / HTTP/1.1", [HOST], False),
        ("GET / HTTP/1.2", [HOST, "Connection: keep-alive"], False),
        ("GET / HTTP/1.1", [HOST, "Connection: Upgrade, Close"], True),
        ("GET / HTTP/1.0", [], True),
        ("GET / HTTP/1.1", [HOST, "Content-Length: 0"], False),
        ("GET / HTTP/1.1", [HOST, "Content-Length: 1"], True),
        ("GET / HTTP/1.1", ["Host:"], False),
        ("BREW / HTTP/1.1", [HOST], False),
    ],
)
def test_a_connection_ends_after_what_says_so_or_has_a_body(line: str, fields: list[str], last: bool) -> None:
    """A body is never read; what follows it could be taken for a request."""
    assert parse(line, *fields).last is last


@pytest.mark.parametrize(
    "line",
    [
        "GET /",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/1",
        "GET / FTP/1.1",
        "G@T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /\xe4 HTTP/1.1",
        "GET / HTTP/1.1\rX: y",
        "GET / HTTP/1.1\nX: y",
        "GET here HTTP/1.1",
        "GET http://[::1 HTTP/1.1",
        "GET http:///a HTTP/1.1",
        "GET http://user@host/ HTTP/1.1",
        "GET ftp://host/ HTTP/1.1",
        "GET host:80 HTTP/1.1",
        "",
    ],
)
def test_a_first_line_that_is_not_one_is_400(line: str) -> None:
    """One space, one target, one version, and nothing else."""
    assert refused(f"{line}\r\n{HOST}".encode("latin-1")) == 400


@pytest.mark.parametrize(
    "field",
    [
        "Content-Length : 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: ",
        "Content-Length: \xb2",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "transfer-encoding:",
        "no colon",
        ": no name",
        " folded: x",
        "X: y\r\n folded",
        "X: y\r\n\tfolded",
        "X: y\rZ: z",
        "X: y\nZ: z",
        "X: y\x00",
        "X: y\x7f",
        "X(: y",
        "X\xe4: y",
        "Host: other",
        "Host: x, y",
    ],
)
def test_what_proxies_may_read_otherwise_is_400(field: str) -> None:
    """Whatever the request is."""
    for line in ("GET / HTTP/1.1", "GET / HTTP/1.0", "POST / HTTP/1.1"):
        assert refused(f"{line}\r\n{HOST}\r\n{field}".encode("latin-1")) == 400


@pytest.mark.parametrize(
    "host", ["", "Host: a b", "Host: a/b", "Host: user@a", "Host: a:b", "Host: [::1", "Host: \xe4"]
)
def test_a_request_names_one_host(host: str) -> None:
    """RFC 9112 section 3.2; only HTTP/1.0 may leave it out."""
    assert refused("\r\n".join(["GET / HTTP/1.1", *([host] if host else [])]).encode("latin-1")) == 400


@pytest.mark.parametrize("version", ["0.9", "2.0", "9.9"])
def test_other_versions_are_505(version: str) -> None:
    """There is HTTP/1 alone."""
    assert refused(f"PRI * HTTP/{version}".encode()) == 505


def test_too_many_headers_are_431() -> None:
    """Before any of them is read."""
    parse("GET / HTTP/1.1", HOST, *["X: y"] * (MAX_FIELDS - 1))
    assert refused(b"GET / HTTP/1.1" + b"\r\nX: y" * (MAX_FIELDS + 1)) == 431


def test_an_answer_is_written_once() -> None:
    """Its first line, its headers in their order, and its length."""
    response = Response(HTTPStatus.OK, {"ETag": '"1"', "X": "y"}, b"body")
    assert response.head == b'HTTP/1.1 200 OK\r\nETag: "1"\r\nX: y\r\nContent-Length: 4\r\n'


@pytest.mark.parametrize("status", [HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED])
def test_an_answer_that_may_have_no_body_has_neither_length_nor_body(status: HTTPStatus) -> None:
    """RFC 9110 sections 8.6 and 15.4.5: whatever it was made with."""
    response = Response(status, {}, b"body")
    assert (response.body, b"Length" in response.head) == (b"", False)


def test_a_short_text_names_its_headers_as_they_are_written() -> None:
    """And must not be cached."""
    response = plain(HTTPStatus.NOT_FOUND, retry_after="7")
    assert response.body == b"not found\n"
    assert (response.headers["Retry-After"], response.headers["Cache-Control"]) == ("7", "no-store")
