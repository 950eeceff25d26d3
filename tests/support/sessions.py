"""
Keys, a clock and questions for tests of sessions.
"""

import secrets
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from rotator.client import InvalidTokenError, Keys, KeysUnavailableError, Rejection, StaticKeys, Timing

ISSUER, AUDIENCE = "https://login.example", "api"

POLICY = Timing(timedelta(hours=2), timedelta(days=30), timedelta(seconds=60))


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.time = time.time()

    def __call__(self) -> float:
        """Return what `time.time` would."""
        return self.time


class Turning:
    """A provider whose keys are replaced as a rotation would."""

    def __init__(self) -> None:
        self.now: StaticKeys | None = static()

    def verifying(self, *, wait: bool = True) -> Keys:
        """Return the keys, or none as when they are stale."""
        if self.now is None:
            raise KeysUnavailableError("stale")
        return self.now.verifying(wait=wait)

    def signing(self) -> Keys:
        """Return the same."""
        return self.verifying()

    def search(self, kid: str) -> None:
        """Know no others."""
        del kid

    async def asearch(self, kid: str) -> None:
        """Know no others."""
        del kid


def static() -> StaticKeys:
    """Return keys of one fresh secret."""
    return StaticKeys(secrets.token_hex(32), timing=POLICY)


def reason(call: Callable[[], object]) -> Rejection:
    """Return why *call* is refused."""
    with pytest.raises(InvalidTokenError) as caught:
        call()
    assert str(caught.value) == "invalid token"
    return caught.value.reason
