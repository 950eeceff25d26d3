"""
The `rotator` program before any command of it: what a signal does then.
"""

import signal
import subprocess
import sys

import pytest

# The command line is replaced by one that says what a SIGHUP would do.
PROGRAM = """
import signal, sys, types
line = types.ModuleType("rotator.cli")
line.main = lambda: print(signal.getsignal(signal.SIGHUP).name)
sys.modules["rotator.cli"] = line
from rotator.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["run"], "SIG_IGN"),
        (["--config", "config.toml", "run"], "SIG_IGN"),
        (["status"], "SIG_DFL"),
        ([], "SIG_DFL"),
    ],
)
def test_a_hangup_does_not_end_a_daemon_that_is_being_imported(arguments: list[str], name: str) -> None:
    """A command ends with its terminal, as any program does."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )

    assert found.stdout == f"{name}\n"
