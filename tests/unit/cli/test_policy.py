"""
`rotator policy` and `rotator generate`: a token with exactly the printed policy can do what its holder must, and nothing else.
"""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rotator.adapters.vault.policies import Role, needed, welcome
from rotator.cli import group
from rotator.config.load import load
from rotator.config.settings import Settings
from tests.support.servers.vault import VaultServer

OK = (200, 204)
DENIED = 403
SAVE = {"data": {"a": "1"}, "options": {"cas": 0}}
TREES = ("keys", "jwks", "standby")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """
    A configuration with two well-known keysets and one of shared secrets, on the mount "secret".
    """
    return configuration(tmp_path, "secret")


def configuration(folder: Path, mount: str) -> Path:
    """
    Write a configuration for *mount*.
    """
    path = folder / "config.toml"
    path.write_text(
        f"""
        [vault]
        mount = "{mount}"
        prefix = "team/rotator"
        [keysets.web]
        well_known = true
        [keysets.apps]
        well_known = true
        [keysets.api]
        algorithm = "HS256"
        """
    )
    return path


def run(config: Path, *arguments: str) -> Result:
    """
    Run `rotator` with a configuration and no environment of its own.
    """
    env = {"VAULT_ADDR": "", "VAULT_NAMESPACE": "", "VAULT_TOKEN": "", "REDIS_URL": "", "ROTATOR_CONFIG": ""}
    return CliRunner().invoke(group, ["--config", str(config), *arguments], env=env)


def settings_of(config: Path) -> Settings:
    """
    The settings that `run` uses.
    """
    return load(config, environ={}, command_line=True)


class Holder:
    """
    Who holds a token with one policy, and nothing from Vault's default one.
    """

    def __init__(self, server: VaultServer, mount: str, policy: str) -> None:
        self._server = server
        self.mount = mount
        server.policy(mount, policy)
        self._token = server.token([mount], no_default_policy=True)

    def ask(self, method: str, path: str, body: object = None) -> int:
        """
        One request; its status.
        """
        return self._server.request(method, path.replace("MOUNT", f"{self.mount}"), body, self._token)[0]


@pytest.mark.vault
@pytest.mark.parametrize("form", ["table", "json"])
def test_the_daemons_policy_allows_every_request_of_a_key_life_and_no_other(
    vault_server: VaultServer, mount: str, tmp_path: Path, form: str
) -> None:
    """
    Create, read, save, look at versions, destroy, look after its own token: yes. Anything else: no.
    """
    daemon = Holder(
        vault_server, mount, run(configuration(tmp_path, mount), "policy", "daemon", "--output", form).stdout
    )
    for tree in TREES:
        path = f"MOUNT/data/team/rotator/{tree}/web"
        assert daemon.ask("GET", path) == 404
        assert daemon.ask("POST", path, SAVE) in OK
        assert daemon.ask("POST", path, {"data": {"a": "2"}, "options": {"cas": 1}}) in OK
        assert daemon.ask("GET", path + "?version=1") in OK
        assert daemon.ask("DELETE", path) == DENIED
        for kind in ("delete", "undelete"):
            assert daemon.ask("POST", f"MOUNT/{kind}/team/rotator/{tree}/web", {"versions": [1]}) == DENIED
        metadata = f"MOUNT/metadata/team/rotator/{tree}/web"
        secret = tree != "jwks"
        assert daemon.ask("GET", metadata) == (OK[0] if secret else DENIED)
        assert (daemon.ask("PUT", f"MOUNT/destroy/team/rotator/{tree}/web", {"versions": [1]}) in OK) is secret
        assert daemon.ask("DELETE", metadata) == DENIED
        assert daemon.ask("POST", metadata, {"max_versions": 1}) == DENIED
        listed = daemon.ask("LIST", f"MOUNT/metadata/team/rotator/{tree}")
        assert listed == (OK[0] if tree == "keys" else DENIED)
        assert daemon.ask("GET", f"MOUNT/data/team/rotator/{tree}/web/deeper") == DENIED
        assert daemon.ask("GET", f"MOUNT/data/team/rotator/{tree}") == DENIED
    for path in ("MOUNT/data/team/rotator/other/web", "MOUNT/data/team/other/keys/web", "MOUNT/data/team/rotator"):
        assert daemon.ask("GET", path) == DENIED
        assert daemon.ask("POST", path, SAVE) == DENIED
    assert daemon.ask("GET", "MOUNT/config") == OK[0]
    assert daemon.ask("POST", "MOUNT/config", {"max_versions": 1}) == DENIED
    for method, path in (
        ("GET", "sys/mounts"),
        ("POST", "auth/token/create"),
        ("GET", "sys/policies/acl"),
        ("GET", "sys/auth"),
    ):
        assert daemon.ask(method, path) == DENIED
    assert daemon.ask("GET", "auth/token/lookup-self") == OK[0]
    assert daemon.ask("POST", "auth/token/renew-self") == OK[0]
    assert daemon.ask("POST", "auth/token/revoke-self") in OK
    assert daemon.ask("GET", "auth/token/lookup-self") == DENIED


@pytest.mark.vault
@pytest.mark.parametrize("keyset", [None, "web", "api"])
def test_operators_may_also_undelete_and_remove(
    vault_server: VaultServer, mount: str, tmp_path: Path, keyset: str | None
) -> None:
    """
    What `restore`, `thaw` and `remove` do to a keyset, and nothing beside: no listing, no settings, no plain deletion.
    """
    arguments = ["operator", *([keyset] if keyset else [])]
    operator = Holder(vault_server, mount, run(configuration(tmp_path, mount), "policy", *arguments).stdout)
    for tree in TREES:
        where = f"team/rotator/{tree}/{keyset or 'web'}"
        assert operator.ask("POST", f"MOUNT/data/{where}", SAVE) in OK
        assert operator.ask("DELETE", f"MOUNT/data/{where}") == DENIED
        assert operator.ask("POST", f"MOUNT/delete/{where}", {"versions": [1]}) == DENIED
        assert operator.ask("POST", f"MOUNT/undelete/{where}", {"versions": [1]}) in OK
        assert operator.ask("GET", f"MOUNT/metadata/{where}") in OK
        assert operator.ask("POST", f"MOUNT/metadata/{where}", {"max_versions": 1}) == DENIED
        assert operator.ask("DELETE", f"MOUNT/metadata/{where}") in OK
        assert operator.ask("GET", f"MOUNT/data/{where}") == 404
        assert operator.ask("LIST", f"MOUNT/metadata/team/rotator/{tree}") == DENIED
        assert operator.ask("DELETE", f"MOUNT/metadata/team/other/{tree}/web") == DENIED
    assert operator.ask("POST", "MOUNT/config", {"max_versions": 1}) == DENIED


@pytest.mark.vault
@pytest.mark.parametrize("keyset", [None, "web", "api"])
@pytest.mark.parametrize("role", list(Role))
def test_what_check_asks_for_is_what_the_policy_grants(
    vault_server: VaultServer, mount: str, tmp_path: Path, role: Role, keyset: str | None
) -> None:
    """
    On every path Vault itself reports exactly the capabilities that `needed` lists, for every keyset the policy covers.
    """
    config = configuration(tmp_path, mount)
    found = settings_of(config)
    arguments = [role.value] + ([keyset] if keyset else [])
    server = vault_server
    server.policy(mount, run(config, "policy", *arguments).stdout)
    token = server.token([mount], no_default_policy=True)
    wanted: dict[str, set[str]] = {}
    for name in [keyset] if keyset else found.keysets:
        for path, capabilities in needed(role, found, name).items():
            wanted.setdefault(path, set()).update(capabilities)
    _, answer = server.request("POST", "sys/capabilities", {"token": token, "paths": list(wanted)})
    assert {path: set(answer["data"][path]) for path in wanted} == wanted
    extra = welcome(found) if role in (Role.DAEMON, Role.OPERATOR) else {}
    printed = set(re.findall(r'^path "(.*)"', run(config, "policy", *arguments).stdout, re.MULTILINE))
    assert printed == {*needed(role, found, keyset), *extra}


@pytest.mark.vault
def test_a_policy_for_one_keyset_is_of_no_use_with_another(
    vault_server: VaultServer, mount: str, tmp_path: Path
) -> None:
    """
    The operator of one keyset changes that one only, and reads of others what is public and shares a URL with it.
    """
    operator = Holder(vault_server, mount, run(configuration(tmp_path, mount), "policy", "operator", "web").stdout)
    assert operator.ask("POST", "MOUNT/data/team/rotator/keys/web", SAVE) in OK
    assert operator.ask("PUT", "MOUNT/destroy/team/rotator/keys/web", {"versions": [1]}) in OK
    assert operator.ask("GET", "MOUNT/data/team/rotator/jwks/apps") == 404
    assert operator.ask("POST", "MOUNT/data/team/rotator/jwks/apps", SAVE) == DENIED
    for name in ("apps", "api"):
        assert operator.ask("GET", f"MOUNT/data/team/rotator/keys/{name}") == DENIED
    assert operator.ask("POST", "auth/token/renew-self") == DENIED


@pytest.mark.vault
def test_services_read_what_they_must_and_write_nothing(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """
    A signer reads the signing document, a verifier the public one; only for a shared secret a verifier reads both.
    """
    config = configuration(tmp_path, mount)
    cases = {
        ("signer", "web"): {("keys", "web")},
        ("verifier", "web"): {("jwks", "web")},
        ("signer", "api"): {("keys", "api")},
        ("verifier", "api"): {("keys", "api"), ("jwks", "api")},
        ("signer",): {("keys", "web"), ("keys", "apps"), ("keys", "api")},
        ("verifier",): {("jwks", "web"), ("jwks", "apps"), ("keys", "api"), ("jwks", "api")},
    }
    for arguments, readable in cases.items():
        holder = Holder(vault_server, mount, run(config, "policy", *arguments).stdout)
        for name in ("web", "apps", "api"):
            for tree in TREES:
                path = f"MOUNT/data/team/rotator/{tree}/{name}"
                assert holder.ask("GET", path) == (404 if (tree, name) in readable else DENIED), (arguments, path)
                assert holder.ask("POST", path, SAVE) == DENIED
                assert holder.ask("GET", f"MOUNT/metadata/team/rotator/{tree}/{name}") == DENIED


@pytest.mark.vault
def test_the_commands_for_cas_required_do_no_harm_before_the_first_start(
    vault_server: VaultServer, mount: str, tmp_path: Path
) -> None:
    """
    Metadata without a version answers like a path never written, takes a first save, and from then on no save without cas.
    """
    hcl = run(configuration(tmp_path, mount), "policy", "daemon").stdout
    documents = re.findall(rf"^#   vault kv metadata put -mount={mount} -cas-required=true (\S+)$", hcl, re.MULTILINE)
    assert documents == [f"team/rotator/{tree}/{name}" for name in ("web", "apps", "api") for tree in TREES]
    daemon = Holder(vault_server, mount, hcl)
    for document in documents:
        assert vault_server.request("POST", f"{mount}/metadata/{document}", {"cas_required": True})[0] in OK
        assert vault_server.request("GET", f"{mount}/data/{document}") == (404, {"errors": []})
        assert daemon.ask("POST", f"MOUNT/data/{document}", {"data": {"a": "1"}}) == 400
        assert daemon.ask("POST", f"MOUNT/data/{document}", SAVE) in OK


@pytest.mark.parametrize("role", list(Role))
def test_the_output_is_hcl_and_nothing_else(config: Path, role: Role) -> None:
    """
    Comments and path blocks, nothing on stderr: it can be piped into `vault policy write`.
    """
    result = run(config, "policy", role.value)
    assert result.exit_code == 0
    assert not result.stderr
    rest = re.sub(
        r'^path "[^"*]+" \{\n  capabilities = \[("[a-z]+"(, )?)+\]\n\}$', "", result.stdout, flags=re.MULTILINE
    )
    assert all(not line or line.startswith("# ") for line in rest.splitlines())
    assert f"| vault policy write rotator-{role} -" in result.stdout


def test_a_namespace_is_in_the_commands_not_in_the_paths(config: Path) -> None:
    """
    Paths in a policy are relative to the namespace that the policy is written into.
    """
    config.write_text(config.read_text().replace("[vault]", '[vault]\nnamespace = "admin/team"'))
    hcl = run(config, "policy", "daemon").stdout
    assert "vault policy write -namespace=admin/team rotator-daemon -" in hcl
    assert "vault kv metadata put -namespace=admin/team -mount=secret " in hcl
    assert 'path "secret/data/team/rotator/keys/+"' in hcl


@pytest.mark.parametrize("arguments", [("daemon", "nope"), ("janitor",), ()])
def test_an_unknown_keyset_or_role_is_a_usage_error(config: Path, arguments: tuple[str, ...]) -> None:
    """
    Nothing is printed that could be piped on.
    """
    result = run(config, "policy", *arguments)
    assert result.exit_code == 2
    assert not result.stdout


def test_the_file_store_has_no_policy(config: Path) -> None:
    """
    With files there is no Vault to restrict.
    """
    config.write_text(config.read_text() + '[store]\nbackend = "file"\n')
    assert run(config, "policy", "daemon").exit_code == 2


def test_generate_prints_256_random_bits(tmp_path: Path) -> None:
    """
    64 hex digits, new each time, without any configuration; as JSON on request.
    """
    one, two = (run(tmp_path / "none", "generate").stdout for _ in range(2))
    assert re.fullmatch(r"[0-9a-f]{64}\n", one)
    assert one != two
    made = json.loads(run(tmp_path / "none", "generate", "--output", "json").stdout)
    assert made["bits"] == 256
    assert re.fullmatch(r"[0-9a-f]{64}", made["secret"])
