"""
What every way to log in to Vault has in common.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rotator.adapters.files.reading import read_regular
from rotator.adapters.vault.login.attempts import LoginAttempts
from rotator.adapters.vault.transport import Call, Reply
from rotator.errors import StoreDeniedError, StoreUnavailableError
from rotator.model.secret import SecretText


@dataclass(frozen=True, slots=True)
class Grant:
    """
    A token as Vault granted it: `ttl` in seconds, 0 for a token that never ends, None if Vault did not say.
    """

    token: SecretText
    ttl: int | None = None
    renewable: bool = False


class LoginMethod(Protocol):
    """
    A way to get a token: it holds the credentials and knows the request.

    A new one is a file in this folder, made after `approle.py`, its options in `rotator.config`, and a line where the
    settings choose (`rotator.wiring`, and for services `rotator.client.sources.vault`); docs/architecture.md lists the
    steps.
    """

    @property
    def repeatable(self) -> bool:
        """
        Whether another login brings another token; False for a token that someone else made.
        """
        ...

    def log_in(self, call: Call, attempts: LoginAttempts) -> Grant:
        """
        Return a token. *call* sends requests without one; *attempts* is for methods that Vault locks out.

        Raises StoreDeniedError if the credentials cannot be read or were refused, else StoreUnavailableError.
        """
        ...


def granted(answer: Reply, place: str) -> Grant:
    """
    Return what the login at *place* granted; raises StoreUnavailableError for an answer without a token.
    """
    auth = answer.section("auth")
    token = auth.get("client_token")
    if answer.status != 200 or not token:  # noqa: PLR2004 - the one status that carries a token
        raise StoreUnavailableError(f"vault answered the login at {place} with {answer.status} and no token")
    return grant_of(SecretText(str(token)), answer)


def grant_of(token: SecretText, answer: Reply) -> Grant:
    """
    Return what a login or renewal says of *token*.
    """
    auth = answer.section("auth")
    ttl = auth.get("lease_duration")
    return Grant(token, ttl if isinstance(ttl, int) else None, auth.get("renewable") is True)


def read_line(file: Path, option: str) -> str:
    """
    Return the one line in a credential *file*; raises StoreDeniedError, which names the *option*.
    """
    try:
        text = read_regular(file).decode("ascii").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no plain text"
        # Not chained: a decoding error holds what was read.
        raise StoreDeniedError(f"{option}: {file} cannot be read: {reason}") from None
    if not text or not text.isprintable():
        raise StoreDeniedError(f"{option}: {file} does not hold one line")
    return text
