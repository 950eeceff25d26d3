"""
The end of a process that hangs, in a process of its own.
"""

import subprocess
import sys
import time

import pytest

ENDING = """
import threading
from rotator.daemon import last_resort

class Hanging:
    def error(self, event, **fields):
        print(event, fields["workers"], flush=True)
        if HANGS:
            threading.Event().wait()

last_resort.MAX_SAY = 0.5
threading.Thread(target=threading.Event().wait, name="worker-1_0").start()
with last_resort.ended_within(60, Hanging()):
    pass
"""


@pytest.mark.parametrize("hangs", [False, True])
def test_a_worker_that_hangs_keeps_no_process_and_neither_does_the_log(hangs: bool) -> None:
    """It is named, as far as the log takes it, and the process ends with exit code 0."""
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", f"HANGS = {hangs}\n{ENDING}"], capture_output=True, text=True, timeout=20, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "left_hanging ['worker-1_0']\n"), ended.stderr
    assert time.monotonic() - begun < 10
