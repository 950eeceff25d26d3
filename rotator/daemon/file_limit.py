"""
How many files this process may hold open, and how many connections each listener may therefore keep.
"""

import resource

MAX_CONNECTIONS = 8192
# For everything else: the store, Redis, files, verify URLs, and what starts meanwhile.
RESERVED = 256
_LISTENERS = 2


def raise_file_limit() -> None:
    """
    Raise the soft limit as far as the listeners can use it, and the hard one allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = RESERVED + _LISTENERS * MAX_CONNECTIONS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def connection_limit() -> int:
    """
    Return how many connections one listener may keep under the soft limit; at least 16, however low that is.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(16, min(MAX_CONNECTIONS, (soft - RESERVED) // _LISTENERS))
