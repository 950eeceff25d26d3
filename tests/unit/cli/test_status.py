"""
`rotator status`: the report as a table and as JSON, and what the daemon on this machine says.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from rotator.adapters.files.atomic import write_atomically
from rotator.cli.exit_codes import Exit
from rotator.daemon.health import Readiness
from rotator.daemon.http_message import Response
from rotator.daemon.http_server import HttpServer
from rotator.model.keys import Kid
from rotator.model.keyset import Revocation, RotateRequest
from rotator.model.reasons import AlarmReason
from rotator.model.times import format_time
from rotator.reconcile.alarms import Alarm
from tests.support.command_line import CommandLine, hmac_keyset, with_old
from tests.support.listeners import AdminServer

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
INTERNAL = '[keysets.internal]\nalgorithm = "HS256"\n'


def report(rotator: CommandLine, name: str = "internal") -> dict[str, object]:
    """The JSON report of one keyset."""
    (found,) = json.loads(rotator.run("status", name, "--output", "json").stdout)["keysets"]
    return dict(found)


def headline(rotator: CommandLine) -> list[str]:
    """The parts of the first line of the table."""
    return rotator.run("status", "internal").stdout.splitlines()[0].split("  ")


def test_the_table_shows_each_key_with_its_deadline(rotator: CommandLine) -> None:
    """Current, next and old, with their ages; then what comes next; then the daemon."""
    keyset = with_old(hmac_keyset(), DAY)
    rotator.put(keyset)
    assert keyset.current is not None
    assert keyset.next is not None

    lines = rotator.run("status", "internal").stdout.splitlines()

    due = format_time(keyset.current.activated_at + timedelta(days=30))
    needed = format_time(keyset.old[0].retire_at)
    assert lines[0] == (f"internal (HS256, sequence 2)  rotates at {due}  rotate-now: old still needed until {needed}")
    assert [line.split() for line in lines[1:5]] == [
        ["STATE", "KID", "ALGORITHM", "AGE", "DEADLINE"],
        ["current", "c" * 32, "HS256", "24h", "signs", "since", format_time(keyset.current.activated_at)],
        ["next", "d" * 32, "HS256", "3h", "usable", "at", format_time(keyset.next.usable_at)],
        ["old", "a" * 32, "HS256", "24h", "retires", "at", needed],
    ]
    assert lines[5].split() == [needed, "retire", "a" * 32]
    assert lines[-1] == "daemon: not reachable on this machine"


def test_json_has_the_fields_that_programs_read(rotator: CommandLine) -> None:
    """Names and types are a promise; no key material is among the values."""
    keyset = replace(
        with_old(hmac_keyset(), DAY),
        rotate_requested=RotateRequest("op-9", hmac_keyset().current.activated_at, ""),  # type: ignore[union-attr]
    )
    at = keyset.old[0].retire_at
    rotator.put(replace(keyset, revoked=(Revocation(Kid("bad"), at, "why", at),)))

    found = report(rotator)

    assert set(found) == {
        "keyset", "algorithm", "epoch", "sequence", "now", "rotates_at", "held", "rotate_now", "rotate_now_safe_at",
        "overdue_seconds", "requested", "keys", "revoked", "timeline",
    }  # fmt: skip
    assert (found["held"], found["requested"]) == ("old still needed", "op-9")
    assert (found["rotate_now"], found["rotate_now_safe_at"]) == ("old still needed", format_time(at))
    assert found["revoked"] == [{"kid": "bad", "revoked_at": format_time(at), "until": format_time(at)}]
    keys = found["keys"]
    assert isinstance(keys, list)
    assert [key["state"] for key in keys] == ["current", "next", "old"]
    assert all(set(key) == {"kid", "state", "algorithm", "created_at", "age", "deadline"} for key in keys)
    text = json.dumps(found)
    assert not [secret for secret in ("c0" * 32, "d0" * 32, "a0" * 32) if secret in text]


def test_a_safe_rotation_is_called_so(rotator: CommandLine) -> None:
    """From now on, and nothing is held."""
    rotator.put(hmac_keyset())
    found = report(rotator)
    assert (found["rotate_now"], found["held"]) == ("safe", "")
    assert found["rotate_now_safe_at"] == found["now"]
    assert headline(rotator)[-1] == "rotate-now: safe"


def test_the_headline_says_what_is_wrong(rotator: CommandLine) -> None:
    """Held, overdue and requested, each when it is so; without a moment when none is known."""
    keyset = hmac_keyset(age=timedelta(days=31))
    assert keyset.next is not None
    unconfirmed = replace(keyset.next, published_at=None, usable_at=None)
    asked = RotateRequest("op-9", keyset.next.created_at, "")
    rotator.put(replace(keyset, next=unconfirmed, rotate_requested=asked))

    words = headline(rotator)

    assert "HELD: publication not confirmed" in words
    assert any(word.startswith("OVERDUE by ") for word in words)
    assert "rotation requested (op-9)" in words
    assert words[-1] == "rotate-now: publication not confirmed"
    assert "publication not confirmed" in rotator.run("status", "internal").stdout.splitlines()[3]


def test_a_key_pair_is_reported_as_the_daemon_left_it(rotator: CommandLine) -> None:
    """Once a first key signs: next propagates."""
    while not (rotator.keyset("web").current if rotator.run("tick").code == 0 else None):
        pass
    found = report(rotator, "web")
    assert (found["algorithm"], found["rotate_now"]) == ("RS256", "next still propagating")


def test_keysets_that_cannot_be_read_are_told_beside_those_that_can(rotator: CommandLine) -> None:
    """The exit code is the gravest: here that of one that does not exist yet."""
    rotator.put(hmac_keyset())
    table, program = rotator.run("status"), rotator.run("status", "--output", "json")
    assert (table.code, program.code) == (Exit.REFUSED, Exit.REFUSED)
    assert table.stderr.startswith("web: does not exist yet")
    assert table.stdout.startswith("internal (HS256")
    first, second = json.loads(program.stdout)["keysets"]
    assert (first["keyset"], "does not exist yet" in first["trouble"]) == ("web", True)
    assert second["keyset"] == "internal"


def test_a_damaged_document_is_65(rotator: CommandLine) -> None:
    """The file is no document, and the message repeats nothing of it."""
    rotator.put(hmac_keyset())
    write_atomically(rotator.folder / "store" / "keys" / "internal.json", b"{canary", 0o600)
    answer = rotator.run("status", "internal")
    assert answer.code == Exit.DATA
    assert "canary" not in answer.stdout + answer.stderr


def test_an_unknown_keyset_is_a_usage_error(rotator: CommandLine) -> None:
    """With the known ones."""
    assert rotator.run("status", "nobody").code == Exit.USAGE


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=-60), "0s"),
        (timedelta(seconds=100), "100s"),
        (timedelta(seconds=125), "2m"),
        (timedelta(minutes=119), "119m"),
        (timedelta(hours=47), "47h"),
        (timedelta(hours=48), "2d"),
        (timedelta(days=400), "400d"),
    ],
)
def test_an_age_is_in_the_largest_unit_that_fills_twice(rotator: CommandLine, age: timedelta, said: str) -> None:
    """It is for people; a clock that is behind makes no negative age."""
    rotator.put(hmac_keyset(age=age))
    keys = report(rotator)["keys"]
    assert isinstance(keys, list)
    seconds = (said, f"{age.total_seconds() + 1:.0f}s")  # it may be a second later by now
    assert keys[0]["age"] in (seconds if said.endswith("s") else (said,))


class _Health:
    """A daemon that holds one alarm of each of two keysets."""

    def alive(self) -> bool:
        """Whether it makes progress."""
        return True

    def readiness(self) -> Readiness:
        """Return how it fares."""
        alarms = (
            Alarm("", AlarmReason.CONFIG_REFUSED, "why"),
            Alarm("internal", AlarmReason.OVERDUE, "late"),
            Alarm("other", AlarmReason.FROZEN, "gone"),
        )
        return Readiness(False, {"internal": "rotation overdue"}, alarms, "redis at r:1: connection refused")


class _Metrics:
    content_type = "text/plain"

    def render(self) -> bytes:
        """Return nothing."""
        return b""


@contextmanager
def listening(folder: Path, server: HttpServer) -> Iterator[CommandLine]:
    """The command line beside a daemon that listens."""
    server.start()
    try:
        yield CommandLine(folder, INTERNAL, f'[admin]\nhttp = "{server.address}"\n')
    finally:
        server.close()


def test_the_daemons_alarms_are_shown_for_the_keysets_asked_for(tmp_path: Path) -> None:
    """And those of the daemon itself. They are what only it knows; those of other keysets are left out."""
    with listening(tmp_path, AdminServer("127.0.0.1:0", _Health(), _Metrics())) as rotator:
        rotator.put(hmac_keyset())
        lines = rotator.run("status").stdout.splitlines()
        daemon = json.loads(rotator.run("status", "--output", "json").stdout)["daemon"]
    redis = "redis at r:1: connection refused"
    assert lines[-4:] == [
        "daemon: NOT READY",
        f"redis: {redis} (rotation goes on without it)",
        "ALARM configuration refused: why",
        "ALARM internal: rotation overdue: late",
    ]
    assert daemon == {
        "reachable": True,
        "ready": False,
        "alarms": [
            {"keyset": "", "reason": "configuration refused", "detail": "why"},
            {"keyset": "internal", "reason": "rotation overdue", "detail": "late"},
        ],
        "redis": redis,
    }


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b"{}", b'{"ready": true}', b'{"ready": true, "alarms": [1]}'])
def test_another_program_on_the_port_is_not_taken_for_the_daemon(tmp_path: Path, body: bytes) -> None:
    """Whatever it answers, the keysets are reported."""
    other = HttpServer("127.0.0.1:0", lambda _request: Response(HTTPStatus.OK, {}, body), "test")
    with listening(tmp_path, other) as rotator:
        rotator.put(hmac_keyset())
        answer = rotator.run("status")
    assert answer.code == 0
    assert answer.stdout.splitlines()[-1] == "daemon: not reachable on this machine"


def test_a_daemon_that_is_down_is_no_failure_of_the_command(tmp_path: Path) -> None:
    """The store is what is asked."""
    server = HttpServer("127.0.0.1:0", lambda _request: Response(HTTPStatus.OK, {}), "test")
    address = server.address
    server.close()
    rotator = CommandLine(tmp_path, INTERNAL, f'[admin]\nhttp = "{address}"\n')
    rotator.put(hmac_keyset())
    answer = rotator.run("status", "--output", "json")
    assert answer.code == 0
    assert json.loads(answer.stdout)["daemon"] == {"reachable": False}
