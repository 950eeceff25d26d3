"""
The errors of the client.
"""

import pytest

from rotator.client import (
    InvalidTokenError,
    KeysUnavailableError,
    Rejection,
    RotatorError,
    SigningError,
    TokenStateError,
)


@pytest.mark.parametrize("reason", Rejection)
def test_a_refusal_does_not_say_why(reason: Rejection) -> None:
    """Its text is for the sender of the token; the reason and the claim are attributes, for a log."""
    error = InvalidTokenError(reason, "aud")

    assert (str(error), repr(error)) == ("invalid token", "InvalidTokenError('invalid token')")
    assert (error.reason, error.claim) == (reason, "aud")


def test_errors_are_told_apart() -> None:
    """Each has one root, and none is a kind of another: a service answers 401 to one, and 503 to others."""
    kinds = (InvalidTokenError, KeysUnavailableError, SigningError, TokenStateError)

    assert all(issubclass(kind, RotatorError) for kind in kinds)
    assert not any(issubclass(kind, other) for kind in kinds for other in kinds if kind is not other)
