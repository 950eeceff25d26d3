"""
Vault or Redis goes away and comes back: what is served stays, and nothing is lost.
"""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer
from tests.support.site import Site, wait_for

pytestmark = pytest.mark.slow


def test_vault_outage_and_seal(tmp_path: Path, fresh_vault: VaultServer) -> None:
    """While Vault is away or sealed the JWKS stays, after a restart of the daemon too; then one rotation follows."""
    fresh_vault.enable_kv("secret")
    site = Site(tmp_path, fresh_vault, rotation="12s", propagation="4s", life="3s")
    process = site.spawn()
    try:
        wait_for(lambda: site.confirmed() and site.ready(), 30, lambda: site.log[-2000:])
        for stop, resume in ((fresh_vault.stop, fresh_vault.start), (fresh_vault.seal, fresh_vault.unseal)):
            before, count = site.get("/keysets/web/jwks.json"), len(site.rotations("web"))
            stop()
            time.sleep(3)
            process.kill()
            process.wait()
            process = site.spawn()
            served = wait_for(
                lambda: (answer := site.get("/keysets/web/jwks.json"))[0] == 200 and answer,
                20,
                lambda: site.log[-2000:],
            )
            assert served == before
            assert site.get("/readyz", admin=True)[0] == 503
            time.sleep(12)
            assert site.get("/keysets/web/jwks.json") == before
            assert len(site.rotations("web")) == count
            resume()
            wait_for(lambda so_far=count: len(site.rotations("web")) == so_far + 1, 15, lambda: site.log[-2000:])
            wait_for(lambda: site.confirmed() and site.ready(), 30, lambda: site.log[-2000:])
            assert site.run("status").returncode == 0
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_redis_outage_holds_nothing(
    tmp_path: Path, vault_server: VaultServer, mount: str, fresh_redis: RedisServer
) -> None:
    """Rotation goes on without Redis, and what happened is announced when it is back."""
    site = Site(tmp_path, vault_server, mount, fresh_redis, rotation="12s", propagation="4s", life="3s")
    with site.daemon():
        wait_for(site.confirmed, 30)
        fresh_redis.stop()
        count = len(site.rotations("web"))
        wait_for(lambda: len(site.rotations("web")) > count, 25, lambda: site.log[-2000:])
        fresh_redis.start()
        client = redis.Redis.from_url(fresh_redis.url, decode_responses=True)

        def announced() -> bool:
            document = site.document("keys", "web")
            value: Any = client.hget("rotator:events:announced", f"{mount}/rotator/web")
            return document is not None and value == f"{document['epoch']}:{document['sequence']}"

        wait_for(announced, 45, lambda: site.log[-2000:])
        events: Any = client.xrange("rotator:events")
        types = {json.loads(fields["event"])["type"] for _, fields in events}
        assert {"rotator.key.published", "rotator.keyset.changed"} <= types
        client.close()
