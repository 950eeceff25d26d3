"""
Counts logins that Vault refused, across restarts: five in a row lock an AppRole out, for every holder of it.

See "user lockout" in Vault's documentation; MAX_REFUSALS stays below its default threshold.
"""

import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rotator.adapters.clocks import LOCAL_CLOCKS
from rotator.adapters.files.atomic import write_atomically
from rotator.adapters.files.reading import read_regular
from rotator.errors import RotatorError, StoreDeniedError
from rotator.model.times import format_time, parse_time
from rotator.ports.log import Log

MAX_REFUSALS = 3
_FIRST_WAIT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class _Refusals:
    """
    What the file holds; by `digest` the refused credentials are recognised.
    """

    count: int
    last: str
    salt: str
    digest: str

    def concerns(self, credentials: str) -> bool:
        return hmac.compare_digest(self.digest, _digest(self.salt, credentials))


class LoginAttempts:
    """
    The gate before each login; without a *file* the count ends with the process. For one thread at a time.

    Credentials are compared by their text, since a service manager hands over files with a new date at each start.
    """

    def __init__(self, file: Path | None, log: Log) -> None:
        self._file = file
        self._log = log
        self._refusals: _Refusals | None = None
        self._refused_at: float | None = None
        self._loaded = file is None

    def check(self, credentials: str, where: str) -> None:
        """
        Raise StoreDeniedError unless a login may be tried now; *where* names the origin of the credentials.
        """
        if not self._loaded:
            self._loaded, self._refusals = True, self._load()
        refusals = self._refusals
        if refusals is None or not refusals.concerns(credentials):
            return
        if refusals.count >= MAX_REFUSALS:
            also = "" if self._file is None else f"; to try the same again, remove {self._file} and restart"
            raise StoreDeniedError(
                f"vault refused the credentials in {where} {refusals.count} times, last at {refusals.last}; they are "
                f"not tried again, for more would lock the role out: put a new secret_id there{also}"
            )
        wait = _FIRST_WAIT * 2 ** (refusals.count - 1)
        last = parse_time(refusals.last)
        # A moment in the future means that the clock was set back: how long ago it was is unknown to a later process.
        ago = datetime.now(UTC) - last
        if self._refused_at is not None:
            ago = timedelta(seconds=LOCAL_CLOCKS.monotonic() - self._refused_at)
        if timedelta(0) <= ago < wait:
            raise StoreDeniedError(
                f"vault refused the credentials in {where} at {refusals.last}; "
                f"the next try is at {format_time(last + wait)}"
            )

    def refused(self, credentials: str) -> None:
        """
        Count one refusal of *credentials*.
        """
        before = self._refusals
        count = before.count + 1 if before is not None and before.concerns(credentials) else 1
        salt, self._refused_at = secrets.token_hex(16), LOCAL_CLOCKS.monotonic()
        self._refusals = _Refusals(count, format_time(datetime.now(UTC)), salt, _digest(salt, credentials))
        self._save(json.dumps(asdict(self._refusals)))

    def accepted(self) -> None:
        """
        Reset the count after a login that worked.
        """
        if self._refusals is not None:
            self._refusals = None
            self._save("{}")

    def _load(self) -> _Refusals | None:
        if self._file is None:
            return None
        try:
            content = json.loads(read_regular(self._file))
            refusals = _Refusals(**content) if content else None
            if refusals is not None:
                parse_time(refusals.last)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            self._log.warning("login_attempts_unreadable", file=str(self._file), error=type(error).__name__)
            return None
        return refusals

    def _save(self, content: str) -> None:
        if self._file is None:
            return
        try:
            write_atomically(self._file, content.encode(), 0o600)
        except (OSError, RotatorError) as error:
            self._log.warning("login_attempts_not_saved", file=str(self._file), error=str(error))


def _digest(salt: str, credentials: str) -> str:
    return hashlib.sha256(f"{salt}\n{credentials}".encode()).hexdigest()
