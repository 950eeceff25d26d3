"""
What callers hand over, checked where they do: a ConfigError names the argument, and what belongs there.
"""

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from rotator.errors import ConfigError
from rotator.keys import Timing

_LONGEST_TEXT = 1024


def is_text(value: object) -> bool:
    """
    Whether *value* may be a subject or a token's id.
    """
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT


def require_texts(**arguments: object) -> None:
    """
    Refuse what is no text, or an empty one.
    """
    for name, value in arguments.items():
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{name}: must be a text, and not empty; here it is {_what(value)}")


def require_durations(**arguments: object) -> None:
    """
    Refuse what is no timedelta; None passes.
    """
    for name, value in arguments.items():
        if value is not None and not isinstance(value, timedelta):
            raise ConfigError(f"{name}: must be a timedelta, as in timedelta(minutes=5); here it is {_what(value)}")


def require_timing(timing: object) -> None:
    """
    Refuse what is no Timing, or one that no daemon could have.
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
    Refuse what is no datetime with a time zone.
    """
    for name, value in arguments.items():
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise ConfigError(f"{name}: must be a datetime with a time zone, as in datetime.now(UTC)")


def require_provider(**arguments: object) -> None:
    """
    Refuse what has no keys to give.
    """
    for name, value in arguments.items():
        if not callable(getattr(value, "verifying", None)):
            raise ConfigError(
                f"{name}: must be a KeysetReader(source) or StaticKeys(secret); here it is {_what(value)}, which reads nothing by itself"
            )


def require_vault_address(address: str) -> None:
    """
    Refuse an address with more in it than where Vault is: requests would go elsewhere, or credentials into logs.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return  # whoever connects says what is wrong with it
    if "@" in parts.netloc or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(
            "address: must end after the port and hold no user or password, as in https://vault.example.org:8200"
        )


def _what(value: object) -> str:
    return (
        "None" if value is None else f"empty ({type(value).__name__})" if value == "" else f"a {type(value).__name__}"
    )
