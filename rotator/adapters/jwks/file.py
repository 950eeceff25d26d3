"""
The JWKS as a file, for nginx or any other web server to serve.
"""

import errno
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from rotator.adapters.files.atomic import check_target, write_atomically
from rotator.adapters.files.bounded import BoundedCalls
from rotator.adapters.files.folders import make_folder
from rotator.adapters.files.lock import try_lock
from rotator.adapters.files.reading import read_regular
from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.read_back import refuse_leak, require_keys
from rotator.documents.served_jwks import MAX_JWKS, read_jwks
from rotator.errors import ConfigError, KeyMaterialError, PublicationError, RotatorError
from rotator.model.keys import Kid
from rotator.model.publication import Jwks, Publication

_T = TypeVar("_T")


class FilePublisher:
    """
    A file for any web server to serve: the combined set, or with "{keyset}" in its name one for each asymmetric keyset.

    The first process that publishes owns the files for its life; others only compare. A file system that hangs fails
    within seconds (`BoundedCalls`). Raises ConfigError on construction if "{keyset}" is part of the folder's name.
    """

    name = "file"

    def __init__(self, template: str | os.PathLike[str], cache: JwksCache) -> None:
        self._template = Path(template)
        self._cache = cache
        self._lock: int | None = None
        self._files = BoundedCalls()
        self._each = "{keyset}" in self._template.name
        if "{keyset}" in str(self._template.parent):
            raise ConfigError('[publish] file: "{keyset}" belongs into the name of the file, not of its folder')

    def publish(self, publication: Publication) -> None:
        """
        Write the file unless it is as it should be. Another process's file is as it should be if it has our keys.
        """
        self._cache.put(publication)
        path = self._path(publication)
        if path is not None:
            self._call(path, lambda: self._publish(publication, path))

    def served_kids(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids in the file, none if it is missing or no JWKS; None if it does not concern the keyset.
        """
        path = self._path(publication)
        if path is None:
            return None
        try:
            return [Kid(kid) for kid in read_jwks(self._call(path, lambda: _read(path))).keys]
        except KeyMaterialError:
            return ()

    def read_back(self, publication: Publication) -> None:
        """
        Read the file back.
        """
        path = self._path(publication)
        if path is not None:
            require_keys(publication, self._call(path, lambda: _read(path)), str(path))

    def withdraw(self, keyset: str) -> None:
        """
        Remove the keyset's file, or its keys from the combined one, if we own it.
        """
        self._cache.drop(keyset)
        path = self._template.with_name(self._template.name.replace("{keyset}", keyset))
        self._call(path, lambda: self._withdraw(path))

    def close(self) -> None:
        """
        Give up the lock, so that another process may own the files.
        """
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _call(self, path: Path, work: Callable[[], _T]) -> _T:
        try:
            return self._files.call(work)
        except PublicationError:
            raise
        except (OSError, RotatorError) as error:
            raise PublicationError(f"{path}: {error.strerror if isinstance(error, OSError) else error}") from error

    def _publish(self, publication: Publication, path: Path) -> None:
        owner = self._own()
        if owner:
            check_target(path)
        found = _read(path)
        wanted = self._wanted(publication)
        if wanted is not None and owner and found != wanted.encode():
            write_atomically(path, wanted.encode(), 0o644)
        refuse_leak(publication, found, str(path))
        if (wanted is None or not owner) and not _has(publication, found, path):
            if wanted is None:
                raise PublicationError(f"{path} waits for the keys of {', '.join(self._cache.missing())}")
            raise PublicationError(f"another process owns {path} and has not written these keys yet")

    def _withdraw(self, path: Path) -> None:
        combined = self._cache.combined()
        if not self._own():
            return
        if self._each or combined is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, combined.jwks.encode(), 0o644)

    def _path(self, publication: Publication) -> Path | None:
        if publication.symmetric or not (self._each or publication.well_known):
            return None
        return self._template.with_name(self._template.name.replace("{keyset}", publication.document.keyset))

    def _wanted(self, publication: Publication) -> Jwks | None:
        if self._each:
            latest = self._cache.get(publication.document.keyset) or publication
            return latest.document.jwks
        combined = self._cache.combined()
        return combined.jwks if combined else None

    def _own(self) -> bool:
        if self._lock is not None:
            return True
        folder = self._template.parent
        make_folder(folder, 0o755)  # a web server of another user reads here
        self._lock = try_lock(folder / f".{self._template.name}.lock")
        return self._lock is not None


def _read(path: Path) -> bytes:
    """
    Return the content, nothing for a file that is missing; raises UnsafePathError or OSError, and never waits.
    """
    try:
        return read_regular(path, MAX_JWKS)
    except FileNotFoundError:
        return b""
    except OSError as error:
        check_target(path)  # says what is odd about it, if something is
        if error.errno == errno.EFBIG:
            return b""  # none of ours
        raise


def _has(publication: Publication, found: bytes, path: Path) -> bool:
    """
    Whether *found* has every key of *publication* and none that it revokes.
    """
    try:
        served = require_keys(publication, found, str(path))
    except PublicationError:
        return False
    shown = {entry.kid for entry in served.entries}
    return not any(revocation.kid in shown for revocation in publication.document.revoked)
