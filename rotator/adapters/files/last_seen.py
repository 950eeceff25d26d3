"""
What this host has seen of each keyset, in files outside the store, so that a store gone back in time is noticed.
"""

import json
import threading
from datetime import timedelta
from pathlib import Path

from rotator.adapters.files.atomic import UnsafePathError, write_atomically
from rotator.documents.jwk import parse_jwks
from rotator.documents.last_seen import _flag, encode_last_seen
from rotator.documents.public import decode_public
from rotator.errors import DocumentError, FrozenError, KeyMaterialError, RotatorError
from rotator.model.policy import Timing
from rotator.model.publication import LastSeen

_DAMAGE = (ValueError, KeyError, TypeError, OverflowError, RecursionError, DocumentError, KeyMaterialError)


class LastSeenWriteError(RotatorError):
    """
    What was seen could not be written to the state folder; this process still knows it, the next one will not.
    """


class LastSeenFiles:
    """
    The keysets remembered in `<directory>/keysets`, one file each. Safe to use from several threads.

    A file is read once; to make a running process forget, stop it first.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / "keysets"
        self._lock = threading.Lock()
        self._known: dict[str, LastSeen | None] = {}
        self._unwritten: set[str] = set()

    def names(self) -> tuple[str, ...]:
        """
        Return the names of the remembered keysets, sorted; raises FrozenError when the folder cannot be read.
        """
        try:
            entries = [file.name for file in self._folder.iterdir()]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unreadable(self._folder, error) from error
        return tuple(sorted(entry[:-5] for entry in entries if entry.endswith(".json") and not entry.startswith(".")))

    def recall(self, name: str) -> LastSeen | None:
        """
        Return what is remembered of a keyset, None when it was never seen.

        Raises FrozenError for a file that is damaged or cannot be read: that is not the same as remembering nothing.
        """
        with self._lock:
            if name not in self._known:
                data = self._read(name)
                self._known[name] = None if data is None else self._decode(name, data)
            return self._known[name]

    def remember(self, remembered: LastSeen) -> None:
        """
        Keep what was seen; never in place of a higher sequence of the same epoch, and no I/O when nothing changed.

        Raises LastSeenWriteError; the same call later tries again.
        """
        name = remembered.document.keyset
        known = self.recall(name)
        if known and known.epoch == remembered.epoch and known.sequence > remembered.sequence:
            return
        data = encode_last_seen(remembered)
        with self._lock:
            if known and name not in self._unwritten and encode_last_seen(known) == data:
                return
            self._known[name] = remembered
            self._unwritten.add(name)
        self._write(self._file(name), data)
        with self._lock:
            self._unwritten.discard(name)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _write(self, file: Path, data: bytes) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(file, data, 0o600)
        except UnsafePathError as error:
            raise LastSeenWriteError(str(error)) from error
        except OSError as error:
            raise LastSeenWriteError(
                f"{file} cannot be written ({error.strerror}); make room, or make the folder writable for this user"
            ) from error

    def _read(self, name: str) -> bytes | None:
        file = self._file(name)
        try:
            return file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(file, error) from error

    @staticmethod
    def _unreadable(path: Path, error: OSError) -> FrozenError:
        return FrozenError(f"{path} cannot be read ({error.strerror}); make it readable for this user and start again")

    def _decode(self, name: str, data: bytes) -> LastSeen:
        try:
            fields = json.loads(data)
            document = decode_public(fields["public"], name)
            parse_jwks(document.jwks)
            timing = Timing(
                timedelta(seconds=fields["propagation_time"]),
                timedelta(seconds=fields["max_token_lifetime"]),
                timedelta(seconds=fields["clock_skew"]),
            )
            return LastSeen(
                epoch=document.epoch,
                sequence=document.sequence,
                op_id=str(fields["op_id"]),
                well_known=_flag(fields["well_known"]),
                symmetric=_flag(fields["symmetric"]),
                timing=timing,
                document=document,
            )
        except _DAMAGE as error:
            raise FrozenError(
                f"{self._file(name)} is damaged, so what was seen of {name} is not known; put it back from a backup, "
                "or to accept what the store holds stop the daemon, move the file away and start it again"
            ) from error
