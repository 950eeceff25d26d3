"""
`rotator thaw` on the file store: what is printed, and what is there afterwards.
"""

import json
import re

import pytest

from rotator.documents.signing import encode_keyset
from rotator.model.document import Tree
from tests.support.command_line import CommandLine, hmac_keyset


def test_a_document_that_was_put_back_is_accepted(rotator: CommandLine) -> None:
    """Its keys stay, its sequence grows."""
    rotator.put(before := hmac_keyset())
    answer = rotator.run("thaw", "internal", "--yes", "--above", "40", "--reason", "from the backup")
    after = rotator.keyset("internal")
    assert answer.code == 0, answer.stderr
    assert answer.stdout.startswith(
        f"internal: version 1 accepted; sequence 41; {after.current and after.current.kid} signs"
    )
    assert tuple(after.keys()) == tuple(before.keys())


def test_a_damaged_file_is_given_up(rotator: CommandLine) -> None:
    """It cannot be read at all, so its version is not known; the file goes, and the daemon makes another."""
    rotator.put(hmac_keyset())
    (rotator.folder / "store" / "keys" / "internal.json").write_text("{")
    planned = rotator.run("thaw", "internal", "--dry-run")
    assert planned.code == 0
    assert "EVERY LIVE TOKEN OF THE FORMER KEYS FAILS" in planned.stdout
    answer = rotator.run("thaw", "internal", "--yes")
    assert answer.code == 0, answer.stderr
    assert "the daemon creates it at its next look" in answer.stdout
    assert rotator.store.load(Tree.KEYS, "internal").version == 0
    assert rotator.run("tick").code == 0
    assert rotator.keyset("internal").current


def test_programs_get_json(rotator: CommandLine) -> None:
    """Before and after."""
    rotator.put(hmac_keyset())
    planned = json.loads(rotator.run("thaw", "internal", "--dry-run", "--output", "json").stdout)
    assert (planned["result"], planned["version"]) == ("would accept", 1)
    done = json.loads(rotator.run("thaw", "internal", "--yes", "--output", "json").stdout)
    assert (done["result"], done["sequence"]) == ("accept", 3)
    assert done["op_id"] == rotator.keyset("internal").op_id
    again = rotator.run("thaw", "internal", "--output", "json", "--op-id", done["op_id"])
    assert (again.code, json.loads(again.stdout)["result"]) == (0, "nothing to do")


def test_a_key_is_never_printed(rotator: CommandLine) -> None:
    """Whatever was edited."""
    keyset = hmac_keyset()
    rotator.put(keyset)
    fields = {**encode_keyset(keyset), "current": "CANARY", "note": "CANARY"}
    rotator.store.save(Tree.KEYS, "internal", fields, 1)
    answer = rotator.run("thaw", "internal", "--yes")
    assert answer.code == 0
    assert "CANARY" not in answer.stdout + answer.stderr
    assert "c0" * 32 not in answer.stdout + answer.stderr


@pytest.mark.parametrize("state", ["deleted", "edited", "damaged"])
def test_the_alarm_of_a_pass_names_the_command_that_mends_it(rotator: CommandLine, state: str) -> None:
    """On files: no version is kept, so what is there is accepted, nothing included."""
    assert rotator.run("tick").code == 0
    file = rotator.folder / "store" / "keys" / "internal.json"
    before = rotator.keyset("internal")
    if state == "deleted":
        file.unlink()
    elif state == "damaged":
        file.write_text("{")
    else:
        content = json.loads(file.read_text())
        content["fields"]["current"] = "by hand"
        file.write_text(json.dumps(content))
    frozen = rotator.run("tick")
    assert frozen.code in {3, 65}, frozen.stderr
    commands = re.findall(r"`rotator ([^`]+)`", frozen.stderr)
    assert [command.split()[0] for command in commands] == ["thaw"]
    assert f"`rotator {commands[0]}`" in rotator.run("status", "internal").stderr
    assert f"`rotator {commands[0]}`" in rotator.run("check").stdout

    assert rotator.run(*commands[0].split(), "--yes").code == 0
    mended = rotator.run("tick")
    assert mended.code == 0, mended.stderr
    same = rotator.keyset("internal").epoch == before.epoch
    assert same is (state == "edited")
    assert rotator.run("status").code == 0
