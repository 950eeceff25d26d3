"""
A rate-limit quota of Vault: keysets come one after another, none is starved, and nothing is called an outage.
"""

import time
from pathlib import Path

import pytest

from tests.support.servers.vault import VaultServer
from tests.support.site import Site, wait_for

pytestmark = pytest.mark.vault
NAMES = ("one", "two", "three")


def test_keysets_are_created_under_a_quota(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """Of four requests a second on the mount, from the first request on."""
    keysets = "".join(f'[keysets.{name}]\nalgorithm = "HS256"\n' for name in NAMES)
    site = Site(tmp_path, vault_server, mount, keysets=keysets, rotation="1h", propagation="40s", life="10s")
    quota = f"sys/quotas/rate-limit/{mount}"
    status, told = vault_server.request("POST", quota, {"path": f"{mount}/", "rate": 4, "interval": "1s"})
    assert status == 204, told
    began = time.monotonic()
    with site.daemon(ready=False):
        wait_for(site.ready, 30, lambda: site.log[-3000:])
        took = time.monotonic() - began
        vault_server.request("DELETE", quota)
        assert all(site.keys(name, "current") for name in NAMES)
        asked = sum(
            float(line.rpartition(" ")[2])
            for line in site.get("/metrics", admin=True)[1].splitlines()
            if line.startswith("rotator_vault_requests_total")
        )
    assert "store unavailable" not in site.log
    assert took < 6 + asked / 2
