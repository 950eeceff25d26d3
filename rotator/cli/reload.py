"""
`rotator reload`: ask the daemon on this machine for a reload, and wait for its word.
"""

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

import click

from rotator.adapters.files.reading import read_regular
from rotator.cli.context import Context, pass_context
from rotator.cli.exit_codes import Exit
from rotator.cli.output import say
from rotator.config.schema import DEFAULT_STATE_DIR
from rotator.daemon.instance import Answer, read_answer
from rotator.errors import ConfigError

MAX_WAIT = 75.0
_POLL = 0.05
_STATE_DIR = re.compile(r"""^\s*state_dir\s*=\s*["']([^"'\n]+)["']""", re.MULTILINE)


@click.command()
@pass_context
def command(context: Context) -> None:
    """
    Let the daemon on this machine read its configuration again, and wait until it is in force.

    Exits 78 if it is refused, with every reason; the daemon then goes on as before. 69: no daemon runs here. It is the
    daemon of the state_dir that the configuration names.
    """
    try:
        state_dir = context.settings(command_line=False).daemon.state_dir
    except ConfigError as error:
        _ask_main_pid()
        if (running := read_answer(_state_dir_in(context.possible_files()))) is not None:
            with suppress(OSError):  # it will find the same, and raise the alarm
                os.kill(running.pid, signal.SIGHUP)
        raise error from None
    running = read_answer(state_dir)
    if running is None:
        _ask_main_pid()
        say(
            f"rotator: no daemon of this machine has said that it uses {state_dir}; one that uses another state_dir must "
            "be restarted to change it"
        )
        raise click.exceptions.Exit(Exit.UNAVAILABLE)
    asked_at = time.monotonic()
    try:
        os.kill(running.pid, signal.SIGHUP)
    except OSError as error:
        say(f"rotator: the daemon (process {running.pid}) cannot be asked: {error.strerror}; run this as its user")
        raise click.exceptions.Exit(Exit.DENIED) from None
    answer = _wait_for_answer(state_dir, asked_at)
    if answer is None:
        say(f"rotator: no answer from the daemon (process {running.pid}); see its log")
        raise click.exceptions.Exit(Exit.TEMPORARY)
    if answer.faults:
        raise ConfigError(*answer.faults)
    click.echo("reloaded")


def _ask_main_pid() -> None:
    """
    Ask the process that systemd names to an ExecReload command.
    """
    pid = os.environ.get("MAINPID", "")
    if pid.isdecimal() and int(pid) > 1:
        with suppress(OSError):
            os.kill(int(pid), signal.SIGHUP)


def _state_dir_in(files: tuple[Path, ...]) -> Path:
    """
    Return the state_dir that a faulty configuration seems to name, else the default.
    """
    config = next((file for file in files if file.is_file()), files[-1])
    try:
        named = _STATE_DIR.search(read_regular(config).decode(errors="replace"))
    except OSError:
        named = None
    return config.parent / (named[1] if named else DEFAULT_STATE_DIR)


def _wait_for_answer(state_dir: Path, asked_at: float) -> Answer | None:
    """
    Return the answer to a configuration that was read after *asked_at*; None if the daemon ends or gives none.
    """
    while time.monotonic() - asked_at < MAX_WAIT:
        answer = read_answer(state_dir)
        if answer is None or answer.read_at >= asked_at:
            return answer
        time.sleep(_POLL)
    return None
