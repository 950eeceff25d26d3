"""
How many connections fit into the limit of open files.
"""

import resource

import pytest

from rotator.daemon.file_limit import MAX_CONNECTIONS, RESERVED, connection_limit, connections_under, raised

WANTED = RESERVED + 2 * MAX_CONNECTIONS
INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (1024, 524288, WANTED),
        (1024, INFINITE, WANTED),
        (1024, 4096, 4096),
        (1024, 1024, 1024),
        (1048576, 1048576, 1048576),
        (INFINITE, INFINITE, INFINITE),
    ],
)
def test_the_limit_is_raised_as_far_as_it_is_of_use(soft: int, hard: int, expected: int) -> None:
    """Within the hard one; it is never lowered."""
    assert raised(soft, hard) == expected


@pytest.mark.parametrize(
    ("soft", "connections"), [(64, 16), (1024, 384), (WANTED, MAX_CONNECTIONS), (INFINITE, MAX_CONNECTIONS)]
)
def test_two_listeners_leave_files_for_the_rest(soft: int, connections: int) -> None:
    """The store, Redis and the JWKS file need some, whatever strangers do."""
    assert connections_under(soft) == connections


def test_a_listener_goes_by_the_limit_in_force() -> None:
    """That of this process."""
    assert connection_limit() == connections_under(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
