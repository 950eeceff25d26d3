"""
Hints over Redis that a keyset changed: a stream, a channel, and what was announced last. Nothing here has authority.
"""

import ipaddress
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from rotator.adapters.circuit_breaker import Breaker, backoff
from rotator.documents.event import decode_hint, encode_event
from rotator.errors import ConfigError, NotificationError
from rotator.model.secret import SecretText
from rotator.ports.store import Event, EventType

TIMEOUT = 1.0
PING_INTERVAL = 5.0
MOST_CONNECTIONS = 4
STREAM_LENGTH = 10_000
_PERMISSIONS = (
    "the channel, its stream and hash: &CHANNEL ~CHANNEL* +ping +multi +exec +xadd +publish +hset +hmget +subscribe"
)
_CONNECTING = re.compile(r"^Error -?\d+ (while )?connecting to \S+\. ")
_CHUNK = 1000
_LISTEN = 0.5
_MOVES_NOTHING = frozenset({EventType.HELD, EventType.OVERDUE})
FAULTS = (redis.RedisError, OSError, UnicodeError)


class RedisNotifier:
    """
    The Notifier on Redis. After a failure calls fail at once until a back-off has passed, then one of them tries.

    A call on a Redis that is down or silent ends within a few timeouts of 1 s. Nothing is retried here: an announcement
    is repeated from what is stored.
    """

    def __init__(
        self,
        url: str,
        channel: str,
        source: str,
        username: str = "",
        password: SecretText | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self._channel = channel
        self._source = source
        self._options = connection_options(url, username, password, ca_file)
        self._place = place_of(self._options)
        self._breaker = Breaker()
        # A silent Redis holds so many callers, each for its timeouts; the others wait no longer than one for a turn.
        pool = redis.BlockingConnectionPool(MOST_CONNECTIONS, TIMEOUT, health_check_interval=30, **self._options)
        self._redis = redis.Redis(connection_pool=pool)

    def announce(self, event: Event) -> None:
        """
        Append *event* to the stream, publish it, and move the announced position, in one transaction.

        An event that tells of no save (held, overdue) moves no position. An older position may overwrite a newer one:
        that only makes somebody announce again.
        """
        text = encode_event(event, self._source)
        transaction = self._redis.pipeline(transaction=True)
        transaction.xadd(self._channel, {"event": text}, maxlen=STREAM_LENGTH, approximate=True)
        transaction.publish(self._channel, text)
        if event.type not in _MOVES_NOTHING:
            transaction.hset(self._announced, event.keyset, f"{event.epoch}:{event.sequence}")
        with self._guarded():
            transaction.execute()

    def announced(self, keysets: Iterable[str]) -> Mapping[str, str]:
        """
        Return the announced position of each of *keysets* that has one, as epoch:sequence.
        """
        found: dict[str, str] = {}
        names = iter(keysets)
        with self._guarded():
            while chunk := list(islice(names, _CHUNK)):
                positions: Any = self._redis.hmget(self._announced, chunk)
                found |= {name: p.decode(errors="replace") for name, p in zip(chunk, positions, strict=True) if p}
        return found

    def probe(self) -> tuple[str, ...]:
        """
        Return what is wrong with Redis and what this user may do there, empty when all is well; changes nothing.

        Each command is queued in a transaction that is never executed: Redis judges permissions when it queues.
        """
        found = []
        if _in_clear(self._options):
            found.append(f"{self._place} is reached in clear text over a network; use rediss:// (and ca_file)")
        try:
            found.extend(self._refusals())
        except FAULTS as error:
            found.append(f"{self._place}: {error_text(error)}")
        return tuple(found)

    def close(self) -> None:
        """
        Close the connections.
        """
        self._redis.close()
        self._redis.connection_pool.disconnect()

    @property
    def _announced(self) -> str:
        return f"{self._channel}:announced"

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if wait := self._breaker.enter():
            raise NotificationError(f"{self._place} failed lately and is not tried again for {math.ceil(wait)} s")
        try:
            yield
        except FAULTS as error:
            self._breaker.failed()
            raise NotificationError(f"{self._place}: {error_text(error)}") from error
        else:
            self._breaker.worked()

    def _refusals(self) -> Iterator[str]:
        connection = self._redis.connection_pool.get_connection()
        commands = (
            ("PING",),
            ("MULTI",),
            ("EXEC",),
            ("MULTI",),
            ("XADD", self._channel, "MAXLEN", "~", STREAM_LENGTH, "*", "event", ""),
            ("PUBLISH", self._channel, ""),
            ("HSET", self._announced, "", ""),
            ("HMGET", self._announced, ""),
            ("SUBSCRIBE", self._channel),
        )
        try:
            for command in commands:
                connection.send_command(*command)
                try:
                    connection.read_response()
                except redis.ResponseError as error:
                    yield f"{self._place}: {command[0].lower()} is refused: {error_text(error)}"
        finally:
            connection.disconnect()
            self._redis.connection_pool.release(connection)


class HintListener:
    """
    Listens for hints in a thread of its own, from `start` to `stop`, through any fault of Redis.

    *on_hint* gets the keyset, epoch and sequence that a message names, true or forged, from *source* or (None) anybody;
    *on_gap* is called after every (re)subscription, since hints in between are lost. Both must be quick; what they raise
    ends the connection.
    `alive_since` is when the subscription began, None while there is none; `fault` then says what ended the last one.
    """

    def __init__(
        self,
        url: str,
        channel: str,
        source: str | None,
        username: str = "",
        password: SecretText | None = None,
        ca_file: Path | None = None,
        *,
        on_hint: Callable[[str, str, int], None],
        on_gap: Callable[[], None],
        ping_interval: float = PING_INTERVAL,
    ) -> None:
        self._channel = channel
        self._source = source
        self._on_hint = on_hint
        self._on_gap = on_gap
        self._ping_interval = ping_interval
        self._options = connection_options(url, username, password, ca_file)
        self._place = place_of(self._options)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
        self._heard_at = 0.0
        self.alive_since: datetime | None = None
        self.fault = ""

    @property
    def age(self) -> float | None:
        """
        Seconds since Redis was heard, at most two ping intervals; None while there is no subscription.
        """
        return None if self.alive_since is None else time.monotonic() - self._heard_at

    def start(self) -> None:
        """
        Begin to listen; returns at once.
        """
        self._thread.start()

    def stop(self) -> None:
        """
        End the thread; returns within about a second, or two timeouts while a connection is being made.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * TIMEOUT)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends this connection only
                self.fault = f"{self._place}: {error_text(error)}"
            failures = 1 if self.alive_since else failures + 1
            self.alive_since = None
            self._stopping.wait(backoff(failures))

    def _listen(self) -> None:
        client = redis.Redis(connection_pool=redis.ConnectionPool(max_connections=2, **self._options))
        with client, client.pubsub() as subscription:
            subscription.subscribe(self._channel)
            pinged_at = self._heard_at = time.monotonic()
            while not self._stopping.is_set():
                now = time.monotonic()
                # redis-py never notices a silent peer here: its own health check counts unanswered pings and goes on.
                if now - self._heard_at >= 2 * self._ping_interval:
                    raise redis.TimeoutError("no pong")
                if now - pinged_at >= self._ping_interval:
                    subscription.ping("hints")
                    self._beat(client)
                    pinged_at = now
                message = subscription.get_message(timeout=min(_LISTEN, self._ping_interval))
                if message is not None:
                    self._heard_at = time.monotonic()
                    self._take(message)
                    if message["type"] == "subscribe":
                        self._beat(client)

    def _beat(self, client: "redis.Redis") -> None:
        """
        Do what is to be done after a subscription and at each ping; nothing here, and something where streams are read.
        """

    def _take(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.alive_since, self.fault = datetime.now(UTC), ""
            self._on_gap()
        elif message["type"] == "message" and (hint := decode_hint(message["data"], self._source)):
            self._on_hint(*hint)


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
