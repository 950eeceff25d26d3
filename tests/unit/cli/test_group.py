"""
The group: every command is listed, and imported only when it is used.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest
from click.shell_completion import ShellComplete

from rotator import __version__
from rotator.cli import COMMANDS, group
from tests.support.command_line import CommandLine

LIBRARIES = (
    "hvac",
    "redis",
    "structlog",
    "apscheduler",
    "pydantic_core",
    "prometheus_client",
    "cryptography",
    "joserfc",
)


def python(*arguments: str, stdout: int = subprocess.PIPE) -> "subprocess.CompletedProcess[bytes]":
    """Run an interpreter of its own."""
    return subprocess.run([sys.executable, *arguments], stdout=stdout, stderr=subprocess.PIPE, check=False)


def imported(arguments: Sequence[str]) -> set[str]:
    """The modules that `rotator` has imported when it ends."""
    code = (
        "import json, sys\n"
        f"sys.argv = ['rotator', *{list(arguments)!r}]\n"
        "from rotator.cli import main\n"
        "try:\n    main()\nfinally:\n    print(json.dumps(list(sys.modules)), file=sys.stderr)\n"
    )
    return set(json.loads(python("-c", code).stderr.splitlines()[-1]))


def test_help_lists_every_command(rotator: CommandLine) -> None:
    """In the order of the table, each with its line."""
    shown = rotator.run("--help").stdout
    lines = [line.split(maxsplit=1) for line in shown.partition("Commands:\n")[2].splitlines()]
    assert lines == [[name, summary] for name, (_, summary) in COMMANDS.items()]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_of_its_own(rotator: CommandLine, name: str) -> None:
    """Which needs no configuration."""
    rotator.config.unlink()
    answer = rotator.run(name, "--help")
    assert answer.code == 0
    assert re.match(rf"Usage: .*rotator {name} \[OPTIONS\]", answer.stdout)


def test_a_word_that_is_no_command_is_a_usage_error(rotator: CommandLine) -> None:
    """Exit code 2."""
    answer = rotator.run("rotate")
    assert answer.code == 2
    assert "No such command 'rotate'" in answer.stderr


def test_the_shell_completes_names_of_commands() -> None:
    """In the order of the help."""
    completion = ShellComplete(group, {}, "rotator", "_ROTATOR_COMPLETE")
    assert [item.value for item in completion.get_completions([], "r")] == [
        "run",
        "reload",
        "rotate-now",
        "revoke",
        "restore",
        "remove",
    ]


def test_the_version_is_printed(rotator: CommandLine) -> None:
    """That of the package."""
    assert rotator.run("--version").stdout == f"rotator, version {__version__}\n"


def test_help_imports_no_library_but_click() -> None:
    """So that it answers at once: neither a library nor a module of any command."""
    modules = imported(["--help"])
    assert not modules & {*LIBRARIES}
    assert {name for name in modules if name.startswith("rotator.")} <= {
        "rotator.cli",
        "rotator.cli.context",
        "rotator.cli.exit_codes",
        "rotator.cli.output",
        "rotator.errors",
    }


def test_status_on_files_imports_no_library_of_vault_or_redis(rotator: CommandLine) -> None:
    """Nor what only the daemon needs."""
    modules = imported(["--config", str(rotator.config), "status"])
    assert "rotator.cli.status" in modules
    assert modules & {*LIBRARIES} == {"pydantic_core"}


def test_the_module_runs_as_a_program() -> None:
    """`python -m rotator` is the command line, too."""
    done = python("-m", "rotator", "--version")
    assert (done.returncode, done.stdout) == (0, f"rotator, version {__version__}\n".encode())


def test_a_reader_that_has_gone_ends_the_command_quietly() -> None:
    """`rotator generate | head -c0` prints no traceback; 1, since what it printed was not read."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = python("-m", "rotator", "generate", stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
