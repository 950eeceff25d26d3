"""
What all commands share: the settings, the store and the effects they work on, and how a command ends.
"""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from rotator.cli.exit_codes import Exit, exit_code
from rotator.cli.output import StderrLog, say
from rotator.errors import ConfigError, RotatorError

if TYPE_CHECKING:
    from rotator.config.settings import Settings
    from rotator.model.policy import Policy
    from rotator.ports.store import ArchiveStore
    from rotator.reconcile.operator_effects import Operator


class Context:
    """
    What a command works on; the settings are loaded on first use.
    """

    def __init__(self, config: str | None) -> None:
        self._config = config
        self._settings: Settings | None = None
        self.log = StderrLog()

    def settings(self, *, command_line: bool = True) -> "Settings":
        """
        Return the settings; raises ConfigError with every fault.
        """
        if self._settings is None:
            from rotator.config.load import load

            path = Path(self._config) if self._config else None
            self._settings = load(path, environ=os.environ, command_line=command_line)
        return self._settings

    def possible_files(self) -> "tuple[Path, ...]":
        """
        Return where the configuration may be, for who must find something in a faulty one.
        """
        from rotator.config.toml_file import possible_files

        return possible_files(Path(self._config) if self._config else None, os.environ)

    def policy(self, name: str) -> "Policy":
        """
        Return the policy of a configured keyset; raises UsageError with the configured names for any other.
        """
        keysets = self.settings().keysets
        if name not in keysets:
            raise click.UsageError(f"unknown keyset {name!r}; the configuration has {', '.join(keysets)}")
        return keysets[name]

    def any_policy(self, name: str) -> "Policy":
        """
        Return the policy of a keyset; one that is not configured is never rotated. Raises UsageError for what is no name.
        """
        from rotator.model.keyset import KEYSET_NAME

        keysets = self.settings().keysets
        if name in keysets:
            return keysets[name]
        if not KEYSET_NAME.fullmatch(name):
            raise click.UsageError(f"{name!r} is no name of a keyset")
        from rotator.model.policy import unconfigured

        return unconfigured()

    def store(self) -> "ArchiveStore":
        """
        Return the store of the settings; its connections are closed when the command ends.
        """
        from rotator.wiring import make_store

        store = make_store(self.settings(), self.log)
        at_end(store.close)
        return store

    def operator(self) -> "Operator":
        """
        Return what a command that changes something works with; its connections are closed when the command ends.
        """
        from rotator.wiring import wire_operator

        operator = wire_operator(self.settings(), self.log)
        at_end(operator.close)
        return operator

    def say_target(self) -> None:
        """
        Print to stderr which store is about to be changed.
        """
        say(self.settings().target)


pass_context = click.make_pass_decorator(Context)


def at_end(close: Callable[[], object]) -> None:
    """
    Call *close* when the running command ends, however it ends.
    """
    if (running := click.get_current_context(silent=True)) is not None:
        running.call_on_close(close)


def started_at() -> datetime:
    """
    Return when this process was started; on Linux that is before Python was. It tells parallel callers from later ones.
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

    click itself ends a command whose standard output was closed, without a word and with exit code 1.
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
    except Exception as error:  # noqa: BLE001 - the last line of defence: redacted, and an exit code
        import traceback

        say("".join(traceback.format_exception(error)))
        code = Exit.SOFTWARE
    sys.exit(int(code) if isinstance(code, int) else 0)
