"""
A JWKS at a URL: only a valid set counts, every request has a deadline, and no redirect is followed.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.client import ConfigError, JwksSource, KeysUnavailableError, RotatorError
from rotator.documents.served_jwks import MAX_JWKS
from rotator.errors import KeyMaterialError, PublicationError
from tests.support.certificates import certificate
from tests.support.documents import TIMING
from tests.support.peer import Answer, Hole, Peer, Request, answer, elapsed
from tests.support.publications import jwks, kid
from tests.support.scripted import HandMadeHints, Leaping, reader_of, serves, until

TIMEOUT = 5.0


class Jwks:
    """
    A web server with a JWKS; `answer` is what it says, or a function of the request.
    """

    def __init__(self, *numbers: int, headers: dict[str, str] | None = None) -> None:
        self.headers = headers or {}
        self.answer: Callable[[Request], Answer] = self.plain
        self.show(*numbers or (1,))

    def show(self, *numbers: int) -> None:
        """Serve the key pairs with these numbers."""
        self.text, self.etag = jwks(*numbers), f'"{numbers}"'

    def plain(self, request: Request) -> Answer:
        """Answer as a good server does."""
        headers = {"ETag": self.etag, **self.headers}
        if request.headers.get("if-none-match") == self.etag:
            return answer(304, headers=headers)
        return answer(200, self.text.encode(), headers=headers)

    def __call__(self, request: Request) -> Answer:
        """Answer."""
        return self.answer(request)


@contextmanager
def serving(script: Callable[[Request], Answer], **options: Any) -> Iterator[tuple[Peer, JwksSource]]:
    """A server, and a source that reads from it."""
    with Peer(script) as peer:
        yield peer, JwksSource(f"{peer.address}/keysets/web/jwks.json", timing=TIMING, **options)


def test_an_unchanged_set_is_not_sent_again() -> None:
    """The second request is conditional, and brings the same keys; a changed set is read."""
    server = Jwks(1, headers={"Cache-Control": "public, max-age=60"})
    with serving(server) as (peer, source):
        first, may_keep = source.read(None, TIMEOUT, fresh=False)
        assert (set(first.verifying), may_keep) == ({kid(1)}, timedelta(seconds=60))
        assert source.read(first, TIMEOUT, fresh=False) == (first, timedelta(seconds=60))
        server.show(1, 2)
        second, _ = source.read(first, TIMEOUT, fresh=False)
        assert set(second.verifying) == {kid(1), kid(2)}
        assert source.read(None, TIMEOUT, fresh=False)[0].verifying.keys() == second.verifying.keys()
    sent = [request.headers.get("if-none-match") for request in peer.requests]
    assert sent == [None, '"(1,)"', '"(1,)"', None]
    assert (first.timing, first.keyset, first.signing) == (TIMING, "web", None)


def test_the_same_bytes_are_the_same_keys() -> None:
    """A server without ETags: the keys are not parsed again."""
    with serving(lambda _: answer(200, jwks(1).encode())) as (_, source):
        first, _ = source.read(None, TIMEOUT, fresh=False)
        assert source.read(first, TIMEOUT, fresh=False)[0] is first


def test_a_set_that_was_not_taken_is_asked_for_again() -> None:
    """An answer that its reader dropped (it was closed meanwhile) is not what "unchanged" later speaks of."""
    server = Jwks(1)
    with serving(server) as (_, source):
        known, _ = source.read(None, TIMEOUT, fresh=False)
        server.show(2)
        dropped, _ = source.read(known, TIMEOUT, fresh=False)
        assert set(dropped.verifying) == {kid(2)}
        found, _ = source.read(known, TIMEOUT, fresh=False)
        assert set(found.verifying) == {kid(2)}


def test_a_304_that_nobody_asked_for_is_refused() -> None:
    """It brings no keys."""
    with serving(lambda _: answer(304)) as (_, source), pytest.raises(PublicationError, match=r"\(304\)"):
        source.read(None, TIMEOUT, fresh=False)


def member(number: int, **changes: object) -> dict[str, object]:
    """The JWK of a key pair, with changes."""
    return {**json.loads(jwks(number))["keys"][0], **changes}


def key_set(*members: object) -> bytes:
    """An answer with these members."""
    return answer(200, {"keys": members})


def drip(data: bytes) -> Iterator[bytes | float]:
    """The bytes one by one, each in time for a timeout that begins again with each byte."""
    for byte in data:
        yield bytes([byte])
        yield 0.2


BAD: dict[str, tuple[Callable[[], Answer], str]] = {
    "404": (lambda: answer(404, "<html>"), r"is not there; is the keyset's name right\?.* \(404\)"),
    "410": (lambda: answer(410), r"answered \(410\)"),
    "500": (lambda: answer(500, jwks(2).encode()), r"answered \(500\)"),
    "503": (lambda: answer(503), r"answered \(503\)"),
    "204": (lambda: answer(204), r"answered \(204\)"),
    "206": (lambda: answer(206, jwks(2).encode()), r"answered \(206\)"),
    "HTML": (lambda: answer(200, "<html>welcome to the portal</html>"), "no JWKS"),
    "nothing": (lambda: answer(200), "no JWKS"),
    "a list": (lambda: answer(200, []), "no JWKS"),
    "no keys": (lambda: answer(200, {"error": "none"}), "no JWKS"),
    "keys that are no list": (lambda: answer(200, {"keys": {"a": 1}}), "no JWKS"),
    "deep": (lambda: answer(200, b'{"keys":' + b"[" * 100_000), "no JWKS"),
    "empty": (lambda: key_set(), "without any key"),
    "only others": (lambda: key_set({"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AA"}), "without any key"),
    "our key private": (lambda: key_set(member(1, d="AQAB"), member(2)), f"the private key of kid {kid(1)}"),
    "our key private under another kid": (
        lambda: key_set(member(1), member(1, d="AQAB", kid="copy"), member(2)),
        f"shows the private key of kid {kid(1)}",
    ),
    "symmetric": (lambda: key_set({"kty": "oct", "k": "AA", "kid": "s"}), "without any key .*'s' is a shared secret"),
    "our kid twice": (lambda: key_set(member(1), member(2, kid=kid(1)), member(2)), "a kid twice"),
    "no kid": (lambda: key_set(member(2, kid="")), "has no kid"),
    "a weak key": (lambda: key_set(member(2, n="AQAB")), "is too weak"),
    "no algorithm": (lambda: key_set(member(2, alg=None)), "does not say its algorithm"),
    "truncated": (lambda: [answer(200, jwks(2).encode())[:-9]], "no JWKS"),
    "hanging up": (lambda: b"", "cannot be read: (RemoteDisconnected|Connection reset)"),
    "no HTTP": (lambda: b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be read: BadStatusLine"),
    "2 MB": (lambda: answer(200, jwks(2).encode() + b" " * (2 << 20)), f"more than {MAX_JWKS} bytes"),
    "6 MB": (lambda: answer(200, b" " * (6 << 20)), "cannot be read: HTTPException"),
    "an endless head": (
        lambda: [b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"a" * 60_000 + b"\r\n"] * 200],
        "cannot be read",
    ),
}


@pytest.mark.parametrize(("bad", "text"), BAD.values(), ids=BAD)
def test_what_is_no_good_set_leaves_the_last_one(bad: Callable[[], Answer], text: str) -> None:
    """The keys stay, the fault names the place and the problem, and the next good set is accepted."""
    server = Jwks(1)
    with serving(server) as (peer, source), reader_of(source) as keys:
        server.answer = lambda _: bad()
        with pytest.raises(RotatorError, match=text) as raised:
            source.read(keys.verifying(), TIMEOUT, fresh=False)
        assert str(raised.value).startswith(f"{peer.address}/keysets/web/jwks.json")
        assert set(keys.refresh().verifying) == {kid(1)}
        assert keys.status.fault == str(raised.value)
        server.answer = server.plain
        server.show(2)
        assert set(keys.refresh().verifying) == {kid(2)}


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What the client's logger is told."""
    lines: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, handler = logging.getLogger("rotator.client"), Listening(logging.WARNING)
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def test_what_is_unfit_of_others_does_no_harm(told: list[str]) -> None:
    """It is passed over with our keys at work; a private key is told once, never its value."""
    server = Jwks(1)
    with serving(server) as (_, source), reader_of(source) as keys:
        leak = {**member(3, d="CANARY", kid="theirs"), "e": "AQAB"}
        beside = [member(2), member(2, kid="x"), leak, {"kty": "oct", "k": "CANARY"}, member(4, kid=""), 7, None]
        server.answer = lambda _: key_set(member(1), *beside)
        for _ in range(3):
            assert set(keys.refresh().verifying) == {kid(1), kid(2), "x"}
        assert keys.status.fault == ""
        server.answer = lambda _: key_set(member(1), leak)
        assert set(keys.refresh().verifying) == {kid(1)}
    (leak_told,) = [line for line in told if "private" in line]
    assert "'theirs'" in leak_told
    assert "CANARY" not in str(told)


def test_a_bad_set_does_not_become_an_unchanged_one() -> None:
    """Its ETag is not kept, so that a 304 cannot hide that the set is bad."""
    server = Jwks(1)
    with serving(server) as (_, source):
        good, _ = source.read(None, TIMEOUT, fresh=False)
        server.text, server.etag = "{}", '"bad"'
        for _ in range(2):
            with pytest.raises(KeyMaterialError, match="no JWKS"):
                source.read(good, TIMEOUT, fresh=False)
        server.show(1)
        assert source.read(good, TIMEOUT, fresh=False)[0] is good


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_jwks_is_refused(status: int) -> None:
    """A redirect could make verifiers trust another host's keys."""
    with Peer(Jwks(2)) as other:
        redirect = {"Location": f"{other.address}/jwks.json"}
        refused = pytest.raises(PublicationError, match=rf"redirects; name the address it redirects to \({status}\)")
        with serving(lambda _: answer(status, headers=redirect)) as (_, source), refused:
            source.read(None, TIMEOUT, fresh=False)
        assert other.connections == 0


def test_keys_of_other_kinds_are_ignored() -> None:
    """Post-quantum, elliptic, for encryption, of another algorithm, or not keys at all: they do not disturb ours."""
    others = [
        {"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AA"},
        {"kty": "EC", "kid": "ec", "alg": "ES256", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "kid": "ed", "alg": "EdDSA", "crv": "Ed25519", "x": "AA"},
        {"kty": "new"},
        member(2, use="enc"),
        member(3, alg="RS512"),
        member(4, key_ops=["encrypt"]),
        "a text",
        None,
    ]
    with serving(lambda _: key_set(*others, member(1), *others)) as (_, source):
        assert set(source.read(None, TIMEOUT, fresh=False)[0].verifying) == {kid(1)}


@pytest.mark.parametrize("what", ["head", "body", "silence"])
def test_a_slow_jwks_ends_at_the_deadline(what: str) -> None:
    """However steadily bytes arrive."""
    data = answer(200, jwks(1).encode())
    pieces: dict[str, Callable[[], Answer]] = {
        "head": lambda: drip(data),
        "body": lambda: [data[:200], *drip(data[200:])],
        "silence": lambda: [60.0],
    }

    def attempt() -> None:
        with pytest.raises(PublicationError, match=r"jwks\.json cannot be read: no answer in time$"):
            source.read(None, 0.5, fresh=False)

    with serving(lambda _: pieces[what]()) as (_, source):
        assert elapsed(attempt) < 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_silent_listener_ends_at_the_deadline(scheme: str) -> None:
    """Also in the midst of a TLS handshake."""
    with Hole() as hole:
        source = JwksSource(f"{scheme}://127.0.0.1:{hole.port}/jwks.json")

        def attempt() -> None:
            with pytest.raises(PublicationError, match="no answer in time"):
                source.read(None, 0.5, fresh=False)

        assert elapsed(attempt) < 1


@pytest.mark.parametrize(
    ("host", "text"),
    [("127.0.0.1:1", "Connection refused"), ("nobody.invalid", "cannot be read: ")],
    ids=["port", "name"],
)
def test_nobody_there(host: str, text: str) -> None:
    """The text says what the operating system says."""
    with pytest.raises(PublicationError, match=text):
        JwksSource(f"http://{host}/jwks.json").read(None, TIMEOUT, fresh=False)


@pytest.mark.parametrize(
    ("name", "trusted"),
    [("127.0.0.1", True), ("127.0.0.1", False), ("other.example", True)],
    ids=["good", "unknown CA", "other host"],
)
def test_tls_fails_closed(tmp_path: Path, name: str, trusted: bool) -> None:
    """A certificate of an unknown CA, or for another host, ends the fetch before a request is sent."""
    ca_file, context = certificate(tmp_path, name)
    with Peer(Jwks(1), context) as peer:
        source = JwksSource(f"{peer.address}/jwks.json", ca_file=ca_file if trusted else None)
        if name == "127.0.0.1" and trusted:
            assert set(source.read(None, TIMEOUT, fresh=False)[0].verifying) == {kid(1)}
        else:
            with pytest.raises(PublicationError, match=r"its certificate is not accepted: .*; see ca_file"):
                source.read(None, TIMEOUT, fresh=False)
            assert peer.requests == []


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may set it must not choose the keys that are trusted."""
    with Peer(Jwks(2)) as proxy, serving(Jwks(1)) as (_, source):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.address)
        assert set(source.read(None, TIMEOUT, fresh=False)[0].verifying) == {kid(1)}
        assert proxy.connections == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=300", 300),
        ("public, max-age=60, must-revalidate", 60),
        ("PUBLIC,MAX-AGE=5", 5),
        ("max-age=0", 0),
        ("max-age=" + "9" * 5000, 10**6),
        ("no-store", None),
        ("s-maxage=5", None),
        ("max-age=-1", None),
        ("max-age=soon", None),
        ("max-age=²", None),
        ("max-age", None),
        ("", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_set_says_how_long_it_may_be_kept(header: str, seconds: int | None) -> None:
    """As Cache-Control has it; nonsense there says nothing, and harms nothing."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(jwks(1))}\r\nCache-Control: {header}\r\n\r\n"
    with serving(lambda _: head.encode("latin-1") + jwks(1).encode()) as (_, source):
        may_keep = source.read(None, TIMEOUT, fresh=False)[1]
    assert may_keep == (None if seconds is None else timedelta(seconds=seconds))


def test_a_set_is_polled_when_it_may_no_longer_be_kept(time_: Leaping) -> None:
    """Not before, and through caches; only hints and unknown kids ask caches for a new answer."""
    server, hints = Jwks(1, headers={"Cache-Control": "max-age=100"}), HandMadeHints()
    with serving(server) as (peer, source), reader_of(source, time_, hints=hints) as keys:
        time_.leap(79)
        time.sleep(0.1)
        assert len(peer.requests) == 1
        server.show(1, 2)
        time_.leap(21)
        until(lambda: serves(keys, kid(2)))
        hints.hint("web", "any", 1)
        until(lambda: len(peer.requests) > 2)
        server.show(1, 2, 3)
        found = keys.search(kid(3))
        assert found is not None
        assert kid(3) in found.verifying
    asked = [request.headers.get("cache-control") for request in peer.requests]
    assert asked[:2] == [None, None]
    assert {*asked[2:]} == {"no-cache"}


def test_a_jwks_host_that_goes_away(time_: Leaping) -> None:
    """The last set verifies until it is stale, then nothing does, and again when the host is back."""
    server = Jwks(1)
    with serving(server) as (_, source), reader_of(source, time_, max_stale=timedelta(hours=1)) as keys:
        server.answer = lambda _: answer(502)
        time_.leap(timedelta(minutes=59))
        assert serves(keys, kid(1))
        time_.leap(timedelta(minutes=2))
        with pytest.raises(KeysUnavailableError, match=r"answered \(502\)"):
            keys.verifying()
        server.answer = server.plain
        time_.leap(30)
        until(lambda: not keys.status.stale)
        assert serves(keys, kid(1))


def test_no_text_holds_what_a_url_may_hide() -> None:
    """An API key in the query is sent, and never quoted."""
    with Peer(lambda _: answer(500)) as peer:
        source = JwksSource(f"{peer.address}/jwks.json?key=CANARY")
        keys = reader_of(source)
        with pytest.raises(KeysUnavailableError, match=r"/jwks\.json answered \(500\)") as raised:
            keys.start(0.2)
    assert peer.requests[0].path == "/jwks.json?key=CANARY"
    assert "CANARY" not in str(raised.value) + repr(keys.status)


def test_the_name_of_a_keyset_is_in_its_url() -> None:
    """Where the daemon serves it; elsewhere it is said, or hints of all keysets are followed."""
    assert JwksSource("https://a/keysets/web/jwks.json").keyset == "web"
    assert JwksSource("https://a/auth/keysets/web/jwks.json").keyset == "web"
    assert JwksSource("https://a/.well-known/jwks.json").keyset == ""
    assert JwksSource("https://a/.well-known/jwks.json", keyset="web").keyset == "web"


@pytest.mark.parametrize(
    "url",
    ["", "a", "ftp://a/b", "file:///etc/passwd", "http://", "https://u:CANARY@a/", "http://a:port/", "http://[::1/"],
)
def test_a_url_that_is_none(url: str) -> None:
    """A fault of the configuration, and not repeated: it may hold a password."""
    with pytest.raises(ConfigError, match=r"^url: ") as raised:
        JwksSource(url)
    assert "CANARY" not in str(raised.value)


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    """A fault of the configuration."""
    with pytest.raises(ConfigError, match="ca_file"):
        JwksSource("https://a/jwks.json", ca_file=tmp_path / "none")
