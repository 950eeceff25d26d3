"""
`rotator dev` as it is used: a process at a terminal, ended by signals.
"""

import itertools
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.site import PROGRAM, Site


@pytest.mark.slow
def test_any_number_of_signals_ends_it_in_order(tmp_path: Path) -> None:
    """A terminal, make and timeout may each send one, in the same moment: it ends with its tally, and exit code 0."""
    command = [PROGRAM, "dev", "--folder", str(tmp_path / "dev")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=Site.environ() | {"PATH": os.defpath}) as dev:
        assert dev.stdout is not None
        for line in dev.stdout:
            if "activated: it signs now" in line:
                break
        try:
            for number in itertools.cycle((signal.SIGINT, signal.SIGTERM)):
                dev.send_signal(number)
                try:
                    dev.wait(0.0005)
                except subprocess.TimeoutExpired:
                    continue
                break
            told = dev.stdout.read()
        finally:
            dev.kill()
    assert dev.returncode == 0
    assert told.splitlines()[-1].endswith(" tokens, 0 failed")
