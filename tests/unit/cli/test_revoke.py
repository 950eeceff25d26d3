"""
`rotator revoke`: what is printed of a revocation.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rotator.model.keys import Kid
from tests.support.command_line import CommandLine, hmac_keyset


def test_a_revoked_current_key_gives_way_at_once(rotator: CommandLine) -> None:
    """The answer says which key signs now, under which op_id, and until when tokens may still be accepted."""
    before = hmac_keyset()
    rotator.put(before)
    assert before.current is not None
    assert before.next is not None

    answer = rotator.run("revoke", "internal", before.current.kid, "--reason", "stolen")

    after = rotator.keyset("internal")
    assert answer.code == 0
    first, *exposed = answer.stdout.splitlines()
    assert first == f"internal: revoked {before.current.kid}; {before.next.kid} signs; op_id {after.op_id}"
    assert all(line.startswith("  ") for line in exposed)
    assert f"may accept tokens of {before.current.kid} until" in exposed[0]
    assert [(entry.kid, entry.reason) for entry in after.revoked] == [(before.current.kid, "stolen")]
    assert f"file store {rotator.folder}/store\n" in answer.stderr


def test_programs_get_the_same_as_json(rotator: CommandLine) -> None:
    """With every kid that was revoked: of a leaked document those of next, too."""
    before = hmac_keyset()
    rotator.put(before)
    assert before.current is not None
    assert before.next is not None
    answer = rotator.run("revoke", "internal", before.current.kid, "--document-leaked", "--output", "json")
    told = json.loads(answer.stdout)
    after = rotator.keyset("internal")
    assert after.current is not None
    assert set(told) == {"keyset", "revoked", "current", "op_id", "exposed", "purged"}
    assert told["revoked"] == [before.current.kid, before.next.kid]
    assert (told["keyset"], told["current"], told["op_id"]) == ("internal", after.current.kid, after.op_id)
    assert told["purged"] is True


@pytest.mark.parametrize("kid", ["-" + "h" * 42, "--" + "reason" * 6 + "-help", "-" + "A1_-" * 10 + "zz"])
def test_a_thumbprint_may_begin_like_an_option(rotator: CommandLine, kid: str) -> None:
    """One RFC 7638 thumbprint in 64 does, and an emergency is no time to learn of `--`."""
    keyset = hmac_keyset()
    assert keyset.current is not None
    rotator.put(replace(keyset, current=replace(keyset.current, kid=Kid(kid))))

    for args in (("revoke", "--reason", "-stolen", "internal", kid), ("revoke", "internal", "--", kid)):
        answer = rotator.run(*args)
        assert answer.code == 0, answer.stderr
    assert [entry.kid for entry in rotator.keyset("internal").revoked] == [kid]


def test_a_kid_that_is_not_there_is_a_usage_error(rotator: CommandLine) -> None:
    """With the kids that are; nothing is changed."""
    rotator.put(before := hmac_keyset())
    answer = rotator.run("revoke", "internal", "nobody")
    assert (answer.code, answer.stdout) == (2, "")
    assert all(key.kid in answer.stderr for key in before.keys())
    assert rotator.keyset("internal") == before


@pytest.mark.parametrize("output", ["table", "json"])
def test_material_left_in_old_versions_is_told(tmp_path: Path, output: str) -> None:
    """A legal hold keeps it: exit code 0, for the key is revoked all the same."""
    rotator = CommandLine(tmp_path, '[keysets.internal]\nalgorithm = "HS256"\nretain = true\n')
    rotator.put(before := hmac_keyset())
    assert before.current is not None
    answer = rotator.run("revoke", "internal", before.current.kid, "--output", output)
    assert answer.code == 0
    assert "legal hold: the material stays in old versions of the store" in answer.stdout
