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
    SessionStore,
    Signer,
    SigningError,
    StaticKeys,
    Timing,
    Tokens,
    TokenStateError,
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
    given: dict[str, Any] = {"keys": StaticKeys(SECRET), "state": SessionStore(), **NAMES, **options}
    return Tokens(given.pop("keys"), given.pop("state"), **given)


def timing(*durations: Any) -> Timing:
    """Return a Timing of anything."""
    return Timing(*durations)


async def version_later(subject: str) -> int:
    """Return a version, to callers that await it."""
    return len(subject)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "a URL for hints": (
        lambda: KeysetReader(JwksSource(URL), hints="redis://127.0.0.1"),
        "hints: must be a RedisHints",
    ),
    "a class for hints": (lambda: KeysetReader(JwksSource(URL), hints=SessionStore()), "hints: must be a RedisHints"),
    "a class for a source": (lambda: KeysetReader(JwksSource), "source: must be one"),
    "a class for keys": (lambda: Verifier(StaticKeys, **NAMES), "keys: must be a KeysetReader"),
    "a timedelta to wait": (lambda: KeysetReader(JwksSource(URL)).start(HOUR), "timeout: must be a number of seconds"),
    "no number to wait": (
        lambda: KeysetReader(JwksSource(URL)).start(float("nan")),
        "timeout: must be a number of seconds",
    ),
    "less than no wait": (lambda: KeysetReader(JwksSource(URL)).refresh(-1), "timeout: must be a number of seconds"),
    "nobody to tell": (lambda: KeysetReader(JwksSource(URL)).on_change(None), "call: must be a function"),
    "a timedelta for pings": (lambda: RedisHints(ping_interval=HOUR), "ping_interval: must be a number of seconds"),
    "no pings": (lambda: RedisHints(ping_interval=0), "ping_interval: must be more than 0"),
    "no channel": (lambda: RedisHints(channel=None), "channel: must be a text"),
    "events of nobody": (lambda: RedisHints(source=""), "source: must be a text"),
    "a number for a password": (lambda: RedisHints(password=5), "password: must be a text"),
    "a CA that is not there": (
        lambda: RedisHints("rediss://h", ca_file="/nowhere"),
        "ca_file: /nowhere cannot be read",
    ),
    "no prefix": (lambda: SessionStore(prefix=None), "prefix: must be a text"),
    "a database by name": (lambda: SessionStore("redis://h/abc"), "url: must name a host"),
    "two databases": (lambda: SessionStore("redis://h/1/2"), "url: must name a host"),
    "no socket": (lambda: RedisHints("unix://"), "url: must name a host"),
    "a keyset in capitals": (lambda: JwksSource(URL, keyset="Web"), "keyset: must be the name of a keyset"),
    "bytes for a URL": (lambda: SessionStore(b"redis://h"), "url: must be a text"),
    "bytes for a token": (lambda: VaultSource("web", address="https://v", token=b"t"), "token: must be a text"),
    "no mount": (lambda: VaultSource("web", mount=None, **VAULT), "mount: must be a text"),
    "Vault without a scheme": (
        lambda: VaultSource("web", address="127.0.0.1:8200", token="t"),
        "address: must begin with https",
    ),
    "two ways up": (lambda: VaultSource("../web", **VAULT), "keyset: must be the name of a keyset"),
    "a name and a folder, swapped": (
        lambda: FileSource("web", "/var/lib/store"),
        "keyset: must be the name of a keyset",
    ),
    "a space in a URL": (lambda: JwksSource(URL + " "), "url: must be printable ASCII"),
    "a typ that is no text": (
        lambda: Signer(StaticKeys(SECRET), typ="\ud800", **NAMES),
        "typ: holds a line break or another",
    ),
    "an algorithm of lists": (lambda: StaticKeys(SECRET, algorithm=["HS256"]), "algorithm: "),
    "false refresh keys": (lambda: tokens(refresh_keys=False), "refresh_keys: must be a KeysetReader"),
    "no lifetime": (lambda: tokens(access_lifetime=None), "access_lifetime: must be a timedelta"),
    "no choice": (lambda: tokens(access_without_redis=["accept"]), "access_without_redis: must be"),
    "claims for a function": (lambda: tokens(claims_of={}), "claims_of: must be a function"),
    "an async function": (
        lambda: tokens(version_of=version_later),
        "version_of: must be a function, and not an async one",
    ),
    "claims of nothing": (lambda: tokens(claims_of=lambda _: None).issue("alice"), "claims_of: must return a mapping"),
    "a text for a version": (lambda: tokens(version_of=lambda _: "3").issue("alice"), "version_of: must return an int"),
    "a truth for a version": (
        lambda: tokens(version_of=lambda _: True).issue("alice"),
        "version_of: must return an int",
    ),
    "a token for a session": (
        lambda: tokens().end_session(Signer(StaticKeys(SECRET), **NAMES).sign("alice")),
        "session: must be a session that Tokens issued",
    ),
    "no path": (lambda: Cookies(path=None), "path: must be a path"),
    "a number for a name": (lambda: Cookies(access_name=5), "access_name: must be a name"),
    "Secure without secure": (lambda: Cookies(access_name="__Secure-a", secure=False), "__Secure-a: browsers accept"),
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
    "no keyset": (lambda: VaultSource("", **VAULT), "keyset: must be the name of a keyset"),
    "a path for a keyset": (lambda: FileSource("store", Path("web")), "keyset: must be the name of a keyset"),
    "a password for Vault": (
        lambda: VaultSource("web", address="https://u:p@v", token="t"),
        "address: must end after the port",
    ),
    "Vault with its API": (
        lambda: VaultSource("web", address="https://v:8200/v1", token="t"),
        "address: must end after the port",
    ),
    "no URL": (lambda: JwksSource(None), "url: must be a text"),
    "no Redis": (lambda: RedisHints(None), "url: must be a text"),
    "a URL for the state": (lambda: tokens(state="redis://127.0.0.1"), "state: must be a SessionStore"),
    "a source for refresh_keys": (lambda: tokens(refresh_keys=JwksSource(URL)), "refresh_keys: must be a KeysetReader"),
    "minutes of access": (lambda: tokens(access_lifetime=15), "access_lifetime: must be a timedelta"),
    "days of refresh": (lambda: tokens(refresh_lifetime=7), "refresh_lifetime: must be a timedelta"),
    "seconds of grace": (lambda: tokens(grace=10), "grace: must be a timedelta"),
    "before seconds": (lambda: tokens().revoke_issued_before(1.8e9), "moment: must be a datetime with a time zone"),
    "before nowhere": (lambda: tokens().revoke_issued_before(datetime(2026, 1, 1)), "moment: must be a datetime with"),  # noqa: DTZ001
    "of nobody": (lambda: tokens().revoke_issued_before(subject=""), "subject: must be a text"),
    "expires in seconds": (lambda: tokens().revoke_token("id", 900), "expires_at: must be a datetime with a time zone"),
    "no id": (lambda: tokens().revoke_token("", datetime.now(UTC)), "token_id: must be a text"),
    "no session": (lambda: tokens().end_session(None), "session: must be a session that Tokens issued"),
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


@pytest.mark.parametrize("claims", ["x", ["x"], 5])
def test_claims_are_a_mapping(claims: Any) -> None:
    """Anything else is an error."""
    with pytest.raises(SigningError, match=r"^claims must be a mapping"):
        Signer(StaticKeys(SECRET), **NAMES).sign("alice", claims=claims)


@pytest.mark.parametrize("secret", [None, b"x" * 64])
def test_a_secret_is_a_text(secret: Any) -> None:
    """What `environ.get` gives where the variable is not set says so."""
    with pytest.raises(WeakSecretError, match=r"^the current secret is not set, or no text"):
        verify_with(secret, **NAMES)


class Longer(timedelta):
    """As others subclass it."""


def test_what_is_right_is_taken() -> None:
    """Unusual, and nothing wrong with it."""
    Verifier(StaticKeys(SECRET), leeway=Longer(seconds=5), **NAMES)
    VaultSource(
        "web",
        address="https://[::1]:8200//",
        token=None,
        token_file=Path("/run/token"),
        mount="/secret/",
        prefix="a/b/",
    )
    assert (
        VaultSource("web", mount="/secret/", prefix="/rotator/", **VAULT).place == "https://v secret/rotator/keys/web"
    )
    for url in (
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=2",
        "redis://[::1]:6379/1",
        "rediss://:pw@h:6379/1",
    ):
        RedisHints(url)
        SessionStore(url)
    with pytest.raises(TokenStateError):  # there is no such Redis; a subject may be any text
        tokens(state=SessionStore("redis://127.0.0.1:1")).revoke_issued_before(subject="Zoë\nMiller")
