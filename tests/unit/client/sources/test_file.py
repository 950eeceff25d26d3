"""
A keyset in the file store of this host.
"""

import os
import threading
from pathlib import Path

import pytest

from rotator.adapters.files.store import FileStore
from rotator.client import FileSource, KeysUnavailableError
from rotator.errors import StoreDeniedError
from tests.support.documents import keyset, publish, save
from tests.support.publications import kid
from tests.support.scripted import Leaping, reader_of, readers_threads, serves, until, within

TIMEOUT = 5.0


def test_a_save_in_the_file_store_is_noticed_within_about_a_second(tmp_path: Path) -> None:
    """Without a poll, which is minutes away, and without a hint."""
    store = FileStore(tmp_path)
    save(store, keyset(1))
    with reader_of(FileSource(tmp_path, "web")) as keys:
        assert keys.secrets() == (f"{1:064x}",)
        save(store, keyset(2))
        with within(1.5):
            until(lambda: serves(keys, "k2"))


def test_only_the_document_itself_is_watched(tmp_path: Path, time_: Leaping) -> None:
    """A thousand other keysets cost their readers nothing, and the public document is not the signing one."""
    store = FileStore(tmp_path)
    save(store, keyset(1))
    publish(store, 1)
    signing, public = FileSource(tmp_path, "web"), FileSource(tmp_path, "web", public=True)
    for source in (signing, public):
        source.read(None, TIMEOUT, fresh=False)
    # Readers have sources of their own: they notice a change, and read it, between two lines here.
    of_signing, of_public = FileSource(tmp_path, "web"), FileSource(tmp_path, "web", public=True)
    with reader_of(of_signing, time_) as keys, reader_of(of_public, time_) as public_keys:
        assert not signing.changed()
        save(store, keyset(5, name="other"))
        publish(store, 3, name="other")
        assert (signing.changed(), public.changed()) == (False, False)
        publish(store, 2)
        assert (signing.changed(), public.changed()) == (False, True)
        time_.leap(1)
        until(lambda: serves(public_keys, kid(2)))
        public.read(None, TIMEOUT, fresh=False)
        assert (public.changed(), keys.status.sequence) == (False, 1)


def test_a_file_store_without_the_document(tmp_path: Path) -> None:
    """It may come later; once gone again, the last keys stay."""
    keys = reader_of(FileSource(tmp_path / "store", "web"))
    with pytest.raises(KeysUnavailableError, match="store/keys/web: no such document; is its name right"):
        keys.start(0.2)
    store = FileStore(tmp_path / "store")
    save(store, keyset(1))
    with keys:
        (tmp_path / "store" / "keys" / "web.json").unlink()
        assert keys.refresh().sequence == 1
        assert "no such document" in keys.status.fault


def test_a_file_that_cannot_be_read_is_not_read_again_and_again(tmp_path: Path, time_: Leaping) -> None:
    """A damaged one is not read at each check for changes, but when a poll is due."""
    store = FileStore(tmp_path)
    save(store, keyset(1))
    source = FileSource(tmp_path, "web")
    with reader_of(source, time_) as keys:
        (tmp_path / "keys" / "web.json").write_text("{")
        time_.leap(1)
        until(lambda: "damaged" in keys.status.fault)
        assert not source.changed()
        assert serves(keys, "k1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that is not ours")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Its owner could make all readers trust other keys."""
    store = FileStore(tmp_path)
    save(store, keyset(1))
    os.chown(tmp_path / "keys", 12345, 12345)
    with pytest.raises(StoreDeniedError, match="keys"):
        FileSource(tmp_path, "web").read(None, TIMEOUT, fresh=False)


def test_sources_are_read_by_one_thread_at_a_time(tmp_path: Path) -> None:
    """A hundred callers of a reader on a real store: one thread."""
    save(FileStore(tmp_path), keyset(1))
    with reader_of(FileSource(tmp_path, "web")) as keys:
        threads = [threading.Thread(target=keys.refresh) for _ in range(100)]
        for thread in threads:
            thread.start()
        assert len(readers_threads()) == 1
        for thread in threads:
            thread.join()
