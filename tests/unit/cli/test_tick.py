"""
`rotator tick`: one pass, what it prints, and the code of the worst trouble.
"""

import json
from pathlib import Path

from rotator.cli.tick import ALARMS
from rotator.model.reasons import AlarmReason
from tests.support.command_line import CommandLine
from tests.support.peer import Peer
from tests.support.peer import answer as answer_of


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


def unconfirmed(tmp_path: Path, url: str) -> CommandLine:
    """Return a command line whose keyset is to be found at *url*."""
    rotator = CommandLine(tmp_path, "[keysets.web]\n")
    text = rotator.config.read_text().replace('http = ""\n', f'http = ""\nverify_urls = ["{url}"]\n', 1)
    rotator.config.write_text(text)
    return rotator


def test_a_keyset_that_can_never_sign_is_a_failure(tmp_path: Path) -> None:
    """3: nothing is served at the address where services look for it; the alarm is printed."""
    answer = unconfirmed(tmp_path, "http://127.0.0.1:9/jwks.json").run("tick")
    assert answer.code == 3
    assert "publication not confirmed" in answer.stderr
    assert "127.0.0.1:9/jwks.json cannot be read" in answer.stderr


def test_a_pass_waits_for_an_address_that_is_slow(tmp_path: Path) -> None:
    """There is no next pass that its answer could bring."""
    file = tmp_path / "public" / "jwks.json"
    with Peer(lambda _: [0.8, answer_of(200, file.read_bytes())]) as peer:
        answer = unconfirmed(tmp_path, f"{peer.address}/jwks.json").run("tick", "--output", "json")
    assert (answer.code, json.loads(answer.stdout)["alarms"]) == (0, [])


def test_a_file_that_cannot_be_written_is_a_failure(rotator: CommandLine) -> None:
    """3, as for the daemon `publisher failed`."""
    (rotator.folder / "public").mkdir()
    (rotator.folder / "public" / "jwks.json").mkdir()
    answer = rotator.run("tick")
    assert answer.code == 3
    assert "publisher failed" in answer.stderr


def test_a_file_that_several_keysets_share_is_written_in_the_first_pass(tmp_path: Path) -> None:
    """The first of them waits for the others, and is tried again once they are known."""
    rotator = CommandLine(tmp_path, "[keysets.a]\nwell_known = true\n[keysets.b]\nwell_known = true\n")
    answer = rotator.run("tick", "--output", "json")
    assert (answer.code, json.loads(answer.stdout)["alarms"]) == (0, [])
    assert len(json.loads((tmp_path / "public" / "jwks.json").read_text())["keys"]) >= 2


def test_every_alarm_makes_a_pass_fail() -> None:
    """With the code of the error behind it, if there is one; the others are worth another try."""
    assert ALARMS.keys() <= set(AlarmReason)
    assert 0 not in ALARMS.values()
    assert {reason for reason in AlarmReason if reason.stalls} - ALARMS.keys() == {
        AlarmReason.OVERDUE,
        AlarmReason.HANGS,
    }
