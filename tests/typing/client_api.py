"""
What services write against rotator.client, for the type checker: never run.
"""

from datetime import datetime, timedelta
from typing import Any, assert_type

from rotator.client import (
    Claims,
    Cookie,
    Cookies,
    FileSource,
    InvalidTokenError,
    JwksSource,
    Keys,
    KeysetReader,
    Provider,
    ReaderStatus,
    RedisHints,
    Rejection,
    SessionStore,
    Signer,
    Source,
    StaticKeys,
    Timing,
    TokenPair,
    Tokens,
    VaultSource,
    Verifier,
    verify_with,
)

ISSUER, AUDIENCE = "https://login.example", "api"


def sources() -> list[Source]:
    """Every source is a Source."""
    timing = Timing(timedelta(hours=2), timedelta(days=7), timedelta(minutes=1))
    return [
        VaultSource("web", address="https://vault.example:8200", token_file="/run/vault/token"),
        VaultSource("web", role_id_file="role_id", secret_id_file="secret_id", public=True, timing=timing),
        JwksSource("https://login.example/keysets/web/jwks.json", timing=timing),
        FileSource("/var/lib/rotator/store", "web"),
    ]


def providers(reader: KeysetReader) -> list[Provider]:
    """A reader and static keys are Providers."""
    return [reader, StaticKeys("a" * 64, None)]


def keep(source: Source) -> None:
    """A reader, its options, and what it gives."""
    with KeysetReader(source, hints=RedisHints(), max_stale=timedelta(hours=1)) as reader:
        assert_type(reader, KeysetReader)
        assert_type(reader.status, ReaderStatus)
        assert_type(reader.secrets(), tuple[str, ...])
        assert_type(reader.refresh(), Keys)
        reader.on_change(lambda keys: print(keys.sequence))


async def serve(source: Source) -> None:
    """The same for asyncio."""
    async with KeysetReader(source) as reader:
        verifier = Verifier(reader, issuer=ISSUER, audience=AUDIENCE)
        assert_type(await verifier.averify("token"), Claims)


def use(provider: Provider) -> None:
    """Signing and verifying."""
    token = Signer(provider, issuer=ISSUER, audience=AUDIENCE).sign("alice", lifetime=timedelta(minutes=5))
    assert_type(token, str)
    claims = verify_with("a" * 64, None, issuer=ISSUER, audience=AUDIENCE).verify(token)
    mapping: dict[str, Any] = dict(claims)
    assert_type(claims.subject, str)
    assert_type(claims.expires_at, datetime)
    try:
        print(mapping["roles"])
    except InvalidTokenError as error:
        assert_type(error.reason, Rejection)
    claims["roles"] = []  # type: ignore[index]  # verified claims cannot be changed


def sessions(provider: Provider) -> Cookie:
    """Pairs, and the cookies that carry them."""
    tokens = Tokens(
        provider,
        SessionStore("redis://127.0.0.1:6379/0"),
        issuer=ISSUER,
        audience=AUDIENCE,
        claims_of=lambda subject: {"name": subject},
        version_of=lambda _: 1,
        access_without_redis="refuse",
    )
    pair = tokens.issue("alice")
    assert_type(pair, TokenPair)
    tokens.revoke_issued_before(subject="alice")
    Tokens(provider, SessionStore(), issuer=ISSUER, audience=AUDIENCE, access_without_redis="maybe")  # type: ignore[arg-type]
    return Cookies(samesite="Strict").of(pair)[0]
