"""
How many files this process may hold open, and how many connections each listener may therefore keep.
"""

import resource
from contextlib import suppress

MAX_CONNECTIONS = 8192
MIN_CONNECTIONS = 16
# For everything else: the store, Redis, files, verify URLs, and what starts meanwhile.
RESERVED = 256
_LISTENERS = 2


def raise_file_limit() -> None:
    """
    Raise the soft limit of open files as far as the listeners can use it, and the hard one and a sandbox allow.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised(soft, hard), hard))


def connection_limit() -> int:
    """
    Return how many connections one listener may keep.
    """
    return connections_under(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def raised(soft: int, hard: int) -> int:
    """
    Return the soft limit to ask for in place of *soft*; never a lower one.
    """
    wanted = RESERVED + _LISTENERS * MAX_CONNECTIONS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    return soft if soft == resource.RLIM_INFINITY else max(soft, allowed)


def connections_under(soft: int) -> int:
    """
    Return how many connections one listener may keep under a soft limit of *soft* files.
    """
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, (soft - RESERVED) // _LISTENERS))
