"""
`rotator remove` on the file store: when it is refused, and what it leaves.
"""

import json
from datetime import UTC, datetime, timedelta

from rotator.model.document import Tree
from rotator.model.times import parse_time
from tests.support.command_line import LIFE, SKEW, CommandLine, P, hmac_keyset


def test_a_configured_keyset_is_not_removed(rotator: CommandLine) -> None:
    """The refusal says what to do first."""
    rotator.put(hmac_keyset())
    answer = rotator.run("remove", "internal", "--yes", "--unsafe-now")
    assert (answer.code, answer.stdout) == (2, "")
    assert f"take [keysets.internal] out of {rotator.config}, reload every daemon" in answer.stderr
    assert rotator.keyset("internal")


def test_live_tokens_are_waited_for(rotator: CommandLine) -> None:
    """Exit code 3 and the moment, which is the same at the next call; a dry run does not begin the wait."""
    rotator.put(hmac_keyset("legacy"))
    expected = datetime.now(UTC) + P + LIFE + SKEW
    for arguments in ((), ("--dry-run",), ("--yes",)):
        answer = rotator.run("remove", "legacy", "--output", "json", *arguments)
        told = json.loads(answer.stdout)
        assert (answer.code, told["result"]) == (3, "refused")
        assert abs(parse_time(told["safe_at"]) - expected) < timedelta(seconds=10)
        assert f"until {told['safe_at']}" in answer.stderr
        assert "--unsafe-now" in answer.stderr
    assert rotator.keyset("legacy")


def test_a_removed_keyset_is_gone(rotator: CommandLine) -> None:
    """All but the gravestone; that one goes on demand."""
    rotator.put(hmac_keyset("legacy"))
    answer = rotator.run("remove", "legacy", "--unsafe-now", "--yes")
    assert answer.code == 0, answer.stderr
    assert answer.stdout.startswith("legacy: removed; op_id ")
    assert "ITS LIVE TOKENS FAIL FROM THEN ON" in answer.stderr
    assert [rotator.store.load(tree, "legacy").version for tree in (Tree.KEYS, Tree.JWKS)] == [0, 0]
    again = rotator.run("remove", "legacy")
    assert (again.code, again.stdout) == (0, "legacy: removed already\n")
    assert rotator.run("remove", "legacy", "--no-trace", "--yes").code == 0
    assert rotator.store.load(Tree.STANDBY, "legacy").version == 0
