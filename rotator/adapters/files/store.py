"""
The store of documents as files, for one host without a Vault: no versions are kept, so nothing is left to destroy.
"""

import errno
import json
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rotator.adapters.clocks import LOCAL_CLOCKS
from rotator.adapters.files.atomic import safe_directory, write_atomically
from rotator.adapters.files.folders import make_folder
from rotator.adapters.files.lock import wait_for_lock
from rotator.adapters.files.reading import read_with_status
from rotator.errors import DocumentError, StoreConflictError, StoreDeniedError, StoreUnavailableError, UnsafePathError
from rotator.model.document import ClockReading, Fields, Stored, Tree
from rotator.model.times import parse_time, round_up
from rotator.ports.clocks import Clocks

LOCK_TIMEOUT = 5.0
MAX_DOCUMENT = 16 << 20
_LOCK = ".lock"
_WAY_OUT = {
    errno.ENOSPC: "; make room on its disk",
    errno.EDQUOT: "; raise the quota of its user",
    errno.EROFS: "; mount its disk writable",
    errno.ELOOP: "; it is a symbolic link, replace it by a regular file",
}


class FileStore:
    """
    A DocumentStore in the folder *path* (made 0700 if missing): `<tree>/<keyset>.json`, mode 0600.

    A save holds the lock of the whole store, against threads and processes of this host; the folder must not be on a
    network. Waiting for the lock ends with StoreUnavailableError after *lock_timeout* seconds.
    """

    def __init__(self, path: Path, *, lock_timeout: float = LOCK_TIMEOUT, clocks: Clocks = LOCAL_CLOCKS) -> None:
        self._path = path
        self._lock_timeout = lock_timeout
        self._clocks = clocks
        self._threads = threading.Lock()
        self._swept = False

    def load(self, tree: Tree, keyset: str) -> Stored:
        """
        Return the document; raises DocumentError if the file exists and is not one of ours.
        """
        before = self._clocks.wall(), self._clocks.monotonic()
        file = self._file(tree, keyset)
        with _translated(file):
            try:
                with safe_directory(file.parent) as directory:
                    data, status = read_with_status(file.name, MAX_DOCUMENT, follow=False, dir_fd=directory)
            except FileNotFoundError:
                return Stored(0, None, None, self._reading(before))
        version, fields, created_at = _decode(file, data)
        clock = self._reading(before)
        # The rename sets the ctime: however long the writer was delayed, no reader saw this version before.
        renamed = min(datetime.fromtimestamp(status.st_ctime, UTC), clock.latest)
        return Stored(version, fields, max(created_at, renamed), clock)

    def load_version(self, tree: Tree, keyset: str, version: int) -> Stored:
        """
        Return the document if *version* is its latest; no other is kept.
        """
        stored = self.load(tree, keyset)
        return stored if stored.version == version else Stored(0, None, None, stored.clock)

    def save(self, tree: Tree, keyset: str, fields: Fields, cas: int) -> Stored:
        """
        Write version *cas* + 1 if the latest is still *cas*, durably, and return it as read back.
        """
        file = self._file(tree, keyset)
        with self._locked(file):
            latest = self.load(tree, keyset).version
            if latest != cas:
                raise StoreConflictError(f"{tree}/{keyset} has version {latest}, not {cas}: somebody else saved first")
            content = {"version": cas + 1, "created_at": self._clocks.wall().isoformat(), "fields": dict(fields)}
            write_atomically(file, json.dumps(content, indent=1).encode(), 0o600)
            return self.load(tree, keyset)

    def versions(self, tree: Tree, keyset: str) -> Collection[int]:
        """
        Return the number of the one version that exists, if any.
        """
        version = self.load(tree, keyset).version
        return (version,) if version else ()

    def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """
        Do nothing for versions that were replaced; raises StoreDeniedError for the latest, which holds what is in use.
        """
        latest = self.load(tree, keyset).version
        if latest and latest in versions:
            raise StoreDeniedError(
                f"{self._file(tree, keyset)} holds version {latest}, the latest: it is not destroyed"
            )

    def names(self) -> Collection[str]:
        """
        Return what stands in the tree of signing documents.
        """
        folder = self._path / Tree.KEYS
        with _translated(folder):
            try:
                with safe_directory(folder) as directory:
                    entries = os.listdir(directory)  # noqa: PTH208 - of the folder that was opened
            except FileNotFoundError:
                return ()
        return tuple(entry[:-5] for entry in sorted(entries) if entry.endswith(".json") and not entry.startswith("."))

    @property
    def limited(self) -> bool:
        """
        Always false: files have no rate limit.
        """
        return False

    @property
    def keeps_versions(self) -> bool:
        """
        Always false: a save replaces the file.
        """
        return False

    def undelete(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """
        Do nothing: a file that was deleted is gone.
        """

    def remove(self, tree: Tree, keyset: str) -> None:
        """
        Delete the file, damaged or not.
        """
        file = self._file(tree, keyset)
        with self._locked(file):
            file.unlink(missing_ok=True)
            with safe_directory(file.parent) as directory:
                os.fsync(directory)

    @property
    def token_expires_at(self) -> None:
        """
        Always None: files need no token.
        """

    def maintain(self) -> str:
        """
        Do nothing: files need no chores.
        """
        return ""

    def close(self) -> None:
        """
        Do nothing: no file stays open between calls.
        """

    def fingerprint(self) -> str:
        """
        Return a text that changes with each save of a signing document, for the price of one stat; never raises.
        """
        try:
            status = (self._path / Tree.KEYS).stat()
        except OSError:
            return ""
        return f"{status.st_ino}.{status.st_mtime_ns}"

    def _file(self, tree: Tree, keyset: str) -> Path:
        return self._path / tree / f"{keyset}.json"

    @contextmanager
    def _locked(self, file: Path) -> Iterator[None]:
        deadline = self._clocks.monotonic() + self._lock_timeout
        if not self._threads.acquire(timeout=self._lock_timeout):
            raise self._busy()
        try:
            with _translated(file):
                make_folder(self._path, 0o700)
                make_folder(file.parent, 0o700)
                lock = wait_for_lock(self._path / _LOCK, deadline, self._clocks.monotonic)
                if lock is None:
                    raise self._busy()
                try:
                    self._sweep()
                    yield
                finally:
                    os.close(lock)
        finally:
            self._threads.release()

    def _busy(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"{self._path / _LOCK} was locked by another process for {self._lock_timeout:g} s; look which one hangs"
        )

    def _sweep(self) -> None:
        """
        Remove what crashed writers left, which may hold key material. Under the lock no other writer is active.
        """
        if self._swept:
            return
        for leftover in self._path.glob("*/.*.tmp"):
            with suppress(FileNotFoundError):
                leftover.unlink()
        self._swept = True

    def _reading(self, began: tuple[datetime, float]) -> ClockReading:
        """
        Return the moment of a reading that *began* then; what it took goes by the monotonic clock.
        """
        before, read_at = began[0], self._clocks.monotonic()
        after = before + timedelta(seconds=read_at - began[1])
        return ClockReading(before.replace(microsecond=0), round_up(after), read_at=read_at)


def _decode(file: Path, data: bytes) -> tuple[int, Fields, datetime]:
    try:
        content = json.loads(data)
        version, fields, created_at = content["version"], content["fields"], parse_time(content["created_at"])
    except (ValueError, KeyError, TypeError, RecursionError):
        version, fields, created_at = 0, None, datetime.min.replace(tzinfo=UTC)
    if not isinstance(version, int) or version < 1 or not isinstance(fields, dict):
        # Not chained: a JSON error carries the whole text.
        raise DocumentError(
            f"{file} is damaged or not rotator's; put it back from a backup, or run `rotator thaw {file.stem}`"
        )
    return version, fields, created_at


@contextmanager
def _translated(file: Path) -> Iterator[None]:
    try:
        yield
    except UnsafePathError as error:
        raise StoreDeniedError(str(error)) from error
    except PermissionError as error:
        raise StoreDeniedError(
            f"{file}: permission denied; give its folder and what is in it to the user that rotator runs as"
        ) from error
    except OSError as error:
        detail = f"{file}: {(error.strerror or 'unknown error').lower()}{_WAY_OUT.get(error.errno or 0, '')}"
        raise StoreUnavailableError(detail) from error
