"""
`rotator restore`: the file store keeps no versions, so here it only says what else there is.
"""

import json

import click
from click.testing import CliRunner

from rotator.cli.recovered import print_done, print_plan
from rotator.commands.recovery import Done, Step
from tests.support.command_line import CommandLine, hmac_keyset
from tests.unit.commands.test_restore import edit, plan, settled


def test_the_file_store_keeps_no_versions(rotator: CommandLine) -> None:
    """Exit code 3, and thaw is named."""
    rotator.put(hmac_keyset())
    for arguments in (("--dry-run",), ("--yes",), ("--version", "3", "--yes")):
        answer = rotator.run("restore", "internal", *arguments)
        assert (answer.code, answer.stdout) == (3, "")
        assert "the file store keeps no earlier versions" in answer.stderr
        assert "`rotator thaw internal`" in answer.stderr


def test_a_name_must_be_one(rotator: CommandLine) -> None:
    """A keyset out of the configuration may be frozen too, so any name is taken that can be one."""
    assert rotator.run("restore", "no name", "--yes").code == 2
    assert rotator.run("restore", "legacy", "--yes").code == 3


def printed(show: object) -> str:
    """Return what *show* prints."""
    command = click.Command("show", callback=show)  # type: ignore[arg-type]
    return CliRunner().invoke(command).output


def test_a_plan_is_printed_for_people_and_programs() -> None:
    """Each surviving version is a line, or an object."""
    place = settled()
    edit(place, kid="other")
    planned = plan(place)
    people = printed(lambda: print_plan(planned, "table")).splitlines()
    assert people[0] == f"web: would restore version {planned.version}"
    assert len(people) == 1 + len(planned.lines)
    told = json.loads(printed(lambda: print_plan(planned, "json")))
    assert (told["keyset"], told["result"], told["version"]) == ("web", "would restore", planned.version)
    assert set(told["candidates"][0]) == {"version", "saved_at", "sequence", "current", "deleted", "trouble"}
    assert told["candidates"][0]["trouble"]
    assert told["candidates"][1]["trouble"] == ""


def test_what_was_done_is_printed_for_people_and_programs() -> None:
    """With the op_id of the save; what is not purged yet is a warning."""
    done = Done(
        "web", Step.RESTORE, 7, 60, "epoch-1", "op-9", "kid-1", ("its old keys verify until then",), purged=False
    )
    people = printed(lambda: print_done(done, "table"))
    assert people.startswith("web: version 7 restored; sequence 60; kid-1 signs; op_id op-9\n  its old keys")
    assert "earlier versions are still in the store" in people
    told = json.loads(printed(lambda: print_done(done, "json")))
    assert (told["result"], told["sequence"], told["purged"]) == ("restore", 60, False)
