"""
Redis down, silent, full, forgetful or hostile: nobody waits for long, no save has two ids, and hints come back.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from rotator.adapters.redis.listener import HintListener
from rotator.adapters.redis.notifier import RedisNotifier
from rotator.errors import ConfigError, NotificationError
from rotator.model.event import Event, EventType
from rotator.model.secret import SecretText
from tests.support.fakes import START
from tests.support.servers.redis import RedisServer

pytestmark = pytest.mark.redis
CHANNEL = "rotator:events"
SOURCE = "rotator/secret/rotator"
AT_ONCE = 0.1
BOUND = 4.0
PING = 0.2


def event(sequence: int = 4, kind: EventType = EventType.ACTIVATED) -> Event:
    """
    An event of one save.
    """
    return Event(kind, f"op-{sequence}/{kind.value}", "web", "epoch-1", sequence, START, "kid-1")


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """
    Wait for *condition*.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """
    Fail when the block takes longer.
    """
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def ids(url: str) -> list[str]:
    """
    The ids of all events in the stream.
    """
    with redis.Redis.from_url(url) as client:
        return [json.loads(fields[b"event"])["id"] for _, fields in client.xrange(CHANNEL)]


class Heard:
    """
    What a listener passed on.
    """

    def __init__(self) -> None:
        self.hints: list[tuple[str, str, int]] = []
        self.gaps = 0

    def hint(self, keyset: str, epoch: str, sequence: int) -> None:
        """
        Take a hint.
        """
        self.hints.append((keyset, epoch, sequence))

    def gap(self) -> None:
        """
        Take a gap.
        """
        self.gaps += 1


class Failing(Heard):
    """
    A listener's owner that cannot take hints.
    """

    def hint(self, keyset: str, epoch: str, sequence: int) -> None:
        """
        Take a hint and fail.
        """
        super().hint(keyset, epoch, sequence)
        raise RuntimeError("not now")


@contextmanager
def listening(url: str, heard: Heard, **more: object) -> Iterator[HintListener]:
    """
    A running listener with a short ping interval.
    """
    listener = HintListener(
        url,
        CHANNEL,
        SOURCE,
        **more,  # type: ignore[arg-type]
        on_hint=heard.hint,
        on_gap=heard.gap,
        ping_interval=PING,
    )
    listener.start()
    try:
        yield listener
    finally:
        with within(2.5):
            listener.stop()


class Proxy:
    """
    Stands between a client and a Redis; with `lose_replies` requests pass and the connection ends before the reply.
    """

    def __init__(self, target: int, context: ssl.SSLContext | None = None) -> None:
        self.lose_replies = False
        self.requests = 0
        self._target = target
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if self._context:
                client = self._context.wrap_socket(client, server_side=True)
            with client, socket.create_connection(("127.0.0.1", self._target)) as server:
                while data := client.recv(65536):
                    self.requests += 1
                    server.sendall(data)
                    reply = server.recv(65536)
                    if self.lose_replies:
                        return
                    client.sendall(reply)


# -- the notifier ------------------------------------------------------------------------------------------------------


def test_down_fails_at_once_and_then_without_asking(fresh_redis: RedisServer) -> None:
    """
    A thousand keysets do not pay for a Redis that is down; the text names the place.
    """
    notifier = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE)
    fresh_redis.stop()
    with within(1.0):
        with pytest.raises(NotificationError, match=rf"^redis at 127.0.0.1:{fresh_redis.port}: connection refused$"):
            notifier.announce(event())
        for _ in range(1000):
            with pytest.raises(NotificationError, match="failed lately"):
                notifier.announced(["web"])
    notifier.close()


def test_it_works_again_after_the_back_off(fresh_redis: RedisServer) -> None:
    """
    Once Redis is back, announcing succeeds within the next tries.
    """
    notifier = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE)
    fresh_redis.stop()
    with pytest.raises(NotificationError):
        notifier.announce(event())
    fresh_redis.start()

    def announced() -> bool:
        with suppress(NotificationError):
            notifier.announce(event())
            return True
        return False

    until(announced, 5)
    assert ids(fresh_redis.url) == ["op-4/rotator.key.activated"]
    assert notifier.announced(["web"]) == {"web": "epoch-1:4"}
    notifier.close()


def test_a_restart_between_two_announcements_loses_none(fresh_redis: RedisServer) -> None:
    """
    A connection that died while it was idle is noticed before it is used.
    """
    notifier = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE)
    notifier.announce(event(4))
    fresh_redis.restart()
    notifier.announce(event(5))
    assert ids(fresh_redis.url) == ["op-4/rotator.key.activated", "op-5/rotator.key.activated"]
    notifier.close()


def test_a_flushed_redis_has_no_positions(fresh_redis: RedisServer) -> None:
    """
    So that whoever compares them announces again.
    """
    notifier = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE)
    notifier.announce(event())
    with redis.Redis.from_url(fresh_redis.url) as client:
        client.flushall()
    assert notifier.announced(["web"]) == {}
    notifier.announce(event())
    assert notifier.announced(["web"]) == {"web": "epoch-1:4"}
    notifier.close()


def test_a_hanging_redis_holds_nobody_for_long(fresh_redis: RedisServer) -> None:
    """
    More callers at once than there are connections all come back within a few timeouts, and the next at once.
    """
    notifier = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE)
    notifier.announce(event())
    fresh_redis.pause()

    def call(_: int) -> str:
        with pytest.raises(NotificationError) as caught:
            notifier.announce(event(5))
        return str(caught.value)

    with ThreadPoolExecutor(16) as workers, within(BOUND):
        texts = list(workers.map(call, range(16)))
    assert any("timeout" in text for text in texts)
    with within(AT_ONCE), pytest.raises(NotificationError, match="failed lately"):
        notifier.announced(["web"])
    fresh_redis.resume()
    notifier.close()


def test_a_peer_that_never_answers_holds_nobody_for_long() -> None:
    """
    A black hole: the connection is made and nothing ever comes back.
    """
    with socket.create_server(("127.0.0.1", 0)) as hole:
        notifier = RedisNotifier(f"redis://127.0.0.1:{hole.getsockname()[1]}/0", CHANNEL, SOURCE)
        with within(BOUND), pytest.raises(NotificationError, match="timeout"):
            notifier.announced(["web"])
        notifier.close()


def test_a_lost_reply_makes_duplicates_of_one_id_only(fresh_redis: RedisServer) -> None:
    """
    Nothing is sent twice by itself; who announces again after a lost reply does so under the same id.
    """
    with Proxy(fresh_redis.port) as proxy:
        notifier = RedisNotifier(f"redis://127.0.0.1:{proxy.port}/0", CHANNEL, SOURCE)
        notifier.announced(["web"])
        proxy.lose_replies = True
        with pytest.raises(NotificationError):
            notifier.announce(event())
        assert ids(fresh_redis.url) == ["op-4/rotator.key.activated"]
        proxy.lose_replies = False
        notifier = RedisNotifier(f"redis://127.0.0.1:{proxy.port}/0", CHANNEL, SOURCE)
        notifier.announce(event())
        assert ids(fresh_redis.url) == ["op-4/rotator.key.activated"] * 2
        notifier.close()


def test_a_full_redis_takes_nothing_in_part(fresh_redis: RedisServer) -> None:
    """
    Out of memory: stream and position stay, nobody is told, and the text says what Redis says.
    """
    notifier = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE)
    with redis.Redis.from_url(fresh_redis.url) as client, client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(CHANNEL)
        subscription.get_message(timeout=5)
        client.config_set("maxmemory", "1")
        with pytest.raises(NotificationError, match="command not allowed when used memory > 'maxmemory'"):
            notifier.announce(event())
        assert any("maxmemory" in finding for finding in notifier.probe())
        client.config_set("maxmemory", "0")
        assert client.exists(CHANNEL, f"{CHANNEL}:announced") == 0
        assert subscription.get_message(timeout=AT_ONCE) is None
    notifier.close()


def test_a_key_of_another_kind_is_an_error(fresh_redis: RedisServer) -> None:
    """
    Somebody else's key under our name is told of, not written over.
    """
    with redis.Redis.from_url(fresh_redis.url) as client:
        client.set(CHANNEL, "theirs")
        notifier = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE)
        with pytest.raises(NotificationError, match="WRONGTYPE"):
            notifier.announce(event())
        assert client.get(CHANNEL) == b"theirs"
    notifier.close()


def test_a_wrong_password_says_what_to_correct_and_not_itself(fresh_redis: RedisServer) -> None:
    """
    The text and its causes name the options, and never what was in them.
    """
    with redis.Redis.from_url(fresh_redis.url) as client:
        client.execute_command("ACL", "SETUSER", "rotator", "reset", "on", ">right", "~*", "&*", "+@all")
    good = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE, "rotator", SecretText("right"))
    good.announce(event())
    bad = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE, "rotator", SecretText("wrong-word"))
    with pytest.raises(NotificationError, match="password_file") as caught:
        bad.announce(event())
    assert "wrong-word" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert any("password_file" in finding for finding in bad.probe())
    for notifier in (good, bad):
        notifier.close()


def test_the_named_permissions_are_enough(fresh_redis: RedisServer) -> None:
    """
    A user with what a refusal says to grant, and nothing else, announces, reads positions and listens.
    """
    with redis.Redis.from_url(fresh_redis.url) as client:
        client.execute_command("ACL", "SETUSER", "none", "reset", "on", ">pw", "resetchannels", "+ping")
        poor = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE, "none", SecretText("pw"))
        granted = next(iter(poor.probe())).rpartition(": ")[2].replace("CHANNEL", CHANNEL).split()
        client.execute_command("ACL", "SETUSER", "enough", "reset", "on", ">pw", "resetchannels", *granted)
    notifier = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE, "enough", SecretText("pw"))
    assert notifier.probe() == ()
    heard = Heard()
    with listening(fresh_redis.url, heard, username="enough", password=SecretText("pw")) as listener:
        until(lambda: heard.gaps)
        notifier.announce(event())
        assert notifier.announced(["web"]) == {"web": "epoch-1:4"}
        until(lambda: heard.hints)
        assert listener.fault == ""
    for closed in (poor, notifier):
        closed.close()


def test_a_url_that_is_none_is_refused_without_repeating_it() -> None:
    """
    It might hold a password.
    """
    with pytest.raises(ConfigError, match=r"^url: ") as caught:
        RedisNotifier("http://user:pw@host", CHANNEL, SOURCE)
    assert "pw" not in str(caught.value)


def test_options_in_the_url_are_refused() -> None:
    """
    They could undo timeouts and the checks of TLS.
    """
    for url in ("redis://127.0.0.1/0?socket_timeout=60", "rediss://127.0.0.1/0?ssl_cert_reqs=none"):
        with pytest.raises(ConfigError, match="takes no options"):
            RedisNotifier(url, CHANNEL, SOURCE)


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(name="certificate", scope="module")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A self-signed certificate for 127.0.0.1, with its key, in one file.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "redis.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return file


@pytest.fixture(name="tls")
def _tls(redis_server: RedisServer, certificate: Path) -> Iterator[Proxy]:
    """
    TLS before a real Redis.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Proxy(redis_server.port, context) as proxy:
        yield proxy


def test_tls_with_the_right_authority_works(tls: Proxy, certificate: Path) -> None:
    """
    `ca_file` makes a private authority known.
    """
    notifier = RedisNotifier(f"rediss://127.0.0.1:{tls.port}/0", CHANNEL, SOURCE, ca_file=certificate)
    notifier.announced(["web"])
    notifier.close()


@pytest.mark.parametrize(
    ("host", "known"), [("127.0.0.1", False), ("localhost", True)], ids=["unknown authority", "another name"]
)
def test_tls_refuses_strangers(tls: Proxy, certificate: Path, host: str, *, known: bool) -> None:
    """
    A certificate of an unknown authority, or of another name, is refused, and nothing is sent.
    """
    url = f"rediss://{host}:{tls.port}/0"
    notifier = RedisNotifier(url, CHANNEL, SOURCE, "", SecretText("pw"), certificate if known else None)
    with pytest.raises(NotificationError, match="certificate verify failed"):
        notifier.announced(["web"])
    assert tls.requests == 0
    notifier.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://192.0.2.1:1/0", True),
        ("redis://redis.example.invalid:1/0", True),
        ("redis://127.0.0.1:1/0", False),
        ("redis://localhost:1/0", False),
        ("redis://[::1]:1/0", False),
        ("rediss://127.0.0.1:1/0", False),
        ("unix:///nowhere/redis.sock", False),
    ],
)
def test_clear_text_over_a_network_is_found(url: str, told: bool) -> None:
    """
    Probing tells of it; on one host it is fine.
    """
    notifier = RedisNotifier(url, CHANNEL, SOURCE)
    found = notifier.probe()
    assert any("clear text" in finding for finding in found) is told
    assert any("clear text" not in finding for finding in found), "it is down, too"
    notifier.close()


# -- the listener ------------------------------------------------------------------------------------------------------


def test_a_hint_arrives(fresh_redis: RedisServer) -> None:
    """
    The first subscription is a gap, then every announcement is a hint.
    """
    notifier, heard = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE), Heard()
    with listening(fresh_redis.url, heard) as listener:
        assert listener.age is None or listener.age < BOUND
        until(lambda: heard.gaps)
        notifier.announce(event(4))
        notifier.announce(event(5, EventType.HELD))
        until(lambda: len(heard.hints) == 2)
        assert listener.age is not None
        assert listener.alive_since is not None
    assert heard.hints == [("web", "epoch-1", 4), ("web", "epoch-1", 5)]
    assert heard.gaps == 1
    notifier.close()


def test_silence_is_no_fault(fresh_redis: RedisServer) -> None:
    """
    A Redis that has nothing to say answers pings: no gap, and its age stays below two intervals.
    """
    heard = Heard()
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps)
        deadline = time.monotonic() + 6 * PING
        while time.monotonic() < deadline:
            assert listener.age is not None
            assert listener.age < 2 * PING + AT_ONCE
            time.sleep(0.01)
    assert heard.gaps == 1


def test_a_restart_is_a_gap(fresh_redis: RedisServer) -> None:
    """
    After a crash of Redis the listener subscribes again, calls for a full look, and hears again.
    """
    notifier, heard = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE), Heard()
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps == 1)
        fresh_redis.kill()
        until(lambda: listener.age is None)
        assert f"redis at 127.0.0.1:{fresh_redis.port}: " in listener.fault
        fresh_redis.start()
        until(lambda: heard.gaps == 2)
        notifier.announce(event())
        until(lambda: heard.hints)
        assert listener.fault == ""
    notifier.close()


def test_a_black_hole_is_noticed_within_two_pings(fresh_redis: RedisServer) -> None:
    """
    A Redis that stops answering without closing anything; when it is back there is a gap.
    """
    heard = Heard()
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps == 1)
        fresh_redis.pause()
        # Two intervals, a wait for messages, and the attempt of redis-py itself to connect again.
        with within(2 * PING + 0.5 + 2.5):
            until(lambda: listener.age is None)
        fresh_redis.resume()
        until(lambda: heard.gaps == 2)


def test_it_starts_before_redis_does(fresh_redis: RedisServer) -> None:
    """
    A listener without a Redis waits for one.
    """
    heard = Heard()
    fresh_redis.stop()
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: listener.fault)
        fresh_redis.start()
        until(lambda: heard.gaps == 1)


def test_stopping_does_not_wait_for_a_black_hole() -> None:
    """
    Nor does a listener that was never started.
    """
    heard = Heard()
    with (
        socket.create_server(("127.0.0.1", 0)) as hole,
        listening(f"redis://127.0.0.1:{hole.getsockname()[1]}/0", heard),
    ):
        pass
    with within(AT_ONCE):
        HintListener("redis://127.0.0.1:1/0", CHANNEL, SOURCE, on_hint=heard.hint, on_gap=heard.gap).stop()


GOOD = {"source": SOURCE, "data": {"keyset": "web", "epoch": "epoch-1", "sequence": 4}}
FORGED: list[bytes] = [
    b"",
    b"no json",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"4",
    b'"text"',
    b"[" * 60_000,
    b"9" * 60_000,
    b'{"data": {}}',
    json.dumps(GOOD | {"source": "rotator/secret/other"}).encode(),
    json.dumps(GOOD | {"source": None}).encode(),
    json.dumps(GOOD | {"data": None}).encode(),
    json.dumps(GOOD | {"data": "keyset"}).encode(),
    json.dumps(GOOD | {"data": {"keyset": ["web"], "epoch": "epoch-1", "sequence": 4}}).encode(),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": 1, "sequence": 4}}).encode(),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "epoch-1", "sequence": "4"}}).encode(),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "epoch-1", "sequence": True}}).encode(),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "epoch-1", "sequence": 4.5}}).encode(),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "epoch-1"}}).encode(),
    json.dumps(GOOD | {"padding": "x" * 64 * 1024}).encode(),
    b"x" * 1_000_000,
]


def test_forged_messages_are_ignored(fresh_redis: RedisServer) -> None:
    """
    Nothing malformed, oversized or of another source becomes a hint or ends the subscription.
    """
    heard = Heard()
    with redis.Redis.from_url(fresh_redis.url) as client, listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps)
        for message in FORGED:
            client.publish(CHANNEL, message)
        client.publish(CHANNEL, json.dumps(GOOD))
        until(lambda: heard.hints)
        assert listener.fault == ""
    assert heard.hints == [("web", "epoch-1", 4)]
    assert heard.gaps == 1


def test_a_callback_that_fails_ends_no_thread(fresh_redis: RedisServer) -> None:
    """
    It counts as a gap: what it missed is looked at in full.
    """
    heard = Failing()
    notifier = RedisNotifier(fresh_redis.url, CHANNEL, SOURCE)
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps == 1)
        notifier.announce(event())
        until(lambda: "not now" in listener.fault)
        until(lambda: heard.gaps == 2)
    assert heard.hints == [("web", "epoch-1", 4)]
    notifier.close()
