"""
The recipe for Vault Agent, run by the Vault (or OpenBao) that the tests have.
"""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.client import InvalidTokenError, verify_with
from tests.recipes.page import recipe
from tests.recipes.world import AUDIENCE, ISSUER, PROPAGATION, World, forge_hmac
from tests.support.servers.vault import VaultServer, find_vault
from tests.support.site import Site, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.vault]
FIELDS = {"JWT_KID": "kid", "JWT_SECRET": "current", "JWT_SECRET_OLD": "old", "JWT_SECRET_NEXT": "next"}


@pytest.fixture
def agent(internal: World, vault_server: VaultServer, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """
    An agent that has done its first rendering into `jwt.env` of *tmp_path*, under the role that the page sets up.
    """
    (tmp_path / "vault").symlink_to(str(find_vault(build=False)))
    environ = Site.environ(VAULT_ADDR=vault_server.address, ROTATOR_CONFIG=str(internal.site.config))
    environ["PATH"] = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), environ["PATH"]])
    vault_server.approle("any", [])  # enables AppRole
    as_root = environ | {"VAULT_TOKEN": vault_server.root_token}
    subprocess.run(
        ["sh", "-ec", recipe("vault-agent-role")], cwd=tmp_path, env=as_root, check=True, capture_output=True
    )
    role = "auth/approle/role/internal"
    (tmp_path / "role_id").write_text(vault_server.request("GET", f"{role}/role-id")[1]["data"]["role_id"])
    (tmp_path / "secret_id").write_text(vault_server.request("POST", f"{role}/secret-id")[1]["data"]["secret_id"])
    (tmp_path / "agent.hcl").write_text(recipe("vault-agent", {'"1h"': f'"{PROPAGATION // 2}s"'}))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["vault", "agent", "-config=agent.hcl"],
            executable=tmp_path / "vault",
            cwd=tmp_path,
            env=environ,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for((tmp_path / "jwt.env").exists, 30, (tmp_path / "log").read_text)
        yield process
    finally:
        process.terminate()
        process.wait(15)


def rendered(folder: Path) -> dict[str, str]:
    """Return the variables in the file, "" for none."""
    return dict(line.split("=", 1) for line in (folder / "jwt.env").read_text().splitlines())


def test_vault_agent(
    internal: World, vault_server: VaultServer, agent: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """
    What the agent renders verifies good tokens at once, is renewed within the propagation time, and stays in an outage.
    """
    assert stat.S_IMODE((tmp_path / "jwt.env").stat().st_mode) == 0o600
    require_rendered(internal, tmp_path)
    tokens = [internal.token()]
    internal.rotate()
    tokens.append(internal.token())
    require_accepted(tmp_path, tokens)  # at once: the coming secret was rendered before
    require_rendered(internal, tmp_path)
    require_accepted(tmp_path, tokens)
    last = rendered(tmp_path)
    vault_server.request("DELETE", "sys/policies/acl/rotator-signer-internal")
    time.sleep(PROPAGATION)
    assert agent.poll() is None
    assert rendered(tmp_path) == last
    verifier = verify_with(*secrets(tmp_path), issuer=ISSUER, audience=AUDIENCE)
    for name, forgery in forge_hmac(internal.document, tokens[-1]).items():
        with pytest.raises(InvalidTokenError):
            pytest.fail(f"{name}: {verifier.verify(forgery)}")


def require_rendered(world: World, folder: Path) -> None:
    """Fail unless the file is up to date within the propagation time."""
    wait_for(lambda: rendered(folder) == {name: world.document[field] for name, field in FIELDS.items()}, PROPAGATION)


def secrets(folder: Path) -> list[str]:
    """Return the secrets in the file."""
    return [rendered(folder)[name] for name in FIELDS if name != "JWT_KID"]


def require_accepted(folder: Path, tokens: list[str]) -> None:
    """Verify with what is in the file now."""
    verifier = verify_with(*secrets(folder), issuer=ISSUER, audience=AUDIENCE)
    assert [verifier.verify(token).subject for token in tokens] == ["alice"] * len(tokens)
