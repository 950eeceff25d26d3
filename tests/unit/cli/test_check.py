"""
`rotator check`: what it finds, on files, on a real Vault and a real Redis; and that it changes nothing.
"""

import json
from pathlib import Path

import pytest

from rotator.model.document import Tree
from tests.support.command_line import ADMIN_OFF, CommandLine, hmac_keyset
from tests.support.privileges import with_modes
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer

INTERNAL = '[keysets.internal]\nalgorithm = "HS256"\n'
URLS = 'verify_urls = ["https://login.example.org/jwks.json"]\n'


def findings(rotator: CommandLine, code: int = 0) -> list[tuple[str, str, str]]:
    """What `check` finds: mark, what, and what is said."""
    answer = rotator.run("check", "--output", "json")
    assert answer.code == code, answer
    return [(f["result"], f["what"], f["said"]) for f in json.loads(answer.stdout)]


def test_a_good_set_up_is_told_piece_by_piece(rotator: CommandLine) -> None:
    """One line for each, exit code 0; afterwards everything is as before."""
    rotator.put(hmac_keyset())
    before = sorted(rotator.folder.rglob("*"))

    answer = rotator.run("check")

    assert answer.code == 0
    lines = answer.stdout.splitlines()
    assert lines[0] == f"ok    configuration: {rotator.config}: 2 keysets"
    assert f"ok    store: file store {rotator.folder}/store" in lines
    assert any(line.startswith("ok    clock: the local clock is +0.0 s off") for line in lines)
    assert "ok    redis: not configured: consumers learn of changes by polling" in lines
    assert f"ok    publish.file: {rotator.folder}/public" in lines
    assert not [line for line in lines if line.startswith("FAIL")]
    assert sorted(rotator.folder.rglob("*")) == before


def test_warnings_of_the_configuration_are_among_the_findings(rotator: CommandLine) -> None:
    """They do not make it fail."""
    warned = [said for mark, what, said in findings(rotator) if (mark, what) == ("warn", "configuration")]
    assert [said.startswith("[publish] verify_urls is empty") for said in warned] == [True]


def test_a_folder_that_others_may_write_fails(rotator: CommandLine) -> None:
    """Anybody could put keys there: 78."""
    (rotator.folder / "store").mkdir()
    (rotator.folder / "store").chmod(0o777)
    said = f"others may write to the folder {rotator.folder}/store; chmod go-w it, or name a folder inside it"
    assert ("FAIL", "folder", said) in findings(rotator, 78)


def test_a_folder_that_others_cannot_enter_is_warned_of(rotator: CommandLine) -> None:
    """A web server could not serve the JWKS file."""
    (rotator.folder / "public").mkdir(mode=0o700)
    said = f"{rotator.folder}/public cannot be entered by others, a web server for one; chmod 755"
    assert ("warn", "publish.file", said) in findings(rotator)


def state_in(rotator: CommandLine, folder: str) -> list[str]:
    """What is warned of with state_dir there."""
    rotator.config.write_text(rotator.config.read_text().replace('"state"', f'"{folder}"'))
    return [said for mark, what, said in findings(rotator) if (mark, what) == ("warn", "folder")]


def test_a_folder_that_cannot_be_made_is_warned_of(rotator: CommandLine) -> None:
    """What is in its way is named."""
    (rotator.folder / "file").write_text("")
    (said,) = state_in(rotator, "file/new/state")
    assert said.startswith(f"{rotator.folder}/file is not writable for this user")


def test_a_folder_that_this_user_cannot_see_is_warned_of(rotator: CommandLine) -> None:
    """The closed folder above it is named, and nothing fails."""
    (rotator.folder / "closed").mkdir(mode=0)
    (said,) = with_modes(lambda: state_in(rotator, "closed/new/state"))
    assert said.startswith(f"{rotator.folder}/closed is not writable for this user")


def test_a_damaged_document_is_65_and_the_rest_is_checked(rotator: CommandLine) -> None:
    """The gravest finding gives the code."""
    rotator.run("tick")
    (rotator.folder / "store" / "keys" / "internal.json").write_text("{")
    found = findings(rotator, 65)
    assert [(mark, what) for mark, what, _ in found if mark == "FAIL"] == [("FAIL", "keys/internal")]
    assert found[-1][1] == "publish.file"


def test_a_store_that_is_away_is_told_once(tmp_path: Path) -> None:
    """What the store would have been asked next is left out."""
    rotator = CommandLine(tmp_path)
    (tmp_path / "store").write_text("no folder")
    failed = [what for mark, what, _ in findings(rotator, 69) if mark == "FAIL"]
    assert failed == ["keys/web"]


def test_a_faulty_configuration_is_78(rotator: CommandLine) -> None:
    """It is said as every command says it."""
    rotator.config.write_text("[keysets.web]\nrotation_period = 3\n")
    answer = rotator.run("check")
    assert (answer.code, answer.stdout) == (78, "")
    assert "[keysets.web] rotation_period: must be a whole number and a unit" in answer.stderr


def test_a_redis_that_is_away_is_a_warning(tmp_path: Path) -> None:
    """Rotation goes on without it."""
    rotator = CommandLine(tmp_path, INTERNAL, f'{ADMIN_OFF}[redis]\nurl = "redis://127.0.0.1:9/0"\n')
    said = [said for mark, what, said in findings(rotator) if (mark, what) == ("warn", "redis")]
    assert said
    assert all(text.endswith("(rotation goes on without it)") for text in said)


def test_a_credential_that_cannot_be_read_is_78(tmp_path: Path) -> None:
    """The part that needs it is told, and the rest is checked."""
    rotator = CommandLine(tmp_path, INTERNAL, f'{ADMIN_OFF}[redis]\npassword_file = "/nowhere/password"\n')
    found = findings(rotator, 78)
    assert [(mark, what) for mark, what, _ in found if mark == "FAIL"] == [("FAIL", "redis")]
    assert found[-1][1] == "publish.file"


@pytest.mark.redis
def test_a_redis_that_answers_is_good(tmp_path: Path, redis_server: RedisServer) -> None:
    """Its address is told."""
    rotator = CommandLine(tmp_path, INTERNAL, f'{ADMIN_OFF}[redis]\nurl = "{redis_server.url}"\n')
    assert ("ok", "redis", redis_server.url) in findings(rotator)


def on_vault(folder: Path, server: VaultServer, mount: str, token: str) -> CommandLine:
    """The command line with a Vault for its store."""
    rotator = CommandLine(folder, INTERNAL)
    (folder / "token").write_text(token)
    vault = f'[vault]\naddress = "{server.address}"\nmount = "{mount}"\nauth = "token"\ntoken_file = "token"\n'
    rotator.config.write_text(rotator.config.read_text().replace('[store]\nbackend = "file"\npath = "store"\n', vault))
    return rotator


def limited(server: VaultServer, mount: str, policy: str) -> str:
    """A token with this policy and no other."""
    server.policy(mount, policy)
    return server.token([mount], no_default_policy=True)


@pytest.mark.vault
def test_a_root_token_is_warned_of(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """It can do what is needed, and everything else."""
    found = findings(on_vault(tmp_path, vault_server, mount, vault_server.root_token))
    assert ("warn", "capabilities", "this token is a root token, which may do anything") in found
    assert ("ok", "capabilities", "all that the daemon needs") in found
    assert ("ok", "store", f"Vault {vault_server.address} at {mount}/rotator") in found


@pytest.mark.vault
@pytest.mark.parametrize("more", ["", "[keysets.a]\nwell_known = true\n[keysets.b]\nwell_known = true\n"])
def test_the_printed_policy_is_all_that_is_needed(
    tmp_path: Path, vault_server: VaultServer, mount: str, more: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lacking and nothing beyond need; keysets that share a JWKS read each other's, too."""
    monkeypatch.setattr("tests.unit.cli.test_check.INTERNAL", INTERNAL + more)
    root = on_vault(tmp_path, vault_server, mount, vault_server.root_token)
    rotator = on_vault(tmp_path, vault_server, mount, limited(vault_server, mount, root.run("policy", "daemon").stdout))
    told = [(mark, said) for mark, what, said in findings(rotator) if what == "capabilities"]
    assert told == [("ok", "all that the daemon needs")]


@pytest.mark.vault
def test_capabilities_that_lack_and_those_beyond_need_are_named(
    tmp_path: Path, vault_server: VaultServer, mount: str
) -> None:
    """77 for what lacks; a warning for what could go."""
    rules = (
        f'path "{mount}/data/rotator/keys/internal" {{\n capabilities = ["create", "read", "delete"] \n}}\n'
        f'path "{mount}/data/rotator/jwks/internal" {{\n capabilities = ["create", "read", "update"] \n}}\n'
        'path "sys/capabilities-self" {\n capabilities = ["update"] \n}\n'
    )
    found = findings(on_vault(tmp_path, vault_server, mount, limited(vault_server, mount, rules)), 77)
    path = f"{mount}/data/rotator/keys/internal"
    assert ("FAIL", "capabilities", f"{path} lacks update; apply `rotator policy daemon`") in found
    assert ("warn", "capabilities", f"{path} has delete beyond need") in found
    assert ("ok", "capabilities", "all that the daemon needs") not in found


@pytest.mark.vault
def test_settings_of_the_mount_that_would_lose_keys_fail(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """Versions that delete themselves would hide current if rotation stalls; optional compare-and-set is a warning."""
    root = vault_server.root_token
    vault_server.request("POST", f"{mount}/config", {"delete_version_after": "1h"}, root)
    vault_server.request("POST", f"{mount}/metadata/rotator/keys/internal", {"cas_required": False}, root)
    found = findings(on_vault(tmp_path, vault_server, mount, root), 78)
    assert [(mark, what) for mark, what, _ in found if mark == "FAIL"] == [("FAIL", f"{mount}/config")]
    said = "cas_required is off; rotator always compares, others might not"
    assert ("warn", f"{mount}/metadata/rotator/keys/internal", said) in found


@pytest.mark.vault
def test_a_deleted_document_is_told(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """3, as the daemon's alarm: it is frozen, and one command mends it."""
    root = vault_server.root_token
    path = f"{mount}/data/rotator/keys/internal"
    vault_server.request("POST", path, {"data": {"a": "1"}}, root)
    vault_server.request("DELETE", path, None, root)
    found = findings(on_vault(tmp_path, vault_server, mount, root), 3)
    said = "internal: version 1 of keys/internal, its latest, was deleted; run `rotator restore internal --version 1`"
    assert ("FAIL", "keys/internal", said) in found


def test_a_vault_that_is_away_is_69(tmp_path: Path, vault_server: VaultServer) -> None:
    """The first document says so, and nothing else is asked."""
    rotator = on_vault(tmp_path, vault_server, "secret", "x")
    rotator.config.write_text(rotator.config.read_text().replace(vault_server.address, "http://127.0.0.1:9"))
    assert [what for mark, what, _ in findings(rotator, 69) if mark == "FAIL"] == ["keys/internal"]


def test_a_document_that_the_daemon_does_not_believe_fails(rotator: CommandLine) -> None:
    """It says what the daemon's alarm says."""
    rotator.put(hmac_keyset())
    stored = rotator.store.load(Tree.KEYS, "internal")
    rotator.store.save(Tree.KEYS, "internal", {**(stored.fields or {}), "current": "x"}, stored.version)

    said = [said for mark, what, said in findings(rotator, 3) if (mark, what) == ("FAIL", "keys/internal")]
    assert len(said) == 1
    assert "current is not what keys gives" in said[0]
    assert said[0].endswith("`rotator thaw internal`")


def test_a_memory_that_the_daemon_does_not_believe_fails(rotator: CommandLine) -> None:
    """A file that another user may have written."""
    folder = rotator.folder / "state" / "keysets"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "web.json").write_text("{}")
    (folder / "web.json").chmod(0o666)

    (said,) = (said for mark, what, said in findings(rotator, 3) if (mark, what) == ("FAIL", "state_dir"))
    assert said.startswith(f"web: others may write to {folder}/web.json; remove it, for they may have")
