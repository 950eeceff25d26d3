"""
Connections to Redis: every timeout and retry explicit, and errors that name the way out.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import AskError, ClusterCrossSlotError, MovedError, ReadOnlyError
from redis.retry import Retry

from rotator.adapters.redis.bounded import BoundedParser
from rotator.errors import ConfigError
from rotator.model.secret import SecretText

TIMEOUT = 1.0
PING_INTERVAL = 5.0
MAX_CONNECTIONS = 4
FAULTS = (redis.RedisError, OSError, UnicodeError)
_PERMISSIONS = (
    "the channel, its stream and hash: &CHANNEL ~CHANNEL* +ping +multi +exec +xadd +publish +hset +hmget +subscribe"
)
_CLUSTER = "it is a node of a Redis Cluster"
_HASH_TAG = 'set channel = "{rotator}:events"'
_CERTIFICATE = re.compile(r"(certificate verify failed: .*?)\.? ?\(_ssl\.c:[0-9]+\)")
_CONNECTING = re.compile(r"^Error -?\d+ (while )?connecting to \S+\. ")


@dataclass(frozen=True, slots=True)
class RedisConnection:
    """
    How to reach one Redis, and as whom; `ca_file` None trusts the system's certificates. A URL may hold a password.
    """

    url: str = field(repr=False)
    username: str = ""
    password: SecretText | None = None
    ca_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """
        Return what a redis-py connection takes: short timeouts, no retries, TLS verified.

        Raises ConfigError unless `url` is the address of a Redis.
        """
        try:
            options = dict(parse_url(self.url))
        except ValueError as error:
            raise ConfigError("url: is no address; write redis://HOST:PORT/DB or rediss://HOST:PORT/DB") from error
        if not re.fullmatch(r"unix://[^?]*/[^?]+(\?.*)?|rediss?://[^/?]*(/[0-9]{0,5})?(\?.*)?", self.url):
            raise ConfigError("url: must name a host, or a socket's path, and a database by its number")
        if "?" in self.url and not re.fullmatch(r"[^?]*\?db=[0-9]{1,5}", self.url):
            raise ConfigError("url: takes no options but db=NUMBER; remove the question mark and what follows it")
        # In RESP2 a PING inside a subscription is answered as a message.
        options |= {
            "protocol": 2,
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
            "driver_info": None,
            "parser_class": BoundedParser,
        }
        if self.username:
            options["username"] = self.username
        if self.password is not None:
            options["password"] = self.password.reveal()
        if self.url.startswith("rediss://"):
            options |= {
                "ssl_cert_reqs": "required",
                "ssl_check_hostname": True,
                "ssl_ca_certs": str(self.ca_file) if self.ca_file else None,
            }
        return options

    @property
    def place(self) -> str:
        """
        The words for the server in messages; no credentials.
        """
        options = self.options()
        where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        return f"redis at {where}"

    @property
    def in_clear(self) -> bool:
        """
        Whether it crosses a network without TLS.
        """
        options = self.options()
        host = options.get("host", "localhost")
        if "connection_class" in options or host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return True


def error_text(error: Exception) -> str:
    """
    Return what a Redis error says in our form: without the command it was about, with the way out if one is known.
    """
    if isinstance(error, MovedError | AskError):
        return f"{_CLUSTER}, and the slot is at {_node(error)}; {_HASH_TAG}, and name the node of its slot in url"
    if isinstance(error, ClusterCrossSlotError):
        return f"{_CLUSTER}, where stream and hash need one slot; {_HASH_TAG}"
    if isinstance(error, ReadOnlyError):
        return "it is a replica, which takes no writes; name the primary in url"
    text = _CONNECTING.sub("", str(error)).rpartition("caused error: ")[2].rstrip(". ") or type(error).__name__
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    if "exhausted the last possible ID" in text:
        return f"{text}; someone wrote the highest one, so remove the stream"
    if found := _CERTIFICATE.search(text):
        return f"its certificate is not accepted: {found[1]}; see [redis] ca_file"
    if isinstance(error, redis.AuthenticationError):
        return f"{text}; correct [redis] username and password_file"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f"{text}; give it {_PERMISSIONS}"
    return text


def _node(error: AskError) -> str:
    # The host is the server's word, and the error knows it before the pipeline adds the command to its text.
    return f"{str(error.host)[:64]}:{error.port}"
