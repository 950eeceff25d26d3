"""
Revocation of a key that signs.
"""

import json
import time
from pathlib import Path

import pytest

from tests.support.servers.vault import VaultServer
from tests.support.site import SLOW, WEB, Site, wait_for

pytestmark = pytest.mark.slow


def test_revoke_of_a_current_pair(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """Next signs at once; the revoked kid is out of the JWKS and denied; its material is in no version."""
    site = Site(tmp_path, vault_server, mount, keysets=WEB, **SLOW)
    with site.daemon():
        site.at_rest()
        time.sleep(7)
        (current,), (next_key,) = site.keys("web", "current"), site.keys("web", "next")
        done = site.run("revoke", "--reason", "stolen", "--", "web", current["kid"])
        assert done.returncode == 0, done.stderr
        assert "until" in done.stdout

        document = site.document("keys", "web")
        assert document is not None
        assert document["kid"] == next_key["kid"]
        assert [entry["kid"] for entry in document["revoked"]] == [current["kid"]]
        wait_for(lambda: current["kid"] not in site.get("/keysets/web/jwks.json")[1], 10)
        public = site.document("jwks", "web")
        assert public is not None
        assert [entry["kid"] for entry in public["revoked"]] == [current["kid"]]
        assert "reason" not in public["revoked"][0]
        assert all(current["private"] not in json.dumps(version) for version in site.versions("keys", "web").values())
        assert site.run("revoke", "web", "unknown").returncode == 2
        assert site.run("revoke", "--", "web", current["kid"]).returncode == 0
