"""
What each kind of token must be able to do, by path: exactly what its requests use.
"""

from pathlib import Path

import pytest

from rotator.adapters.vault.policies import Role, needed, reads, welcome
from rotator.config.load import load
from rotator.config.settings import Settings

READ = {"read"}
SAVE = {"create", "read", "update"}
UPDATE = {"update"}
LOOKUP, RENEW, REVOKE = (f"auth/token/{what}-self" for what in ("lookup", "renew", "revoke"))
CAPABILITIES = "sys/capabilities-self"


@pytest.fixture(name="settings")
def _settings(tmp_path: Path) -> Settings:
    """
    Two well-known keysets, one that is not, and one of shared secrets.
    """
    path = tmp_path / "config.toml"
    path.write_text(
        """
        [vault]
        mount = "kv"
        prefix = "team/rotator"
        [keysets.web]
        well_known = true
        [keysets.apps]
        well_known = true
        [keysets.batch]
        well_known = false
        [keysets.api]
        algorithm = "HS256"
        """
    )
    return load(path, environ={}, command_line=True)


def documents(keyset: str) -> dict[str, set[str]]:
    """
    Return what a keeper of *keyset* needs on its documents.
    """
    found = {f"kv/data/team/rotator/{tree}/{keyset}": SAVE for tree in ("keys", "standby", "jwks")}
    for tree in ("keys", "standby"):
        found[f"kv/metadata/team/rotator/{tree}/{keyset}"] = READ
        found[f"kv/destroy/team/rotator/{tree}/{keyset}"] = UPDATE
    return found


def recovery(role: Role, keyset: str) -> dict[str, set[str]]:
    """
    Return what `restore`, `thaw` and `remove` need of *keyset* beside: an operator's token has it, a daemon's never.
    """
    if role is Role.DAEMON:
        return {}
    metadata = {f"kv/metadata/team/rotator/{tree}/{keyset}": {"read", "delete"} for tree in ("keys", "standby", "jwks")}
    return metadata | {f"kv/undelete/team/rotator/{tree}/{keyset}": UPDATE for tree in ("keys", "standby", "jwks")}


LIST = {"kv/metadata/team/rotator/keys/": {"list"}}
DAEMON = {LOOKUP: READ, RENEW: UPDATE, REVOKE: UPDATE, CAPABILITIES: UPDATE} | LIST
OPERATOR = {LOOKUP: READ, REVOKE: UPDATE, CAPABILITIES: UPDATE}
keepers = pytest.mark.parametrize(
    ("role", "token"), [(Role.DAEMON, DAEMON), (Role.OPERATOR, OPERATOR)], ids=["daemon", "operator"]
)


@keepers
def test_a_keeper_of_any_keyset(settings: Settings, role: Role, token: dict[str, set[str]]) -> None:
    """A + stands for its name; an operator's token is not renewed, and only the daemon looks for keysets."""
    assert needed(role, settings, None) == documents("+") | recovery(role, "+") | token


@keepers
def test_a_keeper_of_one_keyset(settings: Settings, role: Role, token: dict[str, set[str]]) -> None:
    """A keyset that shares no URL needs nothing of the others."""
    assert needed(role, settings, "batch") == documents("batch") | recovery(role, "batch") | token


@keepers
def test_a_keeper_of_shared_secrets_has_a_standby_too(
    settings: Settings, role: Role, token: dict[str, set[str]]
) -> None:
    """It holds their seal key."""
    assert needed(role, settings, "api") == documents("api") | recovery(role, "api") | token


@keepers
def test_a_keeper_of_a_well_known_keyset_reads_its_neighbours(
    settings: Settings, role: Role, token: dict[str, set[str]]
) -> None:
    """Their public documents only, and only of those in the same combined set."""
    neighbours = {"kv/data/team/rotator/jwks/apps": READ}
    assert needed(role, settings, "web") == documents("web") | recovery(role, "web") | neighbours | token


def test_a_signer_reads_signing_documents(settings: Settings) -> None:
    """Of its keyset, or of all that are configured."""
    assert needed(Role.SIGNER, settings, "web") == {"kv/data/team/rotator/keys/web": READ}
    assert needed(Role.SIGNER, settings, None) == {
        f"kv/data/team/rotator/keys/{name}": READ for name in ("web", "apps", "batch", "api")
    }


def test_a_verifier_reads_public_documents_and_shared_secrets(settings: Settings) -> None:
    """Only an HMAC keyset cannot be verified without the secret itself."""
    public = {f"kv/data/team/rotator/jwks/{name}": READ for name in ("web", "apps", "batch", "api")}
    assert needed(Role.VERIFIER, settings, "web") == {"kv/data/team/rotator/jwks/web": READ}
    assert needed(Role.VERIFIER, settings, None) == public | {"kv/data/team/rotator/keys/api": READ}
    assert reads(Role.VERIFIER, settings, "api") == (
        "kv/data/team/rotator/keys/api",
        "kv/data/team/rotator/jwks/api",
    )
    assert reads(Role.SIGNER, settings, "api") == ("kv/data/team/rotator/keys/api",)


def test_what_helps_is_the_mounts_configuration(settings: Settings) -> None:
    """It tells whether the mount deletes versions by itself."""
    assert welcome(settings) == {"kv/config": READ}
