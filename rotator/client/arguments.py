"""
Checks of the arguments that callers give: a ConfigError names the argument, and says what belongs there.
"""

import os
import re
import threading
from datetime import datetime, timedelta
from inspect import iscoroutinefunction
from pathlib import Path
from urllib.parse import urlsplit

from rotator.errors import ConfigError
from rotator.model.keyset import KEYSET_NAME
from rotator.model.policy import Timing

_MAX_TEXT = 1024
_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_text(value: object) -> bool:
    """
    Whether *value* may be a subject or a token's id.
    """
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT


def require_texts(**arguments: object) -> None:
    """
    Reject anything but a text that is not empty.
    """
    for name, value in arguments.items():
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{name}: must be a text, and not empty; here it is {_what(value)}")


def require_names(**arguments: object) -> None:
    """
    Reject anything but a text of printable characters, at least one: no line breaks, no lone surrogates.
    """
    require_texts(**arguments)
    for name, value in arguments.items():
        if not str(value).isprintable():
            raise ConfigError(f"{name}: holds a line break or another control character; remove it")


def require_keyset(keyset: object) -> None:
    """
    Reject anything but the name of a keyset.
    """
    if not isinstance(keyset, str) or not KEYSET_NAME.fullmatch(keyset):
        raise ConfigError("keyset: must be the name of a keyset (lower-case letters, digits, _ and -), and not a path")


def require_durations(**arguments: object) -> None:
    """
    Reject anything but a timedelta.
    """
    for name, value in arguments.items():
        if not isinstance(value, timedelta):
            raise ConfigError(f"{name}: must be a timedelta, as in timedelta(minutes=5); here it is {_what(value)}")


def require_seconds(**arguments: object) -> None:
    """
    Reject anything but a number of seconds that a thread can wait.
    """
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= threading.TIMEOUT_MAX:
            raise ConfigError(f"{name}: must be a number of seconds; here it is {_what(value)}")


def require_callable(**arguments: object) -> None:
    """
    Reject anything but a callable that is not async.
    """
    for name, value in arguments.items():
        if not callable(value) or iscoroutinefunction(value):
            raise ConfigError(f"{name}: must be a function, and not an async one; here it is {_what(value)}")


def require_timing(timing: object) -> None:
    """
    Reject anything but a Timing that a daemon could have: no negative duration, and only `clock_skew` may be zero.
    """
    if not isinstance(timing, Timing):
        raise ConfigError(
            f"timing: must be a Timing(propagation_time=…, max_token_lifetime=…, clock_skew=…); here it is {_what(timing)}"
        )
    durations = {name: getattr(timing, name) for name in ("propagation_time", "max_token_lifetime", "clock_skew")}
    require_durations(**{f"timing: {name}": value for name, value in durations.items()})
    for name, value in durations.items():
        if value < timedelta(0) or (not value and name != "clock_skew"):
            raise ConfigError(f"timing: {name}: must be longer than nothing")


def require_aware(**arguments: object) -> None:
    """
    Reject anything but a datetime with a time zone.
    """
    for name, value in arguments.items():
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise ConfigError(f"{name}: must be a datetime with a time zone, as in datetime.now(UTC)")


def require_redis(url: object, username: object, password: object, ca_file: Path | str | None) -> None:
    """
    Reject options that cannot lead to a Redis, as far as this can be known without connecting.
    """
    require_names(url=url)
    for name, value in (("username", username), ("password", password)):
        if not isinstance(value, str):
            raise ConfigError(f"{name}: must be a text; here it is {_what(value)}")
    if ca_file is not None and not os.access(ca_file, os.R_OK):
        raise ConfigError(f"ca_file: {ca_file} cannot be read")


def require_session(session: object) -> None:
    """
    Reject a text that Tokens never used to name a session: a logout with it would do nothing.
    """
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise ConfigError(
            'session: must be a session that Tokens issued; give pair.session or claims["sid"], or give the token to revoke()'
        )


def require_provider(**arguments: object) -> None:
    """
    Reject anything but a Provider of keys.
    """
    for name, value in arguments.items():
        if isinstance(value, type) or not callable(getattr(value, "verifying", None)):
            raise ConfigError(
                f"{name}: must be a KeysetReader(source) or StaticKeys(secret); here it is {_what(value)}, which reads nothing by itself"
            )


def require_vault_address(address: str) -> None:
    """
    Reject an address with more in it than scheme, host and port: requests would go elsewhere, or credentials into logs.
    """
    wanted = "as in https://vault.example.org:8200"
    try:
        url = urlsplit(address)
    except ValueError:
        raise ConfigError(f"address: is not a URL; write it {wanted}") from None
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ConfigError(f"address: must begin with https:// or http://, {wanted}")
    if "@" in url.netloc or url.path.strip("/") or url.query or url.fragment:
        raise ConfigError(f"address: must end after the port and hold no user or password, {wanted}")


def _what(value: object) -> str:
    if value is None or value == "":
        return "empty" if value == "" else "None"
    return f"a {type(value).__name__}"
