"""
What all commands share: settings, exit codes, output, and a log for a terminal.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from rotator.errors import (
    ArgumentError,
    ConfigError,
    DocumentError,
    FrozenError,
    PublicationError,
    RefusedError,
    RotatorError,
    StoreConflictError,
    StoreDeniedError,
    StoreUnavailableError,
    VerificationKeyError,
)

if TYPE_CHECKING:
    from rotator.config.settings import Settings
    from rotator.model.policy import Policy
    from rotator.ports.store import DocumentStore
    from rotator.reconcile.effects import Effects

F = TypeVar("F", bound=Callable[..., Any])


class Exit(IntEnum):
    """
    Exit codes; from 64 on they are those of sysexits.h.
    """

    DONE = 0
    USAGE = 2
    REFUSED = 3
    DATA = 65
    UNAVAILABLE = 69
    SOFTWARE = 70
    TEMPORARY = 75
    DENIED = 77
    CONFIG = 78


_CODES: tuple[tuple[type[RotatorError], Exit], ...] = (
    (ConfigError, Exit.CONFIG),
    (RefusedError, Exit.REFUSED),
    (PublicationError, Exit.REFUSED),
    (StoreConflictError, Exit.TEMPORARY),
    (StoreDeniedError, Exit.DENIED),
    (StoreUnavailableError, Exit.UNAVAILABLE),
    (FrozenError, Exit.REFUSED),
    (DocumentError, Exit.DATA),
    (VerificationKeyError, Exit.USAGE),
    (ArgumentError, Exit.USAGE),
)


def exit_code(error: RotatorError) -> Exit:
    """
    Return the exit code that tells a script what kind of failure *error* is.
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.SOFTWARE)


class PlainLog:
    """
    The log of a command: steps are silent, warnings and alarms go to stderr, one line each.
    """

    def debug(self, event: str, **fields: object) -> None:
        """
        Say nothing.
        """

    def info(self, event: str, **fields: object) -> None:
        """
        Say nothing: the command prints what it did.
        """

    def warning(self, event: str, **fields: object) -> None:
        """
        Print the event to stderr.
        """
        said = " ".join(f"{name}={value}" for name, value in fields.items() if value not in ("", None))
        say(f"{event}: {said}")

    error = warning
    exception = warning


class Context:
    """
    What a command is called with; settings are loaded when first asked for.
    """

    def __init__(self, config: str | None) -> None:
        self._config = config
        self._settings: Settings | None = None
        self.log = PlainLog()

    def settings(self, *, command_line: bool = True) -> "Settings":
        """
        Return the settings; raises ConfigError with every fault.
        """
        if self._settings is None:
            from rotator.config.load import load

            path = Path(self._config) if self._config else None
            self._settings = load(path, environ=os.environ, command_line=command_line)
        return self._settings

    def policy(self, name: str) -> "Policy":
        """
        Return the policy of a configured keyset; an unknown name is a usage error that lists the known ones.
        """
        keysets = self.settings().keysets
        if name not in keysets:
            raise click.UsageError(f"unknown keyset {name!r}; the configuration has {', '.join(keysets)}")
        return keysets[name]

    def store(self) -> "DocumentStore":
        """
        Return the store, for a command that only reads.
        """
        from rotator.wiring import make_store

        return make_store(self.settings(), self.log)

    def effects(self) -> "Effects":
        """
        Return the effects on the real parts: a command writes the store and Redis, files and listeners belong to the daemon.
        """
        from rotator.adapters.keygen import Keygen
        from rotator.reconcile.alarms import Alarms
        from rotator.reconcile.effects import Effects
        from rotator.wiring import make_notifier, make_publishers, neighbours, redis_arguments, well_known

        settings = self.settings()
        store = self.store()
        return Effects(
            store,
            make_publishers(settings, store, None),
            make_notifier(redis_arguments(settings)),
            Keygen(),
            Alarms(self.log),
            self.log,
            neighbours=neighbours(well_known(settings)),
        )

    def say_target(self) -> None:
        """
        Print to stderr what is about to be changed.
        """
        from rotator.wiring import target

        say(target(self.settings()))


pass_context = click.make_pass_decorator(Context)


def output_option(command: F) -> F:
    """
    Add `--output table|json`.
    """
    option = click.option(
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="For people, or for programs.",
    )
    return option(command)


def say(text: str) -> None:
    """
    Print *text* to stderr, redacted.
    """
    from rotator.telemetry.redaction import redact

    click.echo(redact(text), err=True)


def print_json(value: object) -> None:
    """
    Print *value* as one JSON document.
    """
    click.echo(json.dumps(value, indent=2))


def print_table(rows: list[Mapping[str, str]]) -> None:
    """
    Print rows of the same columns, aligned.
    """
    if not rows:
        return
    names = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for row in ({name: name.upper() for name in names}, *rows):
        click.echo("  ".join(row[name].ljust(widths[name]) for name in names).rstrip())


def started_at() -> datetime:
    """
    Return when this process was started, which on Linux is before Python was: parallel callers are told apart by it.
    """
    try:
        ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
        now, boot = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, ValueError, IndexError, AttributeError):
        return datetime.now(UTC)
    return datetime.fromtimestamp(now - max(0.0, boot - ticks / os.sysconf("SC_CLK_TCK")), UTC)


def run_command(command: click.Command) -> NoReturn:
    """
    Run *command*, print a failure as one line per fault, and exit with its code.
    """
    try:
        code = command.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("aborted; nothing was changed")
        code = Exit.USAGE
    except ConfigError as error:
        for fault in error.faults:
            say(f"rotator: {fault}")
        code = Exit.CONFIG
    except RotatorError as error:
        say(f"rotator: {error}")
        code = exit_code(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: redacted, and an exit code
        import traceback

        say("".join(traceback.format_exception(error)))
        code = Exit.SOFTWARE
    sys.exit(int(code) if isinstance(code, int) else 0)
