"""
The JWKS as a file, for nginx or any other web server to serve.
"""

import os
from collections.abc import Collection
from pathlib import Path

from rotator.adapters.files.atomic import write_atomically
from rotator.adapters.files.lock import try_lock
from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.read_back import require_keys
from rotator.documents.jwk import parse_jwks
from rotator.errors import ConfigError, KeyMaterialError, PublicationError, RotatorError
from rotator.model.keys import Kid
from rotator.model.publication import Jwks, Publication


class FilePublisher:
    """
    A file for any web server to serve: the combined set, or with "{keyset}" in its name one for each asymmetric keyset.

    The first process that publishes owns the files for its life; others only compare. Raises ConfigError on
    construction if "{keyset}" is part of the folder's name.
    """

    name = "file"

    def __init__(self, template: str | os.PathLike[str], cache: JwksCache) -> None:
        self._template = Path(template)
        self._cache = cache
        self._lock: int | None = None
        self._each = "{keyset}" in self._template.name
        if "{keyset}" in str(self._template.parent):
            raise ConfigError('[publish] file: "{keyset}" belongs into the name of the file, not of its folder')

    def publish(self, publication: Publication) -> None:
        """
        Write the file unless it is as it should be. Another process's file is as it should be if it has our keys.
        """
        self._cache.put(publication)
        path = self._path(publication)
        if path is None:
            return
        try:
            owner = self._own()
            found = _read(path)
            wanted = self._wanted(publication)
            if (wanted is None or not owner) and _has(publication, found):
                return
            if wanted is None:
                raise PublicationError(f"{path} waits for the keys of {', '.join(self._cache.missing())}")
            if not owner:
                raise PublicationError(f"another process owns {path} and has not written these keys yet")
            if found != wanted:
                write_atomically(path, wanted.encode(), 0o644)
        except (OSError, RotatorError) as error:
            raise _explained(error, path) from error

    def served_kids(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids in the file, none if it is missing or no JWKS; None if it does not concern the keyset.
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
        Give up the lock, so that another process may own the files.
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
            latest = self._cache.get(publication.document.keyset) or publication
            return latest.document.jwks
        combined = self._cache.combined()
        return combined.jwks if combined else None

    def _own(self) -> bool:
        if self._lock is not None:
            return True
        folder = self._template.parent
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)  # whatever the umask: a web server of another user reads here
        self._lock = try_lock(folder / f".{self._template.name}.lock")
        return self._lock is not None


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _explained(error: OSError | RotatorError, path: Path) -> PublicationError:
    if isinstance(error, PublicationError):
        return error
    return PublicationError(f"{path}: {error.strerror if isinstance(error, OSError) else error}")


def _has(publication: Publication, text: str) -> bool:
    """
    Whether *text* has every key of *publication* and none that it revokes.
    """
    try:
        require_keys(publication, text, "")
        return not any(revocation.kid in parse_jwks(text) for revocation in publication.document.revoked)
    except (PublicationError, KeyMaterialError):
        return False
