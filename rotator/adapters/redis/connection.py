"""
Connections to Redis: every timeout and retry explicit, and errors that name the way out.
"""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from rotator.errors import ConfigError
from rotator.model.secret import SecretText

TIMEOUT = 1.0


PING_INTERVAL = 5.0


MAX_CONNECTIONS = 4


_PERMISSIONS = (
    "the channel, its stream and hash: &CHANNEL ~CHANNEL* +ping +multi +exec +xadd +publish +hset +hmget +subscribe"
)


_CONNECTING = re.compile(r"^Error -?\d+ (while )?connecting to \S+\. ")


FAULTS = (redis.RedisError, OSError, UnicodeError)


def connection_options(url: str, username: str, password: SecretText | None, ca_file: Path | None) -> dict[str, Any]:
    """
    Return what a redis-py connection takes for *url*: short timeouts, nothing tried again, TLS verified.

    Raises ConfigError for an address that is none.
    """
    try:
        options = dict(parse_url(url))
    except ValueError as error:
        raise ConfigError("url: is no address; write redis://HOST:PORT/DB or rediss://HOST:PORT/DB") from error
    if not re.fullmatch(r"unix://[^?]*/[^?]+(\?.*)?|rediss?://[^/?]*(/[0-9]{0,5})?(\?.*)?", url):
        raise ConfigError("url: must name a host, or a socket's path, and a database by its number")
    if "?" in url and not re.fullmatch(r"[^?]*\?db=[0-9]{1,5}", url):
        raise ConfigError("url: takes no options but db=NUMBER; remove the question mark and what follows it")
    # In RESP2 a PING inside a subscription is answered as a message.
    options |= {
        "protocol": 2,
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "driver_info": None,
    }
    if username:
        options["username"] = username
    if password is not None:
        options["password"] = password.reveal()
    if url.startswith("rediss://"):
        options |= {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": str(ca_file) if ca_file else None,
        }
    return options


def place_of(options: Mapping[str, Any]) -> str:
    """
    Return the words for the server that *options* lead to.
    """
    where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"redis at {where}"


def _in_clear(options: Mapping[str, Any]) -> bool:
    host = options.get("host", "localhost")
    if "connection_class" in options or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def error_text(error: Exception) -> str:
    """
    Return what a Redis error says in our form: without the command it was about, with the way out where one is known.
    """
    text = _CONNECTING.sub("", str(error)).rpartition("caused error: ")[2].rstrip(". ") or type(error).__name__
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    if isinstance(error, redis.AuthenticationError):
        return f"{text}; correct [redis] username and password_file"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f"{text}; give it {_PERMISSIONS}"
    return text
