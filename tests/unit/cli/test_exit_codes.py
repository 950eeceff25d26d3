"""
Exit codes: every kind of error has the one that scripts rely on.
"""

import pytest

from rotator import errors
from rotator.cli.exit_codes import Exit, exit_code

CODES = {
    "ConfigError": 78,
    "RefusedError": 3,
    "PublicationError": 3,
    "OutrunError": 3,
    "PublicationPendingError": 3,
    "PrivateKeyPublishedError": 3,
    "FrozenError": 3,
    "EditedError": 3,
    "StoreConflictError": 75,
    "StoreDeniedError": 77,
    "StoreUnavailableError": 69,
    "LostReplyError": 69,
    "LaggingError": 69,
    "RemovedError": 3,
    "DocumentError": 65,
    "KeyMaterialError": 2,
    "WeakSecretError": 2,
    "ArgumentError": 2,
    "NotificationError": 70,
    "InvariantError": 70,
    "StoreError": 70,
    "StandbyLostError": 70,
    "UnsafePathError": 70,
    "LastSeenWriteError": 70,
    "RotatorError": 70,
}


def test_every_error_has_a_code_here() -> None:
    """A new error is not added without a thought for its code."""
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert kinds == set(CODES)


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_the_code_says_what_kind_of_failure_it_was(name: str, code: int) -> None:
    """The numbers are a promise to scripts, from 64 on those of sysexits.h."""
    assert exit_code(getattr(errors, name)("why")) == code


def test_the_gravest_of_several_is_the_largest() -> None:
    """Commands over several keysets exit with the maximum: done, usage, refused, then sysexits."""
    assert max(Exit.DONE, Exit.REFUSED, Exit.UNAVAILABLE) is Exit.UNAVAILABLE
