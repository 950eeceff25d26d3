"""
What commands share: settings, policies, and how a command ends.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import click
import pytest

from rotator.adapters.files.store import FileStore
from rotator.cli import context as context_module
from rotator.cli.context import Context, run_command, started_at
from rotator.errors import ConfigError, StoreDeniedError
from tests.support.command_line import CommandLine

SECRET = "5e" * 32


def ended(monkeypatch: pytest.MonkeyPatch, body: Callable[[], object]) -> int:
    """Run a command with that body and return its exit code."""
    monkeypatch.setattr("sys.argv", ["rotator"])
    monkeypatch.setattr("__main__.__package__", None)  # click names a module run by `python -m` otherwise
    with pytest.raises(SystemExit) as end:
        run_command(click.Command("rotator", callback=body))
    assert isinstance(end.value.code, int)
    return end.value.code


def raising(error: BaseException) -> Callable[[], NoReturn]:
    """The body of a command that fails."""

    def body() -> NoReturn:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("first fault", "second fault"), 78, "rotator: first fault\nrotator: second fault\n"),
        (StoreDeniedError("no right"), 77, "rotator: no right\n"),
        (KeyboardInterrupt(), 2, "\naborted; nothing was changed\n"),
        (click.Abort(), 2, "aborted; nothing was changed\n"),
        (click.UsageError("not so"), 2, "Usage: rotator [OPTIONS]\nTry 'rotator --help' for help.\n\nError: not so\n"),
        (click.exceptions.Exit(3), 3, ""),
    ],
)
def test_a_failure_is_told_line_by_line_and_by_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    """On standard error; standard output is for results."""
    assert ended(monkeypatch, raising(error)) == code
    assert capsys.readouterr() == ("", said)


def test_a_mistake_of_ours_is_70_with_a_redacted_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception that nothing caught may hold anything."""
    assert ended(monkeypatch, raising(ValueError(f"cannot load {SECRET}"))) == 70
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert SECRET not in said


def test_a_command_that_returns_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it returns, unless that is a number."""
    assert ended(monkeypatch, lambda: None) == 0
    assert ended(monkeypatch, lambda: "text") == 0
    assert ended(monkeypatch, lambda: 3) == 3


def test_settings_are_loaded_once(rotator: CommandLine) -> None:
    """Of one command all parts see one configuration, whatever happens to the file."""
    context = Context(str(rotator.config))
    settings = context.settings()
    rotator.config.unlink()
    assert context.settings() is settings
    assert isinstance(context.store(), FileStore)


def test_an_unknown_keyset_is_a_usage_error_with_the_known_ones(rotator: CommandLine) -> None:
    """A typing mistake needs no look into the file."""
    with pytest.raises(click.UsageError, match="unknown keyset 'wbe'; the configuration has web, internal"):
        Context(str(rotator.config)).policy("wbe")


def test_the_target_of_a_change_is_named(rotator: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    """Before it is made."""
    Context(str(rotator.config)).say_target()
    assert capsys.readouterr().err == f"file store {rotator.folder}/store\n"


def test_a_process_knows_when_it_was_started() -> None:
    """Before now, and after the machine was."""
    boot = datetime.now(UTC) - timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
    started = started_at()
    assert boot < started <= datetime.now(UTC)
    assert started_at() - started < timedelta(seconds=1)


def test_where_the_kernel_does_not_say_the_start_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then every caller counts as later."""
    monkeypatch.setattr(context_module, "Path", lambda _path: Path("/nowhere/at/all"))
    before = datetime.now(UTC)
    assert before <= started_at() <= datetime.now(UTC)
