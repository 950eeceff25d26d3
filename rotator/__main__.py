"""
The `rotator` program, also as `python -m rotator`.
"""

import signal
import sys


def main() -> None:
    """
    Run the command line.

    SIGHUP asks the daemon for a reload, and by default ends a process. While `run` is still being imported there is
    nothing to reload, so it is ignored: from here on, which is as early as a Python program can.
    """
    if "run" in sys.argv[1:]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    from rotator.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
