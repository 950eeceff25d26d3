"""
`rotator tick`: one pass, what it prints, and the code of the worst trouble.
"""

import json
from pathlib import Path

from tests.support.command_line import CommandLine


def test_the_first_pass_makes_every_keyset(rotator: CommandLine) -> None:
    """And says how far each has come; the JWKS file is written, too."""
    answer = rotator.run("tick")
    assert answer.code == 0
    sequences = {name: rotator.keyset(name).sequence for name in ("web", "internal")}
    assert answer.stdout.splitlines() == [f"{name}: sequence {number}" for name, number in sequences.items()]
    assert answer.stderr == "done\n"
    assert (rotator.folder / "public" / "jwks.json").exists()


def test_a_pass_with_nothing_to_do_changes_nothing(rotator: CommandLine) -> None:
    """It may run as often as a timer likes."""
    rotator.run("tick")
    before = rotator.keyset("internal")
    answer = rotator.run("tick", "--output", "json")
    assert answer.code == 0
    assert json.loads(answer.stdout)["alarms"] == []
    assert rotator.keyset("internal") == before


def test_a_document_that_vanished_is_refused_and_told(rotator: CommandLine) -> None:
    """Exit code 3: it was there, so it is not made again; the other keyset goes on."""
    rotator.run("tick")
    (rotator.folder / "store" / "keys" / "internal.json").unlink()

    answer = rotator.run("tick", "--output", "json")

    told = json.loads(answer.stdout)
    assert answer.code == 3
    assert [(alarm["keyset"], alarm["reason"]) for alarm in told["alarms"]] == [("internal", "frozen")]
    assert told["sequences"] == {"web": rotator.keyset("web").sequence}
    assert "frozen" in answer.stderr


def test_a_store_that_is_away_is_69(tmp_path: Path) -> None:
    """A file in the place of its folder."""
    rotator = CommandLine(tmp_path, '[keysets.internal]\nalgorithm = "HS256"\n')
    (tmp_path / "store").write_text("no folder")
    answer = rotator.run("tick")
    assert answer.code == 69
    assert answer.stdout == ""
