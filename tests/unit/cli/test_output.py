"""
What is printed, where, and that it is redacted.
"""

import json

import click
import pytest

from rotator.cli.output import StderrLog, output_option, print_json, print_table, say

SECRET = "7b" * 32


def test_a_table_is_aligned_under_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    """As wide as the widest value or the name, without blanks at the ends of lines."""
    print_table([{"kid": "a", "state": "current"}, {"kid": "longer", "state": "old"}])
    assert capsys.readouterr().out == "KID     STATE\na       current\nlonger  old\n"


def test_no_rows_are_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even its head."""
    print_table([])
    assert capsys.readouterr().out == ""


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Which programs read."""
    print_json({"a": [1]})
    assert json.loads(capsys.readouterr().out) == {"a": [1]}


def test_what_is_said_goes_to_stderr_and_is_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output stays for results."""
    say(f"cannot use {SECRET}")
    assert capsys.readouterr() == ("", "cannot use [redacted]\n")


def test_the_log_of_a_command_prints_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, with the fields that have a value; steps are silent."""
    log = StderrLog()
    log.debug("step", keyset="web")
    log.info("step", keyset="web")
    log.warning("alarm", keyset="web", detail="late", kid="", at=None)
    log.error("alarm", detail=SECRET)
    log.exception("alarm", count=0)  # noqa: LOG004 - the method is what is tested
    assert capsys.readouterr() == ("", "alarm: keyset=web detail=late\nalarm: detail=[redacted]\nalarm: count=0\n")


def test_the_output_is_a_table_unless_asked_for_json() -> None:
    """And nothing else can be asked for."""
    (option,) = output_option(click.Command("x", callback=None)).params  # type: ignore[arg-type]
    assert option.default == "table"
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == ["table", "json"]
