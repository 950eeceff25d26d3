"""
`rotator rotate-now`: which keysets, what is asked, what is printed, and the exit code.
"""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.model.document import Tree
from rotator.model.times import format_time
from tests.support.command_line import CommandLine, hmac_keyset, with_old

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TWO = '[keysets.a]\nalgorithm = "HS256"\n[keysets.b]\nalgorithm = "HS256"\n'


@pytest.fixture
def ready(rotator: CommandLine) -> CommandLine:
    """`internal` has a next key that every consumer has had time to notice."""
    rotator.put(hmac_keyset())
    return rotator


@pytest.fixture
def early(rotator: CommandLine) -> CommandLine:
    """The next key of `internal` is usable in an hour only."""
    rotator.put(hmac_keyset(usable_in=HOUR))
    return rotator


def test_a_safe_rotation_is_made_and_told(ready: CommandLine) -> None:
    """The table has the op_id and the kid that signs now."""
    before = ready.keyset("internal")
    assert before.next is not None

    answer = ready.run("rotate-now", "internal", "--reason", "drill")

    after = ready.keyset("internal")
    assert answer.code == 0
    assert after.current is not None
    assert after.current.kid == before.next.kid
    head, row = answer.stdout.splitlines()
    assert head.split() == ["KEYSET", "RESULT", "OP_ID", "KID", "DETAIL"]
    assert row.split() == ["internal", "rotated", after.current.activated_by, after.current.kid]
    assert answer.stderr == f"file store {ready.folder}/store\n"


def test_an_op_id_names_the_rotation_and_makes_a_retry_harmless(ready: CommandLine) -> None:
    """The second call changes nothing and says the same."""
    first = json.loads(ready.run("rotate-now", "internal", "--op-id", "mine", "--output", "json").stdout)
    again = json.loads(ready.run("rotate-now", "internal", "--op-id", "mine", "--output", "json").stdout)
    assert [(o["op_id"], o["result"]) for o in first + again] == [("mine", "rotated"), ("mine", "already rotated")]
    assert first[0]["kid"] == again[0]["kid"]


def test_too_early_is_refused_with_the_moment(early: CommandLine) -> None:
    """Exit code 3, in words and in JSON."""
    before = early.keyset("internal")
    assert before.next is not None
    usable = format_time(before.next.usable_at)

    words, program = early.run("rotate-now", "internal"), early.run("rotate-now", "internal", "--output", "json")

    assert (words.code, program.code) == (3, 3)
    assert f"internal: refused: next still propagating; it becomes safe at {usable}" in words.stderr
    (outcome,) = json.loads(program.stdout)
    assert (outcome["result"], outcome["safe_at"], outcome["op_id"]) == ("refused", usable, "")
    assert early.keyset("internal") == before


def test_when_ready_leaves_it_to_the_daemon(early: CommandLine) -> None:
    """The request is in the document, under the op_id that is printed."""
    (outcome,) = json.loads(early.run("rotate-now", "internal", "--when-ready", "--output", "json").stdout)
    request = early.keyset("internal").rotate_requested
    assert request is not None
    assert (outcome["result"], outcome["op_id"]) == ("planned", request.op_id)


def test_a_dry_run_changes_nothing_and_exits_as_the_real_thing(ready: CommandLine) -> None:
    """It names no target either, for nothing is about to be changed."""
    before = ready.keyset("internal")
    answer = ready.run("rotate-now", "internal", "--dry-run")
    assert (answer.code, answer.stderr) == (0, "")
    assert "would rotate" in answer.stdout
    assert ready.keyset("internal") == before


def test_unsafe_now_asks_a_person_first(early: CommandLine) -> None:
    """The consequence is named; no means that nothing is changed, and exit code 2."""
    before = early.keyset("internal")
    no = early.run("rotate-now", "internal", "--unsafe-now", stdin="n\n", terminal=True)
    assert no.code == 2
    assert "internal: next still propagating: verifiers that have not noticed" in no.stderr
    assert "Rotate all the same?" in no.stderr
    assert early.keyset("internal") == before

    yes = early.run("rotate-now", "internal", "--unsafe-now", stdin="y\n", terminal=True)

    assert yes.code == 0
    assert early.keyset("internal").sequence > before.sequence


@pytest.mark.parametrize(("arguments", "terminal"), [(("--yes",), True), ((), False)])
def test_unsafe_now_asks_nobody_who_said_yes_or_is_a_script(
    early: CommandLine, arguments: tuple[str, ...], terminal: bool
) -> None:
    """The consequence is named all the same."""
    answer = early.run("rotate-now", "internal", "--unsafe-now", *arguments, terminal=terminal)
    assert answer.code == 0
    assert "internal: next still propagating:" in answer.stderr
    assert "Rotate all the same?" not in answer.stderr


def test_unsafe_now_does_not_ask_when_it_is_safe(ready: CommandLine) -> None:
    """There is no consequence to name."""
    answer = ready.run("rotate-now", "internal", "--unsafe-now", terminal=True)
    assert (answer.code, answer.stderr) == (0, f"file store {ready.folder}/store\n")


def test_an_old_secret_that_is_needed_holds_the_rotation(rotator: CommandLine) -> None:
    """Readers of the flat fields know one old secret."""
    keyset = with_old(hmac_keyset(), DAY)
    rotator.put(keyset)
    answer = rotator.run("rotate-now", "internal")
    assert answer.code == 3
    assert f"old still needed; it becomes safe at {format_time(keyset.old[0].retire_at)}" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "which keyset? give one or more of web, internal, or --all"),
        (("web", "--all"), "give KEYSET names or --all, not both"),
        (("nobody",), "unknown keyset 'nobody'"),
        (("web", "--when-ready", "--unsafe-now"), "--when-ready and --unsafe-now exclude each other"),
        (("web", "--op-id", ""), "--op-id must be 1 to 64 characters"),
        (("web", "--op-id", "x" * 65), "--op-id must be 1 to 64 characters"),
        (("web", "internal", "--op-id", "x"), "--op-id names one rotation; give it with one KEYSET"),
    ],
)
def test_contradictions_are_usage_errors(rotator: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    """Exit code 2, before the store is touched."""
    answer = rotator.run("rotate-now", *arguments)
    assert (answer.code, answer.stdout) == (2, "")
    assert said in answer.stderr
    assert not (rotator.folder / "store").exists()


def test_a_lone_keyset_needs_no_name(tmp_path: Path) -> None:
    """There is nothing else it could be."""
    rotator = CommandLine(tmp_path, '[keysets.internal]\nalgorithm = "HS256"\n')
    rotator.put(hmac_keyset())
    assert rotator.run("rotate-now").code == 0


def test_a_keyset_named_twice_is_rotated_once(ready: CommandLine) -> None:
    """The second would be refused."""
    outcomes = json.loads(ready.run("rotate-now", "internal", "internal", "--output", "json").stdout)
    assert [o["result"] for o in outcomes] == ["rotated"]


def test_of_several_one_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    """It is told on stderr, and the exit code is the gravest."""
    rotator = CommandLine(tmp_path, TWO)
    rotator.put(hmac_keyset("b"))
    answer = rotator.run("rotate-now", "--all", "--output", "json")
    assert answer.code == 3
    assert "rotator: a: does not exist yet" in answer.stderr
    assert [(o["keyset"], o["result"]) for o in json.loads(answer.stdout)] == [("b", "rotated")]


def test_of_one_a_failure_is_the_commands(rotator: CommandLine) -> None:
    """Nothing is printed but the reason."""
    answer = rotator.run("rotate-now", "internal", "--output", "json")
    assert (answer.code, answer.stdout) == (3, "")
    assert "rotator: internal: does not exist yet" in answer.stderr


@pytest.mark.parametrize("arguments", [("rotate-now", "internal"), ("revoke", "internal", "c" * 32)])
def test_a_frozen_keyset_is_refused_with_the_command_that_mends_it(
    rotator: CommandLine, arguments: tuple[str, ...]
) -> None:
    """As its alarm and `status` tell; nothing is changed."""
    rotator.put(hmac_keyset())
    stored = rotator.store.load(Tree.KEYS, "internal")
    rotator.store.save(Tree.KEYS, "internal", {**(stored.fields or {}), "current": "x"}, stored.version)
    answer = rotator.run(*arguments)
    assert answer.code == 3
    assert "to accept what is there run `rotator thaw internal`" in answer.stderr
    assert rotator.store.load(Tree.KEYS, "internal").version == stored.version + 1
