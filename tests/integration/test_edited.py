"""
Another hand at a real Vault, and at the files of the daemon's host: nothing of it is believed, and a repair counts at once.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.edits import edits
from tests.support.publications import jwks
from tests.support.servers.vault import VaultServer
from tests.support.site import SLOW, Site, wait_for

pytestmark = pytest.mark.slow
PATHS = ("/keysets/web/jwks.json", "/.well-known/jwks.json")


def put(site: Site, tree: str, keyset: str, fields: dict[str, Any]) -> int:
    """Write a version with the right compare-and-set, as a person with a token would; return its number."""
    assert site.vault is not None
    base, root = f"{site.mount}/data/rotator/{tree}/{keyset}", site.vault.root_token
    _, reply = site.vault.request("GET", base, token=root)
    version = reply["data"]["metadata"]["version"]
    body = {"data": fields, "options": {"cas": version}}
    status, _ = site.vault.request("POST", base, body, token=root)
    assert status == 200
    return int(version) + 1


def alarms(site: Site, keyset: str = "web") -> dict[str, str]:
    """Return the alarms of a keyset by reason."""
    answer = json.loads(site.get("/readyz", admin=True)[1] or '{"alarms": []}')
    return {alarm["reason"]: alarm["detail"] for alarm in answer["alarms"] if alarm["keyset"] == keyset}


def test_what_is_edited_in_vault_is_never_believed(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """Keys are not shown, flat fields not used; both kinds of keysets; the good document put back, all goes on."""
    site = Site(tmp_path, vault_server, mount, **SLOW)
    with site.daemon():
        site.at_rest()
        shown = {path: site.get(path) for path in PATHS}
        for keyset in ("web", "internal"):
            good = site.document("keys", keyset)
            assert good
            foreign = dict(edits(good))["change keys.0." + ("public" if keyset == "web" else "secret")]
            for edited in (foreign, {**good, "keys": good["keys"][1:]}):
                version = put(site, "keys", keyset, edited)
                wait_for(lambda name=keyset: "document edited" in alarms(site, name), 10, lambda: site.log[-2000:])
                text = alarms(site, keyset)["document edited"]
                assert f"`rotator restore {keyset} --version {version - 1}`" in text
                assert f"`rotator thaw {keyset}`" in text
                assert not site.ready()
                assert {path: site.get(path) for path in PATHS} == shown
                assert (tmp_path / "public" / "jwks.json").read_text() == shown["/.well-known/jwks.json"][1]
                put(site, "keys", keyset, good)
                wait_for(site.ready, 10, lambda: site.log[-2000:])
        put(site, "keys", "internal", {**good, "current": "x"})
        refused = site.run("rotate-now", "internal", "--yes", "--unsafe-now")
        assert refused.returncode == 3
        assert "another hand changed" in refused.stderr
        assert "another hand changed" in site.run("check").stdout


def test_an_edited_public_document_is_mended(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """Within a propagation time, with an alarm; one that runs ahead, too."""
    site = Site(tmp_path, vault_server, mount, **SLOW)
    with site.daemon():
        site.at_rest()
        good = site.document("jwks", "web")
        assert good
        for members in ({"jwks": jwks(9)}, {"sequence": "999"}):
            put(site, "jwks", "web", {**good, **members})
            wait_for(lambda: "public document edited" in alarms(site), 10, lambda: site.log[-2000:])
            mended = site.document("jwks", "web")
            assert mended
            assert (mended["jwks"], mended["sequence"] == "999") == (good["jwks"], False)
            wait_for(lambda: "public document edited" not in alarms(site), 15, lambda: site.log[-2000:])


def test_a_strangers_memory_is_never_served(tmp_path: Path, fresh_vault: VaultServer) -> None:
    """While Vault is away there is nothing else to serve; then nothing is, and the truth is once Vault is back."""
    fresh_vault.enable_kv("secret")
    site = Site(tmp_path, fresh_vault, **SLOW)
    with site.daemon():
        site.at_rest()
        shown = site.get(PATHS[0])
    fresh_vault.stop()
    file = tmp_path / "state" / "keysets" / "web.json"
    good = file.read_text()
    memory = json.loads(good)
    memory["public"]["jwks"] = jwks(9)
    forged = json.dumps(memory)

    def link() -> None:
        """Put a link in its place."""
        file.unlink()
        (file.parent / "elsewhere").write_text(forged)
        file.symlink_to("elsewhere")

    strikes = [link, (lambda: os.chown(file, 65534, -1)) if os.geteuid() == 0 else (lambda: file.chmod(0o666))]
    for strike in strikes:
        file.unlink()
        file.write_text(forged)
        file.chmod(0o600)
        strike()
        with site.daemon(ready=False):
            wait_for(lambda: alarms(site), 15, lambda: site.log[-2000:])
            assert site.get(PATHS[0])[0] == 503
            assert site.get(PATHS[1])[0] in {404, 503}
    # Written as the daemon itself would: only the seal tells, once it can be checked.
    file.unlink()
    file.write_text(forged)
    file.chmod(0o600)
    with site.daemon(ready=False):
        wait_for(lambda: site.get(PATHS[0])[0] == 200, 15, lambda: site.log[-2000:])
        fresh_vault.start()
        wait_for(lambda: "frozen" in alarms(site), 15, lambda: site.log[-2000:])
        assert site.get(PATHS[0]) == shown
        assert "changed by another hand" in alarms(site)["frozen"]
    file.write_text(good)
    with site.daemon():
        assert site.get(PATHS[0]) == shown
