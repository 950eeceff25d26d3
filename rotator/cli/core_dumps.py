"""
Keeping the memory of a process, which holds keys and credentials, out of core files.
"""

import ctypes
import resource

_PR_SET_DUMPABLE = 4


def no_core_dumps() -> None:
    """
    Keep this process's memory out of core files, and from other processes of the same user.

    The limit alone is not enough: programs that core files are piped to, as systemd's, get them all the same.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:  # Linux
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
