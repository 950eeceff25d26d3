"""
Logging in with a token that somebody else made.
"""

from dataclasses import dataclass

from rotator.model.secret import SecretText


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """
    A token that somebody else made and looks after.
    """

    token: SecretText
