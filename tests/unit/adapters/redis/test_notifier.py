"""
The feed on Redis: one transaction for each event, positions in a hash, and errors that name the way out.
"""

from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from rotator.adapters.redis.connection import RedisConnection
from rotator.adapters.redis.notifier import RedisNotifier
from rotator.documents.event import encode_event
from rotator.errors import ConfigError, NotificationError
from rotator.model.event import EventType
from tests.support.redis_hints import CHANNEL, SOURCE, event
from tests.support.redis_peer import RedisPeer, array, bulk

HASH = "rotator:events:announced"


@pytest.fixture(name="peer")
def _peer() -> Iterator[RedisPeer]:
    """
    A sound Redis.
    """
    with RedisPeer() as peer:
        yield peer


@pytest.fixture(name="notifier")
def _notifier(peer: RedisPeer) -> Iterator[RedisNotifier]:
    """
    A notifier at the peer.
    """
    with closing(RedisNotifier(RedisConnection(peer.url), CHANNEL, SOURCE)) as notifier:
        yield notifier


def test_an_event_is_one_transaction(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    The stream is trimmed as it grows, the channel carries the same text, and the position follows.
    """
    notifier.announce(event(4))
    text = encode_event(event(4), SOURCE)
    assert f'"source":"{SOURCE}"' in text
    assert peer.commands[-5:] == [
        ("MULTI",),
        ("XADD", CHANNEL, "MAXLEN", "~", "10000", "*", "event", text),
        ("PUBLISH", CHANNEL, text),
        ("HSET", HASH, "secret/rotator/web", "epoch-1:4"),
        ("EXEC",),
    ]
    assert len(peer.named("MULTI")) == len(peer.named("EXEC")) == peer.connections == 1


@pytest.mark.parametrize("kind", [EventType.HELD, EventType.OVERDUE])
def test_an_event_without_a_save_moves_no_position(peer: RedisPeer, notifier: RedisNotifier, kind: EventType) -> None:
    """
    It is in the stream and on the channel like any other.
    """
    notifier.announce(event(4, kind))
    assert [command[0] for command in peer.commands[-4:]] == ["MULTI", "XADD", "PUBLISH", "EXEC"]


def test_positions_are_read_from_the_hash(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    By mount, prefix and keyset. One without a position is asked for by the name that older versions wrote, too.
    """
    held = {"secret/rotator/web": "epoch-1:4", "api": "epoch-2:7"}
    peer.replies["HMGET"] = lambda command: array(*(bulk(held.get(name)) for name in command[2:]))
    assert notifier.announced(["web", "api", "odd"]) == {"web": "epoch-1:4", "api": "epoch-2:7"}
    assert peer.named("HMGET") == [
        ("HMGET", HASH, "secret/rotator/web", "secret/rotator/api", "secret/rotator/odd"),
        ("HMGET", HASH, "api", "odd"),
    ]


def test_many_positions_are_read_in_pieces(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    A thousand names in one request; none without names.
    """
    assert notifier.announced([]) == {}
    assert peer.named("HMGET") == []
    peer.replies["HMGET"] = lambda command: array(*(bulk(f"at-{name.rpartition('/')[2]}") for name in command[2:]))
    names = [f"keyset-{number}" for number in range(2001)]
    assert notifier.announced(names) == {name: f"at-{name}" for name in names}
    assert [len(command) - 2 for command in peer.named("HMGET")] == [1000, 1000, 1]


@pytest.mark.parametrize(
    "value", [b"$129\r\n" + b"9" * 129 + b"\r\n", b"$0\r\n\r\n", b":7\r\n", b"*1\r\n:7\r\n", b"$-1\r\n"]
)
def test_what_is_no_position_counts_as_none(peer: RedisPeer, notifier: RedisNotifier, value: bytes) -> None:
    """
    So it is written over by the next announcement. The positions beside it count.
    """
    peer.replies["HMGET"] = lambda command: array(*(value if "odd" in name else bulk("e:4") for name in command[2:]))
    assert notifier.announced(["web", "odd", "api"]) == {"web": "e:4", "api": "e:4"}


def test_bytes_that_are_no_text_are_a_position_of_nothing(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    They cover no keyset.
    """
    peer.replies["HMGET"] = array(b"$2\r\n\xffx\r\n")
    assert notifier.announced(["odd"]) == {"odd": "\ufffdx"}


def test_an_answer_too_large_holds_no_position(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    It is not received, the connection is given up, and the next call works.
    """
    peer.replies["HMGET"] = b"*1\r\n$536870912\r\n" + b"9" * 100
    assert notifier.announced(["web"]) == {}
    peer.replies["HMGET"] = array(bulk("e:4"))
    assert notifier.announced(["web"]) == {"web": "e:4"}


ODD = [b":1\r\n", b"$1\r\nx\r\n", b"*0\r\n", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*-1\r\n", b"+" + b"9" * 5000 + b"\r\n"]
ODD += [b":" + b"9" * 5000 + b"\r\n", b"$-7\r\n", b"*1\r\n" * 5000, b"?\r\n", b"\xff\xfe\r\n", b"-\xff\r\n", b"-\r\n"]
ODD += [b"-MOVED\r\n", b"-MOVED x y:z\r\n", b"-ASK 1\r\n", b"*1\r\n-ERR inside\r\n", b"_\r\n", b"%1\r\n+a\r\n+b\r\n"]


@pytest.mark.parametrize("answer", ODD)
@pytest.mark.parametrize("command", ["HMGET", "XADD"])
def test_no_answer_raises_anything_else(peer: RedisPeer, notifier: RedisNotifier, command: str, answer: bytes) -> None:
    """
    A NotificationError, or nothing: announcing ends no pass, whatever Redis says.
    """
    peer.replies[command] = answer
    with suppress(NotificationError):
        notifier.announced(["web"])
        notifier.announce(event())
    assert isinstance(notifier.probe(), tuple)


ERRORS = {
    "out of memory": ("XADD", "-OOM command not allowed\r\n", "command not allowed$"),
    "another kind": ("XADD", "-WRONGTYPE wrong kind of value\r\n", "wrong kind of value"),
    "no permission": ("PUBLISH", "-NOPERM no permissions\r\n", r"give it the channel, .*&CHANNEL ~CHANNEL\* \+ping"),
    "loading": ("MULTI", "-LOADING loading the dataset\r\n", "loading the dataset"),
}


@pytest.mark.parametrize(("name", "reply", "text"), ERRORS.values(), ids=ERRORS)
def test_errors_name_the_server_and_the_way_out(
    peer: RedisPeer, notifier: RedisNotifier, name: str, reply: str, text: str
) -> None:
    """
    In place of exceptions of redis-py.
    """
    peer.replies[name] = reply.encode()
    with pytest.raises(NotificationError, match=f"^{peer.place}: .*{text}"):
        notifier.announce(event())


def test_after_a_failure_calls_fail_at_once(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    Nothing is sent until the back-off has passed, whatever the call.
    """
    peer.replies["HMGET"] = b"-ERR not now\r\n"
    with pytest.raises(NotificationError, match="not now"):
        notifier.announced(["web"])
    sent = len(peer.commands)
    for call in (lambda: notifier.announced(["web"]), lambda: notifier.announce(event())):
        with pytest.raises(
            NotificationError, match=f"^{peer.place}: not now .failed lately; not tried again for 1 s.$"
        ):
            call()
    assert len(peer.commands) == sent


def test_a_lost_reply_is_not_sent_again(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    Whether the transaction was executed is unknown; its owner announces from what is stored.
    """

    def hang_up(_: object) -> bytes:
        peer.drop()
        return b""

    peer.replies["XADD"] = hang_up
    with pytest.raises(NotificationError, match=f"^{peer.place}: "):
        notifier.announce(event())
    assert len(peer.named("EXEC")) == 1


def test_no_server_there() -> None:
    """
    The address is named once, without redis-py's numbers.
    """
    with (
        closing(RedisNotifier(RedisConnection("redis://127.0.0.1:1/0"), CHANNEL, SOURCE)) as notifier,
        pytest.raises(NotificationError, match=r"^redis at 127\.0\.0\.1:1: connection refused$"),
    ):
        notifier.announce(event())


def test_a_probe_asks_for_every_right_and_changes_nothing(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    What would write is queued and never executed, or executed below the first entry; the connection is not used again.
    """
    peer.replies["HMGET"] = array(bulk(None))
    assert notifier.probe() == ()
    executed = ["MULTI", "XADD", "HMGET", "EXEC"]
    assert [command[0] for command in peer.commands][-9:] == [
        "PING",
        *executed,
        "MULTI",
        "PUBLISH",
        "HSET",
        "SUBSCRIBE",
    ]
    assert ("XADD", CHANNEL, "NOMKSTREAM", "0-1", "event", "-") in peer.commands
    notifier.announced(["web"])
    assert peer.connections == 2


def test_a_probe_tells_what_is_refused(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    With the way out.
    """
    peer.replies["PING"] = b"-NOPERM no permissions\r\n"
    (ping,) = notifier.probe()
    assert ping.startswith(f"{peer.place}: no permissions; give it the channel")


def test_without_transactions_a_probe_asks_nothing_more(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    It would be carried out.
    """
    peer.replies["MULTI"] = b"-ERR odd\r\n"
    assert notifier.probe() == (f"{peer.place}: multi is refused: odd",)
    assert peer.commands[-1] == ("MULTI",)


WRONG = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
THERE = b"-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n"


def test_a_probe_tells_of_keys_of_another_type(peer: RedisPeer, notifier: RedisNotifier) -> None:
    """
    Which only an executed command shows.
    """
    peer.replies |= {"XADD": WRONG, "HMGET": WRONG}
    stream, announced = notifier.probe()
    assert stream == f"{peer.place}: the key {CHANNEL} is there and not a stream; remove it, or set another channel"
    assert announced == f"{peer.place}: the key {HASH} is there and not a hash; remove it, or set another channel"
    peer.replies |= {"XADD": THERE, "HMGET": array(bulk(None))}
    assert notifier.probe() == ()


def test_a_probe_tells_of_clear_text_and_of_no_server() -> None:
    """
    As findings, not as errors.
    """
    with closing(RedisNotifier(RedisConnection("redis://redis.invalid/0"), CHANNEL, SOURCE)) as notifier:
        clear, away = notifier.probe()
    assert clear == "redis at redis.invalid:6379 is reached in clear text over a network; use rediss:// (and ca_file)"
    assert away.startswith("redis at redis.invalid:6379: ")


def test_a_url_that_is_none_is_refused_without_repeating_it() -> None:
    """
    It might hold a password.
    """
    with pytest.raises(ConfigError, match=r"^url: ") as caught:
        RedisNotifier(RedisConnection("http://user:pw@host"), CHANNEL, SOURCE)
    assert "pw" not in str(caught.value)


def test_options_in_the_url_are_refused() -> None:
    """
    They could undo timeouts and the checks of TLS.
    """
    for url in ("redis://127.0.0.1/0?socket_timeout=60", "rediss://127.0.0.1/0?ssl_cert_reqs=none"):
        with pytest.raises(ConfigError, match="takes no options"):
            RedisNotifier(RedisConnection(url), CHANNEL, SOURCE)
