"""
The ways out: each frozen state on a real Vault, mended by the command that the alarm names, with an operator's token.
"""

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.servers.vault import VaultServer
from tests.support.site import INTERNAL, SLOW, WEB, Site, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.vault]

NAMES = ("web", "internal")
COMMAND = re.compile(r"`(rotator [^`]+)`")


class House(Site):
    """
    A site whose daemon has the daemon's policy, and whose operator has a token of their own.
    """

    def __init__(self, folder: Path, vault: VaultServer, mount: str) -> None:
        super().__init__(folder, vault, mount, **SLOW)
        self.server, self.names = vault, NAMES
        for role in ("daemon", "operator"):
            vault.policy(f"{role}-{mount}", self.run("policy", role).stdout)
        (folder / "token").write_text(vault.token([f"daemon-{mount}"]))
        self._operator = vault.token([f"operator-{mount}"])

    def operate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command with the operator's token."""
        return self.run(*arguments, VAULT_TOKEN=self._operator)

    def at_rest_both(self) -> None:
        """Wait until both keysets sign and have a confirmed next key."""
        for name in self.names:
            wait_for(
                lambda name=name: self.keys(name, "current") and self.confirmed(name), 30, lambda: self.log[-3000:]
            )

    # -- what people do ------------------------------------------------------------------------------------------------

    def kv(self, method: str, kind: str, tree: str, name: str, body: Any = None) -> Any:
        """One request to the KV store as root."""
        status, answer = self.server.request(method, f"{self.mount}/{kind}/rotator/{tree}/{name}", body)
        assert status in {200, 204}, answer
        return answer

    def latest(self, tree: str, name: str) -> int:
        """Return the number of the latest version."""
        return int(self.kv("GET", "metadata", tree, name)["data"]["current_version"])

    def put(self, name: str, fields: dict[str, Any], tree: str = "keys") -> None:
        """Save a document as a human's `vault kv put` does."""
        self.kv("POST", "data", tree, name, {"data": fields})

    def sequence(self, name: str) -> int:
        """Return the sequence that is stored."""
        return int((self.document("keys", name) or {})["sequence"])

    def seen(self, name: str) -> int:
        """Return the sequence that the daemon saw last."""
        return int(json.loads((self.folder / "state" / "keysets" / f"{name}.json").read_text())["public"]["sequence"])

    # -- what the daemon says ------------------------------------------------------------------------------------------

    def alarms(self, name: str) -> list[dict[str, str]]:
        """Return the alarms of a keyset."""
        answer = self.get("/readyz", admin=True)[1]
        return [alarm for alarm in json.loads(answer or "{}").get("alarms", []) if alarm["keyset"] == name]

    def frozen(self, name: str) -> dict[str, str]:
        """Wait for the alarm that names a way out; no other alarm may stand beside it."""

        def found() -> list[dict[str, str]]:
            return [alarm for alarm in self.alarms(name) if COMMAND.search(alarm["detail"])]

        (alarm,) = wait_for(found, 10, lambda: f"{self.alarms(name)} {self.log[-3000:]}")
        assert [a["reason"] for a in self.alarms(name)] == [alarm["reason"]]
        return alarm

    def mended(self, name: str) -> bool:
        """Whether the daemon is well again, and a key signs."""
        return self.ready() and not self.alarms(name) and bool(self.keys(name, "current"))


def edited(house: House, name: str, **members: Any) -> None:
    """Change some members of the signing document by hand."""
    document = house.document("keys", name)
    assert document is not None
    house.put(name, {**document, **members})


def foreign_epoch(house: House, name: str) -> None:
    """Put a document of another life there, which no seal of ours fits."""
    edited(house, name, epoch="0192f0a0-0000-7000-8000-000000000000")


def fork(house: House, name: str) -> None:
    """Put a document of the same sequence and another save there."""
    edited(house, name, op_id="0192f0a0-0000-7000-8000-000000000000")


def destroy_all(house: House, name: str) -> None:
    """Destroy every version."""
    house.kv("PUT", "destroy", "keys", name, {"versions": list(range(1, house.latest("keys", name) + 1))})


State = Callable[[House, str], Any]
# What leaves a good version, in an order in which each of them does.
SURVIVED: dict[str, State] = {
    "latest destroyed": lambda h, n: h.kv("PUT", "destroy", "keys", n, {"versions": [h.latest("keys", n)]}),
    "deleted": lambda h, n: h.kv("DELETE", "data", "keys", n),
    "another epoch": foreign_epoch,
    "fork": fork,
    "edited": lambda h, n: edited(h, n, current="by hand"),
    "hand-made": lambda h, n: h.put(n, {"current": "by hand"}),
}
LOST: dict[str, State] = {
    "all destroyed": destroy_all,
    "metadata deleted": lambda h, n: h.kv("DELETE", "metadata", "keys", n),
    "all three deleted": lambda h, n: [h.kv("DELETE", "metadata", tree, n) for tree in ("keys", "jwks", "standby")],
}


class Tokens:
    """
    A live token of each keyset, and what its verifiers find.
    """

    def __init__(self, house: House) -> None:
        self._house, self.tokens = house, {}
        for name in NAMES:
            document = house.document("keys", name)
            assert document is not None
            claims = {"sub": "me", "exp": int(time.time()) + 600}
            self.tokens[name] = jwt.encode(
                claims, document["current"], algorithm=document["algorithm"], headers={"kid": document["kid"]}
            )

    def verify(self, name: str) -> bool:
        """Whether the token verifies by what is published: the JWKS of the listener, or the document's keys."""
        header = jwt.get_unverified_header(self.tokens[name])
        if name == "web":
            body = self._house.get("/keysets/web/jwks.json")[1]
            keys = {key["kid"]: jwt.PyJWK(key) for key in json.loads(body or '{"keys": []}')["keys"]}
            return header["kid"] in keys and bool(jwt.decode(self.tokens[name], keys[header["kid"]], ["RS256"]))
        document = self._house.document("keys", name) or {"keys": []}
        secrets = {key["kid"]: key["secret"] for key in document["keys"]}
        return header["kid"] in secrets and bool(jwt.decode(self.tokens[name], secrets[header["kid"]], ["HS256"]))


def mend(house: House, strike: State, command: str) -> None:
    """Strike both keysets, and run as printed what the alarms name, with the operator's token; then all is well."""
    for name in NAMES:
        strike(house, name)
    printed = {}
    for name in NAMES:
        alarm = house.frozen(name)
        printed[name] = COMMAND.findall(alarm["detail"])[0]
        assert shlex.split(printed[name])[1:3] == [command, name], alarm
        assert re.search(r"; no service can sign from \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ on$", alarm["detail"]), alarm
    status = house.operate("status")
    assert status.returncode == 3
    for name in NAMES:
        assert printed[name] in status.stdout + status.stderr
        done = house.operate(*shlex.split(printed[name])[1:], "--yes", "--reason", "a test")
        assert done.returncode == 0, done.stderr
        assert ("EVERY LIVE TOKEN" in done.stderr) is (command == "thaw")
    for name in NAMES:
        wait_for(
            lambda name=name: house.mended(name), 12, lambda name=name: f"{house.alarms(name)} {house.log[-3000:]}"
        )


@pytest.mark.timeout(300)
def test_keys_that_survive_are_brought_back(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """Every token verifies throughout; the epoch stays, and the sequence never falls."""
    house = House(tmp_path, vault_server, mount)
    with house.daemon():
        house.at_rest_both()
        tokens = Tokens(house)
        for state, strike in SURVIVED.items():
            before = {name: house.document("keys", name) or {} for name in NAMES}
            mend(house, strike, "restore")
            for name in NAMES:
                after = house.document("keys", name) or {}
                assert tokens.verify(name), state
                assert (after["epoch"], after["kid"]) == (before[name]["epoch"], before[name]["kid"]), state
                assert int(after["sequence"]) >= int(before[name]["sequence"]), state
        assert house.operate("rotate-now", "--all", "--unsafe-now").returncode == 0
        assert all(tokens.verify(name) for name in NAMES)


@pytest.mark.timeout(300)
def test_keys_that_are_lost_are_given_up(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """As announced: every token fails, and no key of before is used again. The last good JWKS is served until then."""
    house = House(tmp_path, vault_server, mount)
    with house.daemon():
        for state, strike in LOST.items():
            house.at_rest_both()
            tokens, before = Tokens(house), {name: house.document("keys", name) or {} for name in NAMES}
            assert all(tokens.verify(name) for name in NAMES)
            mend(house, strike, "thaw")
            for name in NAMES:
                after = house.document("keys", name) or {}
                assert not tokens.verify(name), state
                assert after["epoch"] != before[name]["epoch"], state
                assert {key["kid"] for key in after["keys"]}.isdisjoint({key["kid"] for key in before[name]["keys"]})


def test_undeleting_by_hand_mends_it_too(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """A human's `vault kv undelete` counts within seconds, with no command of ours."""
    house = House(tmp_path, vault_server, mount)
    with house.daemon():
        house.at_rest_both()
        for name in NAMES:
            version = house.latest("keys", name)
            house.kv("DELETE", "data", "keys", name)
            house.frozen(name)
            house.kv("POST", "undelete", "keys", name, {"versions": [version]})
            wait_for(lambda name=name: house.mended(name), 8, lambda: house.log[-3000:])


def test_a_restored_snapshot_is_brought_above_what_was_seen(tmp_path: Path, fresh_vault: VaultServer) -> None:
    """The store's whole past comes back; the lower sequence is told at once, with the command that mends it."""
    fresh_vault.enable_kv("secret")
    house = House(tmp_path / "site", fresh_vault, "secret")
    with house.daemon():
        house.at_rest_both()
        fresh_vault.stop()
        shutil.copytree(fresh_vault.folder / "data", tmp_path / "snapshot")
        fresh_vault.start()
        assert house.operate("rotate-now", "--all", "--unsafe-now").returncode == 0
        wait_for(lambda: all(house.seen(name) == house.sequence(name) for name in NAMES), 10)
        seen = {name: house.sequence(name) for name in NAMES}
        fresh_vault.stop()
        shutil.rmtree(fresh_vault.folder / "data")
        shutil.copytree(tmp_path / "snapshot", fresh_vault.folder / "data")
        fresh_vault.start()
        for name in NAMES:
            alarm = wait_for(
                lambda name=name: next((a for a in house.alarms(name) if "lower" in a["detail"]), None),
                40,
                lambda: f"{house.alarms('web')} {house.log[-3000:]}",
            )
            assert [a["reason"] for a in house.alarms(name)] == ["store shows an older sequence"]
            arguments = shlex.split(COMMAND.findall(alarm["detail"])[0])[1:]
            assert "--above" in arguments
            done = house.operate(*arguments, "--yes")
            assert done.returncode == 0, done.stderr
        for name in NAMES:
            wait_for(lambda name=name: house.mended(name), 12, lambda: f"{house.alarms('web')} {house.log[-3000:]}")
            assert house.sequence(name) > seen[name]


def test_a_removed_keyset_is_dropped_and_its_name_is_free(
    tmp_path: Path, vault_server: VaultServer, mount: str
) -> None:
    """Refused while configured and while tokens live; then daemons drop it, and a later one of this name is another."""
    house = House(tmp_path, vault_server, mount)
    whole = house.config.read_text()
    with house.daemon():
        house.at_rest_both()
        epochs = {name: (house.document("keys", name) or {})["epoch"] for name in NAMES}
        assert house.operate("remove", "web", "--yes").returncode == 2
    (tmp_path / "config.toml").write_text(
        whole.replace(WEB, "").replace(INTERNAL, '[keysets.other]\nalgorithm = "HS256"\n')
    )
    with house.daemon():
        for name in NAMES:
            wait_for(lambda name=name: house.alarms(name), 10, lambda: house.log[-3000:])
            refused = house.operate("remove", name, "--yes", "--output", "json")
            assert refused.returncode == 3
            assert json.loads(refused.stdout)["safe_at"]
            done = house.operate("remove", name, "--unsafe-now", "--yes")
            assert done.returncode == 0, done.stderr
            wait_for(lambda name=name: not house.alarms(name), 10, lambda: house.log[-3000:])
            for tree in ("keys", "jwks"):
                status = house.server.request("GET", f"{mount}/metadata/rotator/{tree}/{name}")[0]
                assert status == 404
            assert not (tmp_path / "state" / "keysets" / f"{name}.json").exists()
        wait_for(lambda: house.get("/keysets/web/jwks.json")[0] == 404, 5)
    (tmp_path / "config.toml").write_text(whole)
    with house.daemon():
        house.at_rest_both()
        for name in NAMES:
            assert (house.document("keys", name) or {})["epoch"] != epochs[name]
