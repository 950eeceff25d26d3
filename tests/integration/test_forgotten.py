"""
A host that is set up anew, with a configuration that names fewer keysets than the store holds.
"""

import json
from pathlib import Path

import pytest

from tests.support.servers.vault import VaultServer
from tests.support.site import INTERNAL, WEB, Site, wait_for

LEGACY = '[keysets.legacy]\nalgorithm = "RS256"\nwell_known = true\n'
TIMES = {"rotation": "40s", "propagation": "2s", "life": "10s"}
PLAIN_WEB = f"{WEB}well_known = true\n"


def kids(text: str) -> set[str]:
    """Return the kids of a JWKS, none if it is not one."""
    return {key["kid"] for key in json.loads(text)["keys"]} if text.startswith("{") else set()


def alarms(site: Site) -> set[tuple[str, str]]:
    """Return the active alarms."""
    return {(alarm["keyset"], alarm["reason"]) for alarm in json.loads(site.get("/readyz", admin=True)[1])["alarms"]}


def left_behind(site: Site) -> None:
    """Let a daemon rotate `legacy`, and end while it has an old key."""
    with site.daemon():
        wait_for(lambda: site.keys("legacy", "current") and site.confirmed("legacy"), 30, lambda: site.log[-2000:])
        assert site.run("rotate-now", "legacy", "--when-ready").returncode == 0
        wait_for(lambda: site.keys("legacy", "old"), 10, lambda: site.log[-2000:])


def follow_on(site: Site) -> None:
    """Prove that a daemon which knows `web` alone serves and retires the others, and rotates neither."""
    with site.daemon(ready=False):
        first = wait_for(lambda: (seen := site.get("/.well-known/jwks.json"))[0] == 200 and seen[1], 20)
        old = {key["kid"] for key in site.keys("legacy", "old")}
        current = {key["kid"] for key in site.keys("legacy", "current")}
        assert old
        assert old | current <= kids(first), "the first combined set lacks a key that tokens bear"
        wait_for(lambda: {("legacy", NOT_CONFIGURED), ("internal", NOT_CONFIGURED)} <= alarms(site), 10)
        assert old | current <= kids(site.get("/keysets/legacy/jwks.json")[1])
        wait_for(lambda: not site.keys("legacy", "old"), 25, lambda: site.log[-2000:])
        wait_for(lambda: not old & kids(site.get("/.well-known/jwks.json")[1]), 5)
        assert {key["kid"] for key in site.keys("legacy", "current")} == current
    checked = site.run("check")
    assert "warn  keysets: legacy is in the store and not in the configuration" in checked.stdout
    assert checked.returncode == 0, checked.stdout


NOT_CONFIGURED = "not in the configuration"


def test_a_new_host_looks_after_what_its_configuration_forgot_in_files(tmp_path: Path) -> None:
    """In the file store."""
    before = Site(tmp_path / "before", None, keysets=PLAIN_WEB + LEGACY + INTERNAL, **TIMES)
    after = Site(tmp_path / "after", None, keysets=PLAIN_WEB, **TIMES)
    left_behind(before)
    (before.folder / "store").rename(after.folder / "store")
    follow_on(after)


@pytest.mark.vault
def test_a_new_host_looks_after_what_its_configuration_forgot(
    tmp_path: Path, vault_server: VaultServer, mount: str
) -> None:
    """In Vault, with no more rights than the printed policy gives."""
    before = Site(tmp_path / "before", vault_server, mount, keysets=PLAIN_WEB + LEGACY + INTERNAL, **TIMES)
    after = Site(tmp_path / "after", vault_server, mount, keysets=PLAIN_WEB, **TIMES)
    vault_server.policy(f"daemon-{mount}", after.run("policy", "daemon").stdout)
    (after.folder / "token").write_text(vault_server.token([f"daemon-{mount}"]))
    left_behind(before)
    follow_on(after)


@pytest.mark.vault
def test_a_listing_that_is_denied_stops_nothing(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """It is an alarm that names the right, and `check` asks for it."""
    site = Site(tmp_path, vault_server, mount, keysets=PLAIN_WEB, rotation="1h", propagation="2s", life="3s")
    printed = json.loads(site.run("policy", "daemon", "--output", "json").stdout)
    where = f"{mount}/metadata/rotator/keys/"
    assert printed["path"].pop(where) == {"capabilities": ["list"]}
    vault_server.policy(f"before-{mount}", json.dumps(printed))
    (site.folder / "token").write_text(vault_server.token([f"before-{mount}"]))
    with site.daemon():
        wait_for(lambda: site.keys("web", "current"), 20)
        wait_for(lambda: ("", "keysets not listed") in alarms(site), 10)
        assert f'denied: needs \\"list\\" on {where}' in site.log
        checked = site.run("check")
        assert f"FAIL  capabilities: {where} lacks list; apply `rotator policy daemon`" in checked.stdout
        vault_server.policy(f"before-{mount}", site.run("policy", "daemon").stdout)
        wait_for(lambda: not alarms(site), 10)
