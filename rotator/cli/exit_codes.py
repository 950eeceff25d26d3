"""
Exit codes: what kind of failure a command reports to a script.

Of several failures a command ends with the highest code. `tick.py` maps alarms, where others map errors.
"""

from enum import IntEnum

from rotator.errors import (
    ArgumentError,
    ConfigError,
    DocumentError,
    FrozenError,
    KeyMaterialError,
    PublicationError,
    RefusedError,
    RemovedError,
    RotatorError,
    StoreConflictError,
    StoreDeniedError,
    StoreUnavailableError,
)


class Exit(IntEnum):
    """
    Exit codes; from 64 on they are those of sysexits.h.
    """

    DONE = 0
    USAGE = 2
    REFUSED = 3
    DATA = 65
    UNAVAILABLE = 69
    SOFTWARE = 70
    TEMPORARY = 75
    DENIED = 77
    CONFIG = 78


_CODES: tuple[tuple[type[RotatorError], Exit], ...] = (
    (ConfigError, Exit.CONFIG),
    (RefusedError, Exit.REFUSED),
    (PublicationError, Exit.REFUSED),
    (StoreConflictError, Exit.TEMPORARY),
    (StoreDeniedError, Exit.DENIED),
    (StoreUnavailableError, Exit.UNAVAILABLE),
    (FrozenError, Exit.REFUSED),
    (RemovedError, Exit.REFUSED),
    (DocumentError, Exit.DATA),
    (KeyMaterialError, Exit.USAGE),
    (ArgumentError, Exit.USAGE),
)


def exit_code(error: RotatorError) -> Exit:
    """
    Return the exit code that tells a script what kind of failure *error* is.
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.SOFTWARE)
