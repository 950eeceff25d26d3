"""
What is handed over by mistake is refused where it is, by its name.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.client import (
    ConfigError,
    Cookies,
    FileSource,
    JwksSource,
    KeysetReader,
    RedisHints,
    RedisState,
    Signer,
    SigningError,
    StaticKeys,
    Timing,
    Tokens,
    VaultSource,
    Verifier,
    WeakSecretError,
    verify_with,
)

NAMES: dict[str, Any] = {"issuer": "https://login.example", "audience": "api"}
SECRET = "5f0c1e6b9d8a47324f7be1905cc2d3a8e6470b1f92d85ac3b07e4f6618d92ca5"
VAULT: dict[str, Any] = {"address": "https://v", "token": "t"}
URL = "http://127.0.0.1:8080/keysets/web/jwks.json"
HOUR = timedelta(hours=1)


def tokens(**options: object) -> Tokens:
    """Return Tokens on a Redis that is not asked."""
    given: dict[str, Any] = {"keys": StaticKeys(SECRET), "state": RedisState(), **NAMES, **options}
    return Tokens(given.pop("keys"), given.pop("state"), **given)


def timing(*durations: Any) -> Timing:
    """Return a Timing of anything."""
    return Timing(*durations)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "seconds as poll_interval": (
        lambda: KeysetReader(JwksSource(URL), poll_interval=60),
        "poll_interval: must be a timedelta",
    ),
    "text as max_stale": (lambda: KeysetReader(JwksSource(URL), max_stale="1h"), "max_stale: must be a timedelta"),
    "seconds as cooldown": (lambda: KeysetReader(JwksSource(URL), cooldown=1.5), "cooldown: must be a timedelta"),
    "no cooldown": (lambda: KeysetReader(JwksSource(URL), cooldown=timedelta(0)), "cooldown: must be longer"),
    "a name for a source": (lambda: KeysetReader("internal"), "source: must be one"),
    "a source for a reader": (lambda: Verifier(JwksSource(URL), **NAMES), "keys: must be a KeysetReader"),
    "a source to sign with": (lambda: Signer(VaultSource("web", **VAULT), **NAMES), "keys: must be a KeysetReader"),
    "no keys": (lambda: Verifier(None, **NAMES), r"keys: must be .* here it is None"),
    "no issuer": (
        lambda: Verifier(StaticKeys(SECRET), issuer="", audience="api"),
        r"issuer: must be .* here it is empty",
    ),
    "audiences": (
        lambda: Verifier(StaticKeys(SECRET), issuer="i", audience=["api"]),
        r"audience: .* here it is a list",
    ),
    "seconds of leeway": (lambda: Verifier(StaticKeys(SECRET), leeway=5, **NAMES), "leeway: must be a timedelta"),
    "seconds in Timing": (
        lambda: JwksSource(URL, timing=timing(7200, HOUR, HOUR)),
        "timing: propagation_time: must be a timedelta",
    ),
    "no life in Timing": (
        lambda: JwksSource(URL, timing=timing(HOUR, HOUR * 0, HOUR)),
        "timing: max_token_lifetime: must be longer",
    ),
    "Timing for a secret": (lambda: StaticKeys(SECRET, timing=HOUR), "timing: must be a Timing"),
    "Timing for Vault": (lambda: VaultSource("web", timing=None, **VAULT), "timing: must be a Timing"),
    "Timing for a file": (
        lambda: FileSource("store", "web", timing=timing(HOUR, 1, HOUR)),
        "timing: max_token_lifetime",
    ),
    "no keyset": (lambda: VaultSource("", **VAULT), "keyset: must be a text"),
    "a path for a keyset": (lambda: FileSource("store", Path("web")), "keyset: must be a text"),
    "a password for Vault": (
        lambda: VaultSource("web", address="https://u:p@v", token="t"),
        "address: must end after the port",
    ),
    "Vault with its API": (
        lambda: VaultSource("web", address="https://v:8200/v1", token="t"),
        "address: must end after the port",
    ),
    "no URL": (lambda: JwksSource(None), "url: must be a text"),
    "no Redis": (lambda: RedisHints(None), "url: is no address"),
    "a URL for the state": (lambda: tokens(state="redis://127.0.0.1"), "state: must be a RedisState"),
    "a source for refresh_keys": (lambda: tokens(refresh_keys=JwksSource(URL)), "refresh_keys: must be a KeysetReader"),
    "minutes of access": (lambda: tokens(access_lifetime=15), "access_lifetime: must be a timedelta"),
    "days of refresh": (lambda: tokens(refresh_lifetime=7), "refresh_lifetime: must be a timedelta"),
    "seconds of grace": (lambda: tokens(grace=10), "grace: must be a timedelta"),
    "before seconds": (lambda: tokens().revoke_issued_before(1.8e9), "moment: must be a datetime with a time zone"),
    "before nowhere": (lambda: tokens().revoke_issued_before(datetime(2026, 1, 1)), "moment: must be a datetime with"),  # noqa: DTZ001
    "of nobody": (lambda: tokens().revoke_issued_before(subject=""), "subject: must be a text"),
    "expires in seconds": (lambda: tokens().revoke_token("id", 900), "expires_at: must be a datetime with a time zone"),
    "no id": (lambda: tokens().revoke_token("", datetime.now(UTC)), "token_id: must be a text"),
    "no session": (lambda: tokens().end_session(None), "session: must be a text"),
    "no kid": (lambda: tokens().revoke_kid(""), "kid: must be a text"),
    "a path without a slash": (lambda: Cookies(refresh_path="session"), "refresh_path: must be a path that begins"),
    "two paths": (lambda: Cookies(path="/; Domain=evil"), "path: must be a path"),
    "a spaced name": (lambda: Cookies(access_name="access token"), "access_name: must be a name"),
    "a domain with more": (lambda: Cookies(domain="example.org; Path=/"), "domain: must be a domain"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str) -> None:
    """Before anything is connected to, and never as another error from deep inside."""
    make, said = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=f"^{said}"):
        make()


@pytest.mark.parametrize("lifetime", [900, "15m", None])
def test_a_lifetime_is_a_timedelta(lifetime: Any) -> None:
    """Seconds could be meant as minutes."""
    signer = Signer(StaticKeys(SECRET), **NAMES)
    with pytest.raises(SigningError, match=r"^lifetime must be a timedelta"):
        signer.sign("alice", lifetime=lifetime)


@pytest.mark.parametrize("secret", [None, b"x" * 64])
def test_a_secret_is_a_text(secret: Any) -> None:
    """What `environ.get` gives where the variable is not set says so."""
    with pytest.raises(WeakSecretError, match=r"^the current secret is not set, or no text"):
        verify_with(secret, **NAMES)
