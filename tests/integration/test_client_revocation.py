"""
How soon services refuse a key that an operator revoked.
"""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from rotator.client import (
    InvalidTokenError,
    JwksSource,
    KeysetReader,
    RedisHints,
    Signer,
    Source,
    Timing,
    VaultSource,
    Verifier,
)
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer
from tests.support.site import Site, wait_for

NAMES: dict[str, Any] = {"issuer": "https://login.example", "audience": "api"}
# So long that no poll falls into the test: a reader learns of a revocation by a hint or not at all.
TIMING = Timing(timedelta(minutes=4), timedelta(minutes=2), timedelta(seconds=1))
PROMISED = 5.0


def accepts(verifier: Verifier, token: str) -> bool:
    """Whether *verifier* takes *token*."""
    try:
        verifier.verify(token)
    except InvalidTokenError:
        return False
    return True


@pytest.mark.slow
def test_an_old_key_that_was_revoked_is_refused_by_all_who_hear_hints(
    tmp_path: Path, fresh_vault: VaultServer, fresh_redis: RedisServer
) -> None:
    """
    They do within five seconds of the command, whatever they read; `current` stays, so no other change helps them.

    It holds right after a rotation, whose own hints are still on the way, and later; and for a user who may read only
    the channel, which announces each change once. A reader without hints does not know yet.
    """
    fresh_vault.enable_kv("secret")
    site = Site(tmp_path, fresh_vault, redis=fresh_redis, rotation="30m", propagation="4m", life="2m")
    login = {"address": fresh_vault.address, "token": fresh_vault.root_token}
    sources: dict[str, Source] = {
        "JWKS": JwksSource(site.jwks_url, timing=TIMING),
        "JWKS, channel alone": JwksSource(site.jwks_url, timing=TIMING),
        "public document": VaultSource("web", public=True, timing=TIMING, **login),
        "signing document": VaultSource("web", **login),
    }
    with site.daemon():
        assert site.run("rotate-now", "web", "--unsafe-now", "--yes").returncode == 0
        with redis.Redis.from_url(fresh_redis.url) as client:
            client.execute_command(
                "ACL",
                "SETUSER",
                "poor",
                "reset",
                "on",
                ">pw",
                "resetchannels",
                "&rotator:events",
                "+subscribe",
                "+ping",
            )
        everything, channel = RedisHints(fresh_redis.url), RedisHints(fresh_redis.url, username="poor", password="pw")
        readers = {
            name: KeysetReader(source, hints=channel if "alone" in name else everything)
            for name, source in sources.items()
        }
        deaf = KeysetReader(JwksSource(site.jwks_url, timing=TIMING))
        try:
            for reader in (*readers.values(), deaf):
                reader.start()
            wait_for(lambda: all(reader.status.hints == "listening" for reader in readers.values()), 10)
            verifiers = {name: Verifier(reader, **NAMES) for name, reader in readers.items()}
            for rest in (0, 3, 6):
                signer = readers["signing document"]
                token = Signer(signer, **NAMES).sign("alice", lifetime=timedelta(minutes=2))
                kid = signer.signing().signing.kid  # type: ignore[union-attr]
                wait_for(lambda: site.keys("web", "next"), 20)
                assert site.run("rotate-now", "web", "--unsafe-now", "--yes").returncode == 0
                wait_for(lambda: signer.signing().signing.kid != kid, 10)  # type: ignore[union-attr] # noqa: B023
                time.sleep(rest)
                deaf.refresh()
                assert all(accepts(verifier, token) for verifier in (*verifiers.values(), Verifier(deaf, **NAMES)))

                done = site.run("revoke", "--reason", "test", "--", "web", kid)
                assert done.returncode == 0, done.stderr
                ended = time.time()
                late = dict(verifiers)
                while late and time.time() < ended + PROMISED:
                    late = {name: verifier for name, verifier in late.items() if accepts(verifier, token)}
                    time.sleep(0.02)
                assert not late, (rest, [readers[name].status for name in late], site.log[-2000:])
                assert accepts(Verifier(deaf, **NAMES), token)
        finally:
            for reader in (*readers.values(), deaf):
                reader.close()
