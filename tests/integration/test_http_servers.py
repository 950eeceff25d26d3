"""
The listeners over real sockets: what they serve, and what they do to hostile callers.
"""

import contextlib
import http.client
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

import jwt
import pytest
from prometheus_client.parser import text_string_to_metric_families

import rotator
from rotator.adapters.jwks.cache import JwksCache
from rotator.daemon.admin_pages import Readiness
from rotator.daemon.http_message import MAX_HEAD, Request, Response
from rotator.daemon.http_server import HttpServer, parse_address
from rotator.daemon.waiting import HEAD_TIMEOUT
from rotator.errors import ConfigError
from rotator.model.reasons import AlarmReason
from rotator.reconcile.alarms import Alarm
from rotator.telemetry.metrics import KeysetSample, Metrics
from tests.support.listeners import AdminServer, JwksServer
from tests.support.publications import jwks, kid, pair, publication

Headers = Mapping[str, str]


@dataclass
class Answer:
    """One answer as a caller got it."""

    status: int
    headers: Headers
    body: bytes


def ask(server: HttpServer, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """Ask over a connection of its own."""
    connection = http.client.HTTPConnection(server.address, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        with connection.getresponse() as response:
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def raw(server: HttpServer, data: bytes, timeout: float = 10) -> bytes:
    """Send *data* and return all that comes until the other side ends the connection."""
    host, port = parse_address(server.address, "")
    with socket.create_connection((host, port), timeout) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@contextlib.contextmanager
def running(server: HttpServer) -> Iterator[None]:
    """Run *server* for the length of a block."""
    server.start()
    try:
        yield
    finally:
        server.close()


@pytest.fixture
def board() -> JwksCache:
    """A board with an asymmetric keyset, a hidden one and one of shared secrets; `late` is still awaited."""
    made = JwksCache(["web", "late"])
    made.put(publication("web", 1, 2))
    made.put(publication("hidden", 3, well_known=False))
    made.put(publication("secrets"))
    return made


@pytest.fixture
def server(board: JwksCache) -> Iterator[JwksServer]:
    """The JWKS listener over that board."""
    made = JwksServer("127.0.0.1:0", board, ["web", "late", "hidden", "secrets"])
    with running(made):
        yield made


# -- the JWKS ----------------------------------------------------------------------------------------------------------


def test_a_jwks_is_served_as_verifiers_like_it(server: JwksServer) -> None:
    """The exact bytes, the registered type, cacheable for a quarter of the propagation time, with a strong tag."""
    answer = ask(server, "/keysets/web/jwks.json")
    assert answer.status == 200
    assert answer.body == jwks(1, 2).encode()
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=25"
    assert re.fullmatch(r'"[0-9a-f]{32}"', answer.headers["etag"])
    assert set(answer.headers) == {
        "date",
        "content-type",
        "cache-control",
        "etag",
        "access-control-allow-origin",
        "content-length",
    }
    assert ask(server, "/keysets/web/jwks.json?cache=buster").body == answer.body


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/keysets/secrets/jwks.json", 404),
        ("/keysets/unknown/jwks.json", 404),
        ("/keysets/late/jwks.json", 503),
        ("/keysets/hidden/jwks.json", 200),
        ("/keysets/web/jwks.json/", 404),
        ("/keysets//jwks.json", 404),
        ("/keysets/../keysets/web/jwks.json", 404),
        ("/keysets/web", 404),
        ("/keysets/jwks.json", 404),
        ("/.well-known/jwks.json", 503),
        ("/metrics", 404),
        ("/", 404),
        ("*", 404),
    ],
)
def test_paths(server: JwksServer, path: str, status: int) -> None:
    """What is not served is not redirected, what is on its way says when to ask again, and neither is cached."""
    answer = ask(server, path)
    assert answer.status == status
    if status != 200:
        assert answer.headers["cache-control"] == "no-store"
        assert "location" not in answer.headers
    assert ("retry-after" in answer.headers) == (status == 503)


def test_the_combined_set_comes_whole(board: JwksCache, server: JwksServer) -> None:
    """503 until the last well-known keyset has come; hidden keysets are never in it."""
    board.put(publication("late", 4))
    assert ask(server, "/.well-known/jwks.json").body == jwks(4, 1, 2).encode()


def test_without_a_well_known_keyset_there_is_no_combined_set() -> None:
    """404: nothing is on its way."""
    with running(server := JwksServer("127.0.0.1:0", JwksCache([]), ["hidden"])):
        assert ask(server, "/.well-known/jwks.json").status == 404


def test_an_unchanged_set_is_not_sent_again(board: JwksCache, server: JwksServer) -> None:
    """A matching tag gets 304 with the caching headers; after a change the tag is another."""
    path = "/keysets/web/jwks.json"
    tag = ask(server, path).headers["etag"]
    for told in (tag, f'"x", W/{tag}', "*"):
        answer = ask(server, path, If_None_Match=told)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
        assert answer.headers["cache-control"] == "public, max-age=25"
        assert "content-type" not in answer.headers
    assert ask(server, path, If_None_Match='"other"').status == 200
    board.put(publication("web", 2, sequence=2))
    changed = ask(server, path, If_None_Match=tag)
    assert (changed.status, changed.body) == (200, jwks(2).encode())


def test_head_tells_what_get_would(server: JwksServer) -> None:
    """The same headers, without the body."""
    got, told = ask(server, "/keysets/web/jwks.json"), ask(server, "/keysets/web/jwks.json", "HEAD")
    assert told.body == b""
    assert {**told.headers, "date": ""} == {**got.headers, "date": ""}


def test_a_verifier_finds_its_key(server: JwksServer) -> None:
    """PyJWT's client, which refuses redirects, reads the set."""
    assert pair(2).private is not None
    token = jwt.encode({"sub": "alice"}, pair(2).private.reveal(), "RS256", {"kid": kid(2)})  # type: ignore[union-attr]
    client = jwt.PyJWKClient(f"http://{server.address}/keysets/web/jwks.json")
    assert jwt.decode(token, client.get_signing_key_from_jwt(token), ["RS256"])["sub"] == "alice"


def test_a_herd_is_served(server: JwksServer) -> None:
    """Far more than 1,000 requests a second would need: 4,000 over eight connections, none failing."""
    wrong: list[Answer | BaseException] = []
    expected = jwks(1, 2).encode()

    def consume() -> None:
        connection = http.client.HTTPConnection(server.address, timeout=10)
        with contextlib.closing(connection):
            for _ in range(500):
                connection.request("GET", "/keysets/web/jwks.json")
                response = connection.getresponse()
                if response.read() != expected:
                    wrong.append(Answer(response.status, {}, b""))

    threads = [threading.Thread(target=consume) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- the shell ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "PATCH", "BREW"])
def test_only_get_and_head_are_answered(server: JwksServer, method: str) -> None:
    """Anything else is 405 with Allow, and the connection ends, for its body was not read."""
    answer = ask(server, "/keysets/web/jwks.json", method, b"body")
    assert (answer.status, answer.headers["allow"], answer.headers["connection"]) == (405, "GET, HEAD", "close")


def test_connections_are_kept(server: JwksServer) -> None:
    """Requests follow each other on one connection, also when they arrive together, until one asks for its end."""
    request = b"GET /keysets/web/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /keysets/web/jwks.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    told = raw(server, request * 3 + last + request)
    assert told.count(b"HTTP/1.1 200 OK") == 4
    assert told.count(b"Connection: close") == 1


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /keysets/web/jwks.json HTTP/1.1\r\n\r\n", b"404"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"GET /keysets/web/jwks.json HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /\r\n", b"400"),
        (b"<script>alert(1)</script> HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n\r\n", b""),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n", b""),
        (b"\x16\x03\x01\x02\x00\x01\x00", b""),
        (b"GET http://[::1 HTTP/1.1\r\n\r\n", b""),
        (b"", b""),
    ],
)
def test_odd_requests_end_the_connection(server: JwksServer, data: bytes, status: bytes) -> None:
    """One answer or none, nothing of the request in it, no program's name or version; the next caller is served."""
    told = b""
    with contextlib.suppress(OSError):  # the server may hang up while we still speak
        told = raw(server, data)
    assert told.count(b"HTTP/1.1 ") <= 1
    assert told[9:12] == status or (status == b"" and told[9:12] in {b"", b"400", b"414", b"431"})
    assert b"script" not in told
    assert b"Python" not in told
    assert b"Server:" not in told
    assert ask(server, "/keysets/web/jwks.json").status == 200


@pytest.mark.slow
def test_slow_callers_are_let_go(server: JwksServer) -> None:
    """Neither silence nor a byte now and then holds a thread for longer than the timeout."""
    host, port = parse_address(server.address, "")
    begun = time.monotonic()
    with socket.create_connection((host, port), 30) as silent, socket.create_connection((host, port), 30) as dripping:
        dripping.setblocking(False)
        ended = False
        while not ended and time.monotonic() - begun < 3 * HEAD_TIMEOUT:
            time.sleep(0.2)
            try:
                dripping.send(b"G")
                ended = dripping.recv(1) == b""
            except BlockingIOError:
                continue
            except ConnectionError:
                ended = True
        assert HEAD_TIMEOUT - 1 < time.monotonic() - begun < HEAD_TIMEOUT + 2
        assert silent.recv(1) == b""


def test_a_fault_of_ours_is_500_without_details(caplog: pytest.LogCaptureFixture) -> None:
    """The caller learns nothing, the log everything, and standard error nothing."""

    def fail(request: Request) -> Response:
        raise RuntimeError(f"inside {request.path} {len(request.headers)}")

    with running(server := HttpServer("127.0.0.1:0", fail, "test")), caplog.at_level(logging.ERROR):
        answer = ask(server, "/x")
    assert (answer.status, answer.body) == (500, b"internal server error\n")
    assert "inside /x" in caplog.text


def test_nothing_is_written_for_requests(server: JwksServer, capfd: pytest.CaptureFixture[str]) -> None:
    """Requests, good and bad, are the proxy's to log."""
    ask(server, "/keysets/web/jwks.json")
    ask(server, "/", "POST")
    raw(server, b"nonsense\r\n\r\n")
    assert capfd.readouterr() == ("", "")


def test_stopping_is_prompt_and_frees_the_port(board: JwksCache) -> None:
    """Also with a caller that holds its connection; the port can be had again at once."""
    first = JwksServer("127.0.0.1:0", board, [])
    first.start()
    host, port = parse_address(first.address, "")
    with socket.create_connection((host, port), 5):
        begun = time.monotonic()
        first.close()
        assert time.monotonic() - begun < 2
        second = JwksServer(f"127.0.0.1:{port}", board, [])
        with running(second):
            assert ask(second, "/").status == 404
    JwksServer("127.0.0.1:0", board, []).close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6(board: JwksCache) -> None:
    """The address is given as it is written in a URL."""
    try:
        server = JwksServer("[::1]:0", board, [])
    except ConfigError:
        pytest.skip("no IPv6 here")
    with running(server):
        assert re.fullmatch(r"\[::1\]:\d+", server.address)
        assert raw(server, b"GET /keysets/web/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_an_address_that_cannot_be_had_names_the_option(board: JwksCache, server: JwksServer) -> None:
    """In use, not ours, or no address at all."""
    for address in (server.address, "192.0.2.1:80"):
        with pytest.raises(ConfigError, match=r"^\[publish\] http: cannot listen on "):
            JwksServer(address, board, [])
    for text in (
        "8471",
        ":8471",
        "localhost",
        "127.0.0.1:port",
        "::1:8471",
        "127.0.0.1:70000",
        "http://127.0.0.1:80",
        "a@b:1",
    ):
        with pytest.raises(ConfigError, match="is no address; write it as"):
            JwksServer(text, board, [])


# -- the operator's listener -------------------------------------------------------------------------------------------


@dataclass
class Daemon:
    """What a daemon knows of itself."""

    lives: bool = True
    alarms: tuple[Alarm, ...] = ()
    samples: tuple[KeysetSample, ...] = ()
    expires_at: datetime | None = None
    redis: str | None = None

    def alive(self) -> bool:
        """Whether it makes progress."""
        return self.lives

    def readiness(self) -> Readiness:
        """Return how it fares."""
        return Readiness(not self.alarms, {"web": "stalled" if self.alarms else "ok"}, self.alarms)

    def keysets(self) -> Iterable[KeysetSample]:
        """Return the samples."""
        return self.samples

    def active(self) -> tuple[Alarm, ...]:
        """Return the alarms."""
        return self.alarms

    def token_expires_at(self) -> datetime | None:
        """Return the moment."""
        return self.expires_at

    def redis_fault(self) -> str | None:
        """Return what a test says, None for no Redis."""
        return self.redis


@pytest.fixture
def daemon() -> Daemon:
    """A daemon that fares well."""
    return Daemon()


@pytest.fixture
def metrics(daemon: Daemon) -> Metrics:
    """Its metrics."""
    metrics = Metrics()
    metrics.sample(daemon)
    return metrics


@pytest.fixture
def admin(daemon: Daemon, metrics: Metrics) -> Iterator[AdminServer]:
    """Its listener."""
    made = AdminServer("127.0.0.1:0", daemon, metrics)
    with running(made):
        yield made


def test_health_is_progress(admin: AdminServer, daemon: Daemon) -> None:
    """200 while the daemon makes progress, alarms or not; 503 when it has stalled."""
    daemon.alarms = (Alarm("web", AlarmReason.OVERDUE, "late"),)
    assert ask(admin, "/healthz").status == 200
    daemon.lives = False
    assert ask(admin, "/healthz").status == 503


def test_readiness_tells_what_is_wrong(admin: AdminServer, daemon: Daemon) -> None:
    """200 or 503 with the same form of JSON; what an alarm says is redacted like a log line."""
    good = ask(admin, "/readyz")
    assert good.status == 200
    assert json.loads(good.body) == {"ready": True, "alarms": [], "keysets": {"web": "ok"}}
    daemon.alarms = (Alarm("web", AlarmReason.OVERDUE, 'because of "' + "ab" * 32 + '"'),)
    bad = ask(admin, "/readyz")
    assert bad.status == 503
    assert json.loads(bad.body) == {
        "ready": False,
        "alarms": [{"keyset": "web", "reason": "rotation overdue", "detail": 'because of "[redacted]"'}],
        "keysets": {"web": "stalled"},
    }
    assert bad.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/keysets/web/jwks.json", "/debug", "/metrics/"])
def test_the_operators_listener_serves_nothing_else(admin: AdminServer, path: str) -> None:
    """404 for every other path."""
    assert ask(admin, path).status == HTTPStatus.NOT_FOUND


def test_metrics_are_what_is_known_now(admin: AdminServer, daemon: Daemon, metrics: Metrics) -> None:
    """Every scrape reads the daemon again; moments are absolute, and no label is a kid."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    daemon.samples = (
        KeysetSample("web", 7, {"current": 1, "old": 2}, {"current": moment}, moment, moment, True, rotations=3),
        KeysetSample("new", 0, {}, {}, None, None, False),
    )
    daemon.expires_at = moment
    daemon.alarms = (Alarm("web", AlarmReason.OVERDUE, "late"),)
    metrics.observe_request("read", "ok")
    metrics.observe_request("read", "ok")
    metrics.observe_request("write", "conflict")
    answer = ask(admin, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    read = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    seconds = moment.timestamp()
    expected = {
        ("rotator_info", rotator.__version__): 1,
        ("rotator_alarm", "web", "rotation overdue"): 1,
        ("rotator_keys", "web", "current"): 1,
        ("rotator_keys", "web", "old"): 2,
        ("rotator_key_created_timestamp_seconds", "web", "current"): seconds,
        ("rotator_next_rotation_timestamp_seconds", "web"): seconds,
        ("rotator_last_success_timestamp_seconds", "web"): seconds,
        ("rotator_rotations_total", "web"): 3,
        ("rotator_rotations_total", "new"): 0,
        ("rotator_sequence", "web"): 7,
        ("rotator_sequence", "new"): 0,
        ("rotator_notify_pending", "web"): 1,
        ("rotator_notify_pending", "new"): 0,
        ("rotator_vault_requests_total", "read", "ok"): 2,
        ("rotator_vault_requests_total", "write", "conflict"): 1,
        ("rotator_vault_token_expiry_timestamp_seconds",): seconds,
    }
    assert {name: value for name, value in read.items() if name[0].startswith("rotator")} == expected
    daemon.alarms, daemon.expires_at = (), None
    again = ask(admin, "/metrics").body.decode()
    assert "rotator_alarm{" not in again
    assert "rotator_vault_token_expiry_timestamp_seconds" not in again
