"""
AppRoles as they are set up in practice: without a secret_id, with a wrapped one, with one that is used up.
"""

import json
from pathlib import Path

import pytest

from tests.support.servers.vault import VaultServer
from tests.support.site import INTERNAL, Site, wait_for

pytestmark = pytest.mark.vault


def site_of(folder: Path, server: VaultServer, mount: str, **role: object) -> tuple[Site, str]:
    """Return a site that logs in with an AppRole of its own, whose secret_id is returned and not yet in place."""
    site = Site(folder, server, mount, keysets=INTERNAL, rotation="1h", propagation="2s", life="3s")
    server.policy(mount, site.run("policy", "daemon").stdout)
    role_id, secret_id = server.approle(mount, [mount], **role)
    (folder / "role_id").write_text(role_id)
    site.config.write_text(site.config.read_text().replace('auth = "token"', 'auth = "approle"'))
    return site, secret_id


def alarms(site: Site) -> dict[str, str]:
    """Return the active alarms of the daemon, by reason, with their details."""
    status, body = site.get("/readyz", admin=True)
    return {alarm["reason"]: alarm["detail"] for alarm in json.loads(body)["alarms"]} if status else {}


def test_a_role_without_a_secret_id_needs_no_file(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """`secret_id_file = ""` says so; `check` and daemon log in by the role_id alone."""
    loopback = ["127.0.0.1/32"]
    site, _ = site_of(tmp_path, vault_server, mount, bind_secret_id=False, token_bound_cidrs=loopback)
    text = site.config.read_text().replace('auth = "approle"', 'auth = "approle"\nsecret_id_file = ""')
    site.config.write_text(text)
    assert site.run("check").returncode == 0
    with site.daemon():
        wait_for(lambda: site.keys("internal", "current"), 20)


def test_a_wrapped_secret_id_is_named(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """The real answer of Vault to a wrapping token, told with the way out."""
    site, _ = site_of(tmp_path, vault_server, mount)
    wrapping = vault_server.wrapped_secret_id(mount)
    (tmp_path / "secret_id").write_text(wrapping)
    checked = site.run("check")
    assert checked.returncode == 77
    assert "the latter holds a token and no secret_id" in checked.stdout
    assert "vault unwrap -field=secret_id" in checked.stdout
    assert wrapping not in checked.stdout


def test_a_used_up_secret_id_is_alarmed_while_the_token_lives(
    tmp_path: Path, vault_server: VaultServer, mount: str
) -> None:
    """As soon as it is met, with the token's end; a new one ends the alarm, and no request fails meanwhile."""
    site, secret_id = site_of(tmp_path, vault_server, mount, secret_id_num_uses=1, token_ttl="9s", token_max_ttl="9s")
    (tmp_path / "secret_id").write_text(secret_id)
    with site.daemon():
        wait_for(lambda: "vault token not renewed" in alarms(site), 9, lambda: site.log[-2000:])
        detail = alarms(site)["vault token not renewed"]
        assert detail.startswith("the token in use ends at 20")
        assert "used up" in detail or "the next try is at" in detail
        assert "store denied" not in alarms(site)
        fresh = vault_server.request("POST", f"auth/approle/role/{mount}/secret-id", {})[1]["data"]["secret_id"]
        (tmp_path / "secret_id").write_text(fresh)
        wait_for(lambda: not alarms(site), 9, lambda: site.log[-2000:])
