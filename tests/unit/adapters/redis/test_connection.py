"""
How Redis is reached: explicit timeouts, no retries, nothing secret in messages.
"""

from pathlib import Path

import pytest
import redis
from redis.exceptions import ClusterCrossSlotError, MovedError, ReadOnlyError

from rotator.adapters.redis.connection import TIMEOUT, RedisConnection, error_text
from rotator.errors import ConfigError
from rotator.model.secret import SecretText


def test_every_timeout_is_explicit_and_nothing_is_retried() -> None:
    """redis-py would wait for ever and retry by itself."""
    options = RedisConnection("redis://127.0.0.1:6379/0").options()
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (TIMEOUT, TIMEOUT)
    assert options["retry_on_error"] == []
    assert options["retry"].get_retries() == 0
    assert "password" not in options


def test_credentials_and_tls_come_from_the_fields() -> None:
    """The password is revealed to redis-py only, and certificates are verified."""
    connection = RedisConnection("rediss://r.example:6380/1", "rotator", SecretText("CANARY"), Path("/ca.pem"))
    options = connection.options()
    assert (options["username"], options["password"]) == ("rotator", "CANARY")
    assert (options["ssl_cert_reqs"], options["ssl_check_hostname"]) == ("required", True)
    assert options["ssl_ca_certs"] == "/ca.pem"
    assert "CANARY" not in repr(connection)


def test_a_password_in_the_address_is_not_shown() -> None:
    """Neither in the value's representation nor in the words for its place."""
    connection = RedisConnection("redis://user:CANARY@r.example:6380/0")
    assert "CANARY" not in repr(connection) + connection.place
    assert connection.place == "redis at r.example:6380"


@pytest.mark.parametrize(
    ("url", "place", "in_clear"),
    [
        ("redis://127.0.0.1/0", "redis at 127.0.0.1:6379", False),
        ("redis://localhost:1/0", "redis at localhost:1", False),
        ("redis://[::1]:7/0", "redis at ::1:7", False),
        ("redis://10.0.0.1:7/0", "redis at 10.0.0.1:7", True),
        ("redis://r.example:7/0", "redis at r.example:7", True),
        ("rediss://r.example:7/0", "redis at r.example:7", False),
        ("unix:///run/redis/redis.sock?db=1", "redis at /run/redis/redis.sock", False),
    ],
)
def test_an_address_has_a_place_and_may_be_in_clear(url: str, place: str, in_clear: bool) -> None:
    """Only an unencrypted address of another host is in clear text."""
    connection = RedisConnection(url)
    assert (connection.place, connection.in_clear) == (place, in_clear)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "redis://127.0.0.1/x", "redis://127.0.0.1/0?socket_timeout=9", "unix://", ""]
)
def test_what_is_no_address_is_a_config_error(url: str) -> None:
    """The message begins with the option."""
    with pytest.raises(ConfigError, match=r"^url: "):
        RedisConnection(url).options()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (redis.ConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused."), "connection refused"),
        (redis.AuthenticationError("invalid password"), "password_file"),
        (redis.exceptions.NoPermissionError("this user has no permissions"), r"give it the channel"),
        (redis.ResponseError("Command # 1 (XADD secret) of pipeline caused error: OOM"), "^OOM$"),
        (
            redis.ConnectionError(
                "Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed (_ssl.c:1)."
            ),
            "^its certificate is not accepted: certificate verify failed: self-signed; see .redis. ca_file$",
        ),
        (MovedError("7 10.0.0.1:6379"), "the slot is at 10.0.0.1:6379; set channel"),
        (ClusterCrossSlotError("Keys in request"), "Redis Cluster, where stream and hash need one slot; set channel"),
        (ReadOnlyError("You can't write"), "it is a replica"),
    ],
)
def test_an_error_is_told_without_the_command(error: Exception, said: str) -> None:
    """With the way out if one is known."""
    text = error_text(error)
    assert "XADD" not in text
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(text)
