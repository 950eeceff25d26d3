"""
A daemon that is killed again and again.
"""

import os
import random
import time
from pathlib import Path

import pytest

from tests.support.consumers import Consumers
from tests.support.servers.vault import VaultServer
from tests.support.site import Site, wait_for

KILLS = int(os.environ.get("ROTATOR_TEST_KILLS", "12"))


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(90 + 5 * KILLS)
def test_kill_nine_at_random(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """However often it is killed, there is one current key, no token fails, and nothing is left behind."""
    site = Site(tmp_path, vault_server, mount, rotation="12s", propagation="2s", life="4s")
    with Consumers(site, poll=0.9, life=4) as consumers:
        for _ in range(KILLS):
            process = site.spawn()
            time.sleep(random.uniform(0.8, 4.0))  # noqa: S311
            process.kill()
            process.wait()
            for keyset in ("web", "internal"):
                if site.document("keys", keyset):
                    assert len(site.keys(keyset, "current")) <= 1
        with site.daemon():
            wait_for(lambda: site.purged() and not site.keys("web", "old"), 40, lambda: site.log[-3000:])
    # Between kills the listener is down. A verifier with a cached set survives that; PyJWKClient keeps none.
    assert consumers.failures == []
    assert consumers.verified > 100
