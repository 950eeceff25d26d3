"""
No command that runs leaves its memory in a core file.
"""

import subprocess
import sys

from tests.support.command_line import CommandLine

TOLD = (
    "import atexit, ctypes, resource, sys\n"
    "def tell():\n"
    "    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE), file=sys.stderr)\n"
    "atexit.register(tell)\n"
    "from rotator.cli import main\n"
)


def test_no_command_is_dumpable(rotator: CommandLine) -> None:
    """The process is not dumpable and its core limit is nothing, hard limit included."""
    code = f"{TOLD}sys.argv = ['rotator', '--config', {str(rotator.config)!r}, 'generate']\nmain()\n"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stderr.strip() == "0 (0, 0)"
