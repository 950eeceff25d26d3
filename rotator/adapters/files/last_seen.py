"""
Files in `state_dir` of what this host has seen of each keyset, so that a store gone back in time is noticed.

A file holds the last public document, its op_id, the three durations and two flags (`documents/last_seen.py`).
`SeenRecord` in `reconcile/saving.py` writes it after each save, and when a pass has compared the publishers.
"""

import threading
from functools import partial
from pathlib import Path

from rotator.adapters.files.atomic import read_safely, write_atomically
from rotator.adapters.files.bounded import BoundedCalls
from rotator.adapters.files.folders import make_folder
from rotator.documents.last_seen import decode_last_seen, encode_last_seen
from rotator.errors import DocumentError, FrozenError, LastSeenWriteError, UnsafePathError
from rotator.model.publication import LastSeen


class LastSeenFiles:
    """
    The LastSeenStore in `<directory>/keysets`, one file for each keyset.

    A file is read once; to make a running process forget, stop it first. A file system that hangs is given up.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / "keysets"
        self._lock = threading.Lock()
        self._calls = BoundedCalls()
        self._known: dict[str, LastSeen | None] = {}
        self._unwritten: set[str] = set()

    def names(self) -> tuple[str, ...]:
        """
        Return the names of the recorded keysets, sorted; raises FrozenError if the folder cannot be read.
        """
        try:
            entries = [file.name for file in self._folder.iterdir()]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unreadable(self._folder, error) from error
        return tuple(sorted(entry[:-5] for entry in entries if entry.endswith(".json") and not entry.startswith(".")))

    def get(self, name: str) -> LastSeen | None:
        """
        Return what was last seen of a keyset, None if it was never seen.

        Raises FrozenError for a file that is damaged or cannot be read, which is not the same as never seen.
        """
        with self._lock:
            if name not in self._known:
                data = self._read(name)
                self._known[name] = None if data is None else self._decode(name, data)
            return self._known[name]

    def record(self, seen: LastSeen) -> None:
        """
        Keep *seen* if it supersedes what is recorded. No I/O if nothing changed.

        Raises LastSeenWriteError; the same call later writes again.
        """
        name = seen.document.keyset
        known = self.get(name)
        if not seen.supersedes(known):
            return
        data = encode_last_seen(seen)
        with self._lock:
            if known and name not in self._unwritten and encode_last_seen(known) == data:
                return
            self._known[name] = seen
            self._unwritten.add(name)
        self._write(self._file(name), data)
        with self._lock:
            self._unwritten.discard(name)

    def forget(self, name: str) -> None:
        """
        Remove the file of a keyset. Raises LastSeenWriteError; the same call later tries again.
        """
        file = self._file(name)
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise LastSeenWriteError(f"{file} cannot be removed ({error.strerror}); remove it by hand") from error
        with self._lock:
            self._known[name] = None
            self._unwritten.discard(name)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _write(self, file: Path, data: bytes) -> None:
        try:
            self._calls.call(partial(self._put, file, data))
        except UnsafePathError as error:
            raise LastSeenWriteError(str(error)) from error
        except OSError as error:
            raise LastSeenWriteError(
                f"{file} cannot be written ({error.strerror}); make room, or make the folder writable for this user"
            ) from error

    def _put(self, file: Path, data: bytes) -> None:
        make_folder(self._folder, 0o700)
        write_atomically(file, data, 0o600)

    def _read(self, name: str) -> bytes | None:
        file = self._file(name)
        try:
            return self._calls.call(partial(read_safely, file))
        except FileNotFoundError:
            return None
        except UnsafePathError as error:
            raise FrozenError(
                f"{name}: {error}, and find out who writes there; what was seen of {name} is not believed, and nothing of "
                "it is served"
            ) from error
        except OSError as error:
            raise self._unreadable(file, error) from error

    def _decode(self, name: str, data: bytes) -> LastSeen:
        try:
            return decode_last_seen(data, name)
        except DocumentError as error:
            raise FrozenError(
                f"{self._file(name)} is damaged, so what was seen of {name} is not known; put it back from a backup, "
                "or to accept what the store holds stop the daemon, move the file away and start it again"
            ) from error

    @staticmethod
    def _unreadable(path: Path, error: OSError) -> FrozenError:
        return FrozenError(f"{path} cannot be read ({error.strerror}); make it readable for this user and start again")
