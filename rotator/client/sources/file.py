"""
A keyset in the file store on this host.
"""

from datetime import timedelta
from pathlib import Path

from rotator.client.arguments import require_keyset, require_timing
from rotator.client.jose.keys import DEFAULT_TIMING, Keys
from rotator.client.sources.document import DocumentDecoder
from rotator.model.policy import Timing


class FileSource:
    """
    A keyset in the file store in the folder *path*, on the same host and readable for this user only.
    """

    def __init__(self, path: Path | str, keyset: str, *, public: bool = False, timing: Timing = DEFAULT_TIMING) -> None:
        from rotator.adapters.files.store import FileStore  # noqa: PLC0415 - most services have no file store

        require_keyset(keyset)
        require_timing(timing)
        self.keyset = keyset
        self._store = FileStore(Path(path))
        self._decoder = DocumentDecoder(keyset, f"{path}", public, timing)
        self._file = Path(path) / self._decoder.tree / f"{keyset}.json"
        self._seen: tuple[int, int] | None = None
        self.place = self._decoder.place

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Read the document.
        """
        del timeout, fresh
        self._seen = self._fingerprint()
        return self._decoder.decode(self._store.load(self._decoder.tree, self.keyset), known), None

    def changed(self) -> bool:
        """
        Return whether the document was saved since the last `read`. Costs one stat.
        """
        return self._fingerprint() != self._seen

    def _fingerprint(self) -> tuple[int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns
