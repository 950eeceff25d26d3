"""
Redis over TLS, and what is said of a Redis in clear text.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.adapters.redis.connection import RedisConnection
from rotator.adapters.redis.notifier import RedisNotifier
from rotator.errors import NotificationError
from rotator.model.secret import SecretText
from tests.support.certificates import certificate
from tests.support.redis_hints import CHANNEL, SOURCE, Proxy
from tests.support.servers.redis import RedisServer

pytestmark = pytest.mark.redis


@pytest.fixture(name="authority")
def _authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """
    The file of an authority, and TLS with its certificate for 127.0.0.1.
    """
    return certificate(tmp_path, "127.0.0.1")


@pytest.fixture(name="ca_file")
def _ca_file(authority: tuple[Path, ssl.SSLContext]) -> Path:
    """
    The authority's file.
    """
    return authority[0]


@pytest.fixture(name="tls")
def _tls(redis_server: RedisServer, authority: tuple[Path, ssl.SSLContext]) -> Iterator[Proxy]:
    """
    TLS before a real Redis.
    """
    with Proxy(redis_server.port, authority[1]) as proxy:
        yield proxy


def test_tls_with_the_right_authority_works(tls: Proxy, ca_file: Path) -> None:
    """
    `ca_file` makes a private authority known.
    """
    notifier = RedisNotifier(RedisConnection(f"rediss://127.0.0.1:{tls.port}/0", ca_file=ca_file), CHANNEL, SOURCE)
    notifier.announced(["web"])
    notifier.close()


@pytest.mark.parametrize(
    ("host", "known"), [("127.0.0.1", False), ("localhost", True)], ids=["unknown authority", "another name"]
)
def test_tls_refuses_strangers(tls: Proxy, ca_file: Path, host: str, *, known: bool) -> None:
    """
    A certificate of an unknown authority, or of another name, is refused, and nothing is sent.
    """
    url = f"rediss://{host}:{tls.port}/0"
    notifier = RedisNotifier(RedisConnection(url, "", SecretText("pw"), ca_file if known else None), CHANNEL, SOURCE)
    for _ in range(2):  # the second is not tried, and says why
        with pytest.raises(NotificationError, match=r"certificate verify failed: .*; see \[redis\] ca_file"):
            notifier.announced(["web"])
    assert "ca_file" in notifier.fault
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
    Probing reports it; on one host it is fine.
    """
    notifier = RedisNotifier(RedisConnection(url), CHANNEL, SOURCE)
    found = notifier.probe()
    assert any("clear text" in finding for finding in found) is told
    assert any("clear text" not in finding for finding in found), "it is down, too"
    notifier.close()
