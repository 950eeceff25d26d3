"""
Two daemons on one store, under load.
"""

import os
import time
from pathlib import Path

import pytest

from tests.support.consumers import Consumers
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer
from tests.support.site import Site, wait_for

LONG = float(os.environ.get("ROTATOR_TEST_SECONDS", "45"))


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(120 + 2 * LONG)
def test_two_daemons_under_load_rotate_once_and_fail_no_token(
    tmp_path: Path, vault_server: VaultServer, mount: str, redis_server: RedisServer
) -> None:
    """
    Plain consumers verify every token until it expires, on either's listener, through rotations of both keysets.

    Each due rotation happens once, whichever daemon does it; what is retired is gone.
    """
    sites = [Site(tmp_path / name, vault_server, mount, redis_server) for name in "ab"]
    site = sites[0]
    with sites[0].daemon(), sites[1].daemon(), Consumers(*sites) as consumers:
        time.sleep(LONG)
        done = {name: [op for site in sites for op in site.rotations(name)] for name in ("web", "internal")}
        wait_for(lambda: all(site.keys(k, "next") and not site.keys(k, "old") for k in ("web", "internal")), 40)
        wait_for(site.purged, 5, lambda: site.log[-2000:])

    assert (consumers.failures, consumers.unreached) == ([], 0)
    assert consumers.verified > 50 * LONG
    for ops in done.values():
        assert len(ops) == len(set(ops))
        assert LONG // 22 <= len(ops) <= LONG // 20 + 1
    log = sites[0].log + sites[1].log
    assert "PRIVATE KEY" not in log
    for key in site.keys("internal", "current"):
        assert key["secret"] not in log
