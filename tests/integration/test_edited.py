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
                assert f"`rotator restore {keyset} --version {version - 1}" in text
                assert f"`rotator thaw {keyset}" in text
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
    """Within a propagation time, with an alarm, though it runs ahead."""
    site = Site(tmp_path, vault_server, mount, **SLOW)
    with site.daemon():
        site.at_rest()
        good = site.document("jwks", "web")
        assert good
        put(site, "jwks", "web", {**good, "jwks": jwks(9), "sequence": "999"})
        wait_for(lambda: "public document edited" in alarms(site), 10, lambda: site.log[-2000:])
        mended = site.document("jwks", "web")
        assert mended
        assert (mended["jwks"], mended["sequence"] == "999") == (good["jwks"], False)


def test_a_strangers_memory_is_never_served(tmp_path: Path, fresh_vault: VaultServer) -> None:
    """While Vault is away there is nothing else to serve; then nothing is, and the truth is once Vault is back."""
    fresh_vault.enable_kv("secret")
    names = ("web", "link", "open", "given")
    pairs = "".join(f'[keysets.{name}]\nalgorithm = "RS256"\nwell_known = true\n' for name in names)
    site = Site(tmp_path, fresh_vault, keysets=pairs, **SLOW)
    with site.daemon():
        shown = {name: site.get(f"/keysets/{name}/jwks.json") for name in names}
    fresh_vault.stop()
    folder = tmp_path / "state" / "keysets"
    for name in names:
        file = folder / f"{name}.json"
        memory = json.loads(file.read_text())
        memory["public"]["jwks"] = jwks(9)
        file.write_text(json.dumps(memory))
    (folder / "link.json").rename(folder / "elsewhere")
    (folder / "link.json").symlink_to("elsewhere")
    (folder / "open.json").chmod(0o666)
    if os.geteuid() == 0:
        os.chown(folder / "given.json", 65534, -1)
    else:
        (folder / "given.json").chmod(0o602)
    with site.daemon(ready=False):
        wait_for(lambda: all(alarms(site, name) for name in names), 15, lambda: site.log[-2000:])
        assert [site.get(f"/keysets/{name}/jwks.json")[0] for name in names] == [200, 503, 503, 503]
        # Written as the daemon itself would: only the seal tells, once it can be checked.
        fresh_vault.start()
        wait_for(lambda: all("frozen" in alarms(site, name) for name in names), 25, lambda: site.log[-2000:])
        assert "changed by another hand" in alarms(site)["frozen"]
        for name in names:
            assert json.loads(site.get(f"/keysets/{name}/jwks.json")[1]) == json.loads(shown[name][1])
    for name in names:
        (folder / f"{name}.json").unlink()
    with site.daemon():
        assert {name: site.get(f"/keysets/{name}/jwks.json")[0] for name in names} == dict.fromkeys(names, 200)
