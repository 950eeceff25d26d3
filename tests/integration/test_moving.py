"""
Moving house: the commands of docs/moving.md, carried out on real servers, and a life that goes on after each.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import jwt
import pytest

from tests.conftest import need
from tests.support.servers import vault
from tests.support.servers.vault import VaultServer
from tests.support.site import INTERNAL, WEB, Site, wait_for

pytestmark = [pytest.mark.vault, pytest.mark.slow]

PAGE = Path(__file__).parents[2] / "docs" / "moving.md"
# Nothing rotates by itself, and a rotation may follow another one soon.
POLICY = {"rotation": "1h", "propagation": "2s", "life": "1s", "keysets": WEB + INTERNAL}


def commands(section: str) -> list[str]:
    """Return the shell commands of a section of the page."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert found, section
    return found


def carry_out(script: str, folder: Path, server: VaultServer, tmp_path: Path, new: VaultServer | None = None) -> None:
    """Run a script of the page in *folder*, as somebody who has typed the addresses and tokens."""
    binary = vault.find_vault(build=False)
    assert binary is not None
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("vault", "bao"):
        if not (tools / name).exists():
            (tools / name).symlink_to(binary)
    environ = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "VAULT_ADDR": server.address,
        "VAULT_TOKEN": server.root_token,
        **({"NEW_ADDR": new.address, "NEW_TOKEN": new.root_token} if new else {}),
    }
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "PRIVATE KEY" not in done.stdout + done.stderr


class Life:
    """
    A keyset's life at one place after the other: tokens from before a move verify after it, and everything goes on.
    """

    def __init__(self, site: Site) -> None:
        # Where revoke asks, say yes.
        self._yes = ["--yes"] if "--yes" in site.run("revoke", "--help").stdout else []
        with site.daemon():
            site.at_rest()
            wait_for(lambda: site.confirmed("internal"), 20)
            self.rotate(site)
            self._take_leave(site)

    def goes_on(self, site: Site, *, wholly: bool = False) -> None:
        """Start at the new place: what was signed before verifies; then revoke and purge, and *wholly* rotate and retire."""
        for keyset, (token, algorithm) in self._tokens.items():
            keys = {key["kid"]: key for key in (site.document("keys", keyset) or {"keys": []})["keys"]}
            key = keys[jwt.get_unverified_header(token)["kid"]]
            jwt.decode(token, key.get("public") or key["secret"], algorithms=[algorithm], options={"verify_exp": False})
        with site.daemon():
            wait_for(site.ready, 20, lambda: site.log[-3000:])
            assert [self._sequence(site, keyset) >= self._left[keyset] for keyset in self._left] == [True, True]
            if wholly:
                self.rotate(site)
            revoked = site.keys("internal", "current")[0]["kid"]
            done = site.run("revoke", "internal", revoked, "--reason", "test", *self._yes)
            assert done.returncode == 0, done.stderr
            wait_for(lambda: self._gone(site, revoked), 20, lambda: site.log[-3000:])
            self._take_leave(site)
        assert "invariant" not in site.log

    @staticmethod
    def rotate(site: Site) -> None:
        """Rotate both keysets by command, as soon as that is safe, and wait until the old keys retired."""

        def done() -> bool:
            answer = site.run("rotate-now", "--all")
            assert answer.returncode in {0, 3}, answer.stderr
            return answer.returncode == 0

        before = {keyset: site.keys(keyset, "current")[0]["kid"] for keyset in ("web", "internal")}
        wait_for(done, 30, lambda: site.log[-3000:])
        assert all(site.keys(keyset, "current")[0]["kid"] != kid for keyset, kid in before.items())
        wait_for(lambda: not site.keys("internal", "old") and not site.keys("web", "old"), 20, lambda: site.log[-3000:])
        wait_for(lambda: site.confirmed() and site.confirmed("internal"), 20, lambda: site.log[-3000:])

    def _take_leave(self, site: Site) -> None:
        self._tokens, self._left = {}, {}
        for keyset, algorithm in (("web", "RS256"), ("internal", "HS256")):
            document = site.document("keys", keyset)
            assert document is not None
            token = jwt.encode({"sub": "me"}, document["current"], algorithm, headers={"kid": document["kid"]})
            self._tokens[keyset], self._left[keyset] = (token, algorithm), int(document["sequence"])

    @staticmethod
    def _sequence(site: Site, keyset: str) -> int:
        return int((site.document("keys", keyset) or {"sequence": 0})["sequence"])

    @staticmethod
    def _gone(site: Site, kid: str) -> bool:
        versions = site.versions("keys", "internal") if site.vault else {1: site.document("keys", "internal") or {}}
        return all(kid not in {key["kid"] for key in version["keys"]} for version in versions.values())


@pytest.mark.timeout(300)
def test_the_page_moves_a_life_from_place_to_place(tmp_path: Path, fresh_vault: VaultServer) -> None:
    """File store → Vault → put back from a backup → another mount → another server → file store, with empty state_dirs."""
    fresh_vault.enable_kv("secret")
    fresh_vault.enable_kv("new")
    with VaultServer() as other:
        other.enable_kv("secret")
        site = Site(tmp_path / "files", None, **POLICY)
        life = Life(site)

        (script,) = commands("From the file store to Vault")
        carry_out(script, site.folder, fresh_vault, tmp_path)
        site = Site(tmp_path / "vault", fresh_vault, **POLICY)
        life.goes_on(site)

        backup, put_back = commands("Put back from a backup")
        carry_out(backup, tmp_path, fresh_vault, tmp_path)
        assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.glob("keys-*.json")} == {"0o600"}
        carry_out(put_back, tmp_path, fresh_vault, tmp_path)
        assert int(site.document("keys", "internal")["purge_below"]) > 1
        life.goes_on(site)

        (script,) = commands("To another mount or prefix")
        carry_out(script, tmp_path, fresh_vault, tmp_path)
        site = Site(tmp_path / "mount", fresh_vault, "new", **POLICY)
        life.goes_on(site)

        # The next move reads the mount that the page names.
        (remove,) = commands("Remove the old place")
        carry_out(remove, tmp_path, fresh_vault, tmp_path)
        for tree in ("keys", "jwks", "standby"):
            assert fresh_vault.request("GET", f"secret/metadata/rotator/{tree}/web")[0] == 404
        (script,) = commands("From Vault to OpenBao, or to another Vault")
        carry_out(script.replace("-mount=secret -field", "-mount=new -field"), tmp_path, fresh_vault, tmp_path, other)
        site = Site(tmp_path / "other", other, **POLICY)
        life.goes_on(site, wholly=True)

        (script,) = commands("From Vault to the file store")
        site = Site(tmp_path / "home", None, **POLICY)
        carry_out(script, site.folder, other, tmp_path)
        life.goes_on(site)


def test_nothing_is_written_over(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """A second copy to a place that holds the document fails, and changes nothing."""
    need(vault.find_vault(build=False), vault.MISSING)
    store = tmp_path / "store" / "keys"
    store.mkdir(parents=True)
    (store / "web.json").write_text(json.dumps({"version": 4, "created_at": "x", "fields": {"kid": "first"}}))
    (script,) = commands("From the file store to Vault")
    script = script.replace("-mount=secret", f"-mount={mount}")
    carry_out(script, tmp_path, vault_server, tmp_path)

    with pytest.raises(AssertionError, match="check-and-set"):
        carry_out(script, tmp_path, vault_server, tmp_path)
    status, reply = vault_server.request("GET", f"{mount}/data/rotator/keys/web")
    assert (status, reply["data"]["metadata"]["version"]) == (200, 1)
