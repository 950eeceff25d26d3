"""
Logging in with a token that someone else made.
"""

from dataclasses import dataclass

from rotator.adapters.vault.login.attempts import LoginAttempts
from rotator.adapters.vault.login.method import Grant
from rotator.adapters.vault.transport import Call
from rotator.model.secret import SecretText


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """
    The LoginMethod of a given token: no request, and no other token after this one.
    """

    token: SecretText
    repeatable = False

    def log_in(self, call: Call, attempts: LoginAttempts) -> Grant:
        """
        Return the token; its remaining life is not known yet.
        """
        del call, attempts
        return Grant(self.token)
