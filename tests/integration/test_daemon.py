"""
A daemon and its surroundings: signals, a document deleted by hand, exactly the rights that are printed for it.
"""

import json
import signal
from pathlib import Path

import pytest

from tests.support.servers.vault import VaultServer
from tests.support.site import SLOW, WEB, Site, wait_for

pytestmark = pytest.mark.slow


def test_signals_and_exit_codes(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """SIGINT ends with 0; SIGHUP reloads, or keeps the old configuration. No store is 69, missing rights are 77."""
    site = Site(tmp_path, vault_server, mount, **SLOW)
    with site.daemon() as process:
        good = site.config.read_text()
        site.config.write_text(good + "\nnonsense = 1\n")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "configuration_refused" in site.log, 10)
        site.config.write_text(good)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: '"configuration_unchanged"' in site.log, 30, lambda: site.log[-2000:])
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    weak = vault_server.token(["default"])
    denied = site.run("status", VAULT_TOKEN=weak)
    assert denied.returncode == 77
    assert '"read"' in denied.stderr
    assert site.run("status", VAULT_ADDR="http://127.0.0.1:9").returncode == 69
    assert site.run("status", "unknown").returncode == 2
    assert site.run("tick").returncode == 0


def test_deleted_document_freezes(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """A document deleted by hand is not created again: the JWKS stays, an alarm says what to do, undelete thaws it."""
    site = Site(tmp_path, vault_server, mount, keysets=WEB, **SLOW)
    with site.daemon():
        site.at_rest()
        path = f"{mount}/data/rotator/keys/web"
        version = max(site.versions("keys", "web"))
        vault_server.request("DELETE", path, token=vault_server.root_token)
        wait_for(lambda: not site.ready(), 10)
        answer = json.loads(site.get("/readyz", admin=True)[1])
        assert [alarm["reason"] for alarm in answer["alarms"]] == ["frozen"]
        assert f"run `rotator restore web --version {version}`" in answer["alarms"][0]["detail"]
        assert site.get("/keysets/web/jwks.json")[0] == 200
        vault_server.request(
            "POST", f"{mount}/undelete/rotator/keys/web", {"versions": [version]}, token=vault_server.root_token
        )
        wait_for(site.ready, 15, lambda: site.log[-2000:])


def test_policy_daemon_is_enough(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """A token with exactly the printed policy runs the daemon through bootstrap, rotation, retirement and purge."""
    site = Site(tmp_path, vault_server, mount, rotation="10s", propagation="2s", life="3s")
    hcl = site.run("policy", "daemon")
    assert hcl.returncode == 0, hcl.stderr
    name = f"rotator-{mount}"
    vault_server.policy(name, hcl.stdout)
    (site.folder / "token").write_text(vault_server.token([name], no_default_policy=True))
    with site.daemon():
        wait_for(
            lambda: site.rotations("web") and not site.keys("web", "old") and site.purged(),
            60,
            lambda: site.log[-3000:],
        )
    assert '"denied"' not in site.log
    assert "purge_pending" not in site.log
