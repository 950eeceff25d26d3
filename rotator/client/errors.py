"""
What the client raises: one error for every bad token, and one for each cause that is not the token's fault.
"""

from enum import StrEnum

from rotator.errors import RotatorError


class Rejection(StrEnum):
    """
    Why a token was refused: for logs and metrics. The sender of the token must not learn it.
    """

    MALFORMED = "malformed"
    HEADER = "header not allowed"
    UNKNOWN_KEY = "unknown key"
    SIGNATURE = "signature does not verify"
    TYPE = "another type of token"
    CLAIMS = "claims missing or not allowed"
    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    REVOKED = "revoked"
    REUSED = "refresh token used again"


class InvalidTokenError(RotatorError):
    """
    A token was refused. The message is always the same; `reason` says why, for a log.

    With CLAIMS, `claim` names the one that was missing or not allowed. Answer with 401 and nothing more.
    """

    def __init__(self, reason: Rejection, claim: str = "") -> None:
        super().__init__("invalid token")
        self.reason = reason
        self.claim = claim


class Doubt(StrEnum):
    """
    Why the keys of a reader may be the past: in `ReaderStatus.doubt`, and in `KeysUnavailableError.doubt`.
    """

    UNREAD = "not read"
    UNSEEN = "not saved by a daemon"
    BEHIND = "behind what was announced"


class KeysUnavailableError(RotatorError):
    """
    There are no keys fresh enough to use: none were ever read, or the last good ones are older than `max_stale`.

    *doubt* says why keys that were read are not used. Says nothing about a token. Answer with 503.
    """

    def __init__(self, message: str, doubt: Doubt | None = None) -> None:
        super().__init__(message)
        self.doubt = doubt


class SigningError(RotatorError):
    """
    A token cannot be signed: its lifetime is above the policy, a claim is reserved for the signer, or it is too large.
    """


class TokenStateError(RotatorError):
    """
    Redis, which holds refresh families and revocations, did not answer; nothing was granted. Answer with 503.
    """
