"""
The JWKS as a file, for nginx or any other web server to serve.
"""

import fcntl
import os
from collections.abc import Collection
from pathlib import Path

from rotator.adapters.files.atomic import safe_directory, write_atomically
from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.read_back import require_keys
from rotator.documents.jwk import parse_jwks
from rotator.errors import ConfigError, KeyMaterialError, PublicationError, RotatorError
from rotator.model.keys import Kid
from rotator.model.publication import Jwks, Publication

_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class FilePublisher:
    """
    A file for any web server to serve: the combined set, or with "{keyset}" in its name one for each asymmetric keyset.

    The first process that publishes owns the files for its life; others only look. Raises ConfigError on construction
    when "{keyset}" stands in the folder's name.
    """

    name = "file"

    def __init__(self, template: str | os.PathLike[str], board: JwksCache) -> None:
        self._template = Path(template)
        self._board = board
        self._lock: int | None = None
        self._each = "{keyset}" in self._template.name
        if "{keyset}" in str(self._template.parent):
            raise ConfigError('[publish] file: "{keyset}" belongs into the name of the file, not of its folder')

    def publish(self, publication: Publication) -> None:
        """
        Write the file unless it is as it should be. Another process's file is as it should be when it shows our keys.
        """
        self._board.put(publication)
        path = self._path(publication)
        if path is None:
            return
        try:
            owner = self._own()
            held = _read(path)
            wanted = self._wanted(publication)
            if (wanted is None or not owner) and _shows(publication, held):
                return
            if wanted is None:
                raise PublicationError(f"{path} waits for the keys of {', '.join(self._board.missing())}")
            if not owner:
                raise PublicationError(f"another process owns {path} and has not written these keys yet")
            if held != wanted:
                write_atomically(path, wanted.encode(), 0o644)
        except (OSError, RotatorError) as error:
            raise _explained(error, path) from error

    def served_kids(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids in the file, none where it is missing or no JWKS; None where it does not concern the keyset.
        """
        path = self._path(publication)
        if path is None:
            return None
        try:
            return parse_jwks(_read(path)).keys()
        except KeyMaterialError:
            return ()
        except OSError as error:
            raise _explained(error, path) from error

    def read_back(self, publication: Publication) -> None:
        """
        Read the file back.
        """
        path = self._path(publication)
        if path is not None:
            try:
                text = _read(path)
            except OSError as error:
                raise _explained(error, path) from error
            require_keys(publication, text, str(path))

    def close(self) -> None:
        """
        Leave the files to another process.
        """
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _path(self, publication: Publication) -> Path | None:
        if publication.symmetric or not (self._each or publication.well_known):
            return None
        return self._template.with_name(self._template.name.replace("{keyset}", publication.document.keyset))

    def _wanted(self, publication: Publication) -> Jwks | None:
        if self._each:
            latest = self._board.get(publication.document.keyset) or publication
            return latest.document.jwks
        combined = self._board.combined()
        return combined.jwks if combined else None

    def _own(self) -> bool:
        if self._lock is not None:
            return True
        folder = self._template.parent
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)  # whatever the umask: a web server of another user reads here
        with safe_directory(folder) as directory:
            lock = os.open(f".{self._template.name}.lock", _LOCK_FLAGS, 0o600, dir_fd=directory)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                return False
            raise
        self._lock = lock
        return True


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _explained(error: OSError | RotatorError, path: Path) -> PublicationError:
    if isinstance(error, PublicationError):
        return error
    return PublicationError(f"{path}: {error.strerror if isinstance(error, OSError) else error}")


def _shows(publication: Publication, text: str) -> bool:
    """
    Whether *text* has every key of *publication* and none that it revokes.
    """
    try:
        require_keys(publication, text, "")
        return not any(revocation.kid in parse_jwks(text) for revocation in publication.document.revoked)
    except (PublicationError, KeyMaterialError):
        return False
