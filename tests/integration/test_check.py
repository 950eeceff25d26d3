"""
`rotator check` on a real Vault: what it says is what the daemon will meet.
"""

from pathlib import Path

from tests.support.servers.vault import VaultServer
from tests.support.site import Site


def test_a_token_in_the_environment_is_no_proof_of_the_daemons_login(
    tmp_path: Path, vault_server: VaultServer, mount: str
) -> None:
    """Without that token the daemon's own login is tried; a root token is reported once."""
    site = Site(tmp_path, vault_server, mount)
    site.config.write_text(site.config.read_text().replace('auth = "token"', 'auth = "approle"'))

    lent = site.run("check", VAULT_TOKEN=vault_server.root_token)
    own = site.run("check")

    assert lent.returncode == 0, lent.stdout
    assert 'warn  login: VAULT_TOKEN was used, and the daemon\'s own ("approle") was not tried' in lent.stdout
    assert lent.stdout.count("root token") == 1
    assert "beyond need" not in lent.stdout
    assert own.returncode == 77
    assert "role_id" in own.stdout
    assert "login:" not in own.stdout
