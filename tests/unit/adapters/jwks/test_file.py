"""
The JWKS as a file for a web server: its modes, its owner, and what it waits for.
"""

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rotator.adapters.files.bounded import BoundedCalls
from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.file import FilePublisher
from rotator.documents.jwk import parse_jwks
from rotator.errors import ConfigError, PrivateKeyPublishedError, PublicationError
from tests.support.publications import jwks, kid, publication
from tests.support.scripted import until

OTHER = publication("other", 9)


@pytest.fixture(name="cache")
def _cache() -> JwksCache:
    """Return a cache that waits for two keysets, of which one has come."""
    cache = JwksCache(["web", "other"])
    cache.put(OTHER)
    return cache


def test_the_file_can_be_read_by_a_web_server(cache: JwksCache, tmp_path: Path) -> None:
    """Folder 0755 and file 0644 whatever the umask; byte-identical content is not written again."""
    path = tmp_path / "a" / "public" / "jwks.json"
    former = os.umask(0o077)
    try:
        publisher = FilePublisher(str(path), cache)
        publisher.publish(publication("web", 1))
    finally:
        os.umask(former)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    before = path.stat().st_ino
    publisher.publish(publication("web", 1, sequence=2))
    assert path.stat().st_ino == before
    publisher.close()


def test_the_combined_file_is_never_incomplete(tmp_path: Path) -> None:
    """It waits for every well-known keyset; what it shows is good until then, unless a key of it was revoked."""
    path, cache = tmp_path / "jwks.json", JwksCache(["api", "other", "web"])
    publisher = FilePublisher(str(path), cache)
    with pytest.raises(PublicationError, match="waits for the keys of api, other"):
        publisher.publish(publication("web", 1))
    assert not path.exists()
    cache.mark_absent("api")
    publisher.publish(OTHER)
    assert list(parse_jwks(path.read_text())) == [kid(9), kid(1)]
    publisher.close()

    restarted = FilePublisher(str(path), JwksCache(["api", "other", "web"]))
    restarted.publish(publication("web", 1))
    with pytest.raises(PublicationError, match="waits for"):
        restarted.publish(publication("web", 1, sequence=2, revoked=(kid(9),)))
    with pytest.raises(PublicationError, match="waits for"):
        restarted.publish(publication("web", 1, 2, sequence=3))
    restarted.close()


def test_keysets_that_are_not_well_known_do_not_concern_the_combined_file(cache: JwksCache, tmp_path: Path) -> None:
    """They are neither written, nor shown, nor asked for."""
    path = tmp_path / "jwks.json"
    publisher, private = FilePublisher(str(path), cache), publication("internal", 3, well_known=False)
    publisher.publish(private)
    publisher.read_back(private)
    assert publisher.served_kids(private) is None
    publisher.publish(publication("web", 1))
    assert kid(3) not in path.read_text()
    publisher.close()


def test_one_process_owns_the_file(cache: JwksCache, tmp_path: Path) -> None:
    """Another only looks: content with a file that shows its keys, and taking over when the owner is gone."""
    path = tmp_path / "jwks.json"
    program = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
        "fcntl.flock(fd, fcntl.LOCK_EX); print('owned', flush=True); sys.stdin.read()"
    )
    publisher = FilePublisher(str(path), cache)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / ".jwks.json.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"owned\n"
        with pytest.raises(PublicationError, match="another process owns"):
            publisher.publish(publication("web", 1))
        assert not path.exists()
        path.write_text(jwks(1, 5))
        publisher.publish(publication("web", 1))
        publisher.read_back(publication("web", 1))
        assert path.read_text() == jwks(1, 5)
        owner.kill()
    publisher.publish(publication("web", 1))
    assert path.read_text() == jwks(9, 1)
    publisher.close()


def test_an_unsafe_place_is_refused(cache: JwksCache, tmp_path: Path) -> None:
    """A link in the file's place, a folder others may write to, a name that cannot work."""
    (tmp_path / "jwks.json").symlink_to(tmp_path / "elsewhere")
    linked = FilePublisher(str(tmp_path / "jwks.json"), cache)
    with pytest.raises(PublicationError, match="symbolic link"):
        linked.publish(publication("web", 1))
    linked.close()
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(PublicationError, match="chmod go-w"):
        FilePublisher(str(shared / "jwks.json"), cache).publish(publication("web", 1))
    (tmp_path / "plain").write_text("")
    with pytest.raises(PublicationError, match="Not a directory"):
        FilePublisher(str(tmp_path / "plain" / "jwks.json"), cache).publish(publication("web", 1))
    with pytest.raises(ConfigError, match="name of the file"):
        FilePublisher(str(tmp_path / "{keyset}" / "jwks.json"), cache)


# -- what may hang, and what leaks -------------------------------------------------------------------------------------


def test_a_fifo_in_the_place_of_the_file_is_refused_at_once(cache: JwksCache, tmp_path: Path) -> None:
    """Whoever reads one waits for a writer; so is one in the place of the lock not waited for."""
    path = tmp_path / "jwks.json"
    os.mkfifo(path)
    publisher, web = FilePublisher(path, cache), publication("web", 1)
    for call in (publisher.publish, publisher.read_back, publisher.served_kids):
        with pytest.raises(PublicationError, match=r"jwks.json is a symbolic link or no regular file"):
            call(web)
    publisher.close()
    path.unlink()
    (tmp_path / ".jwks.json.lock").unlink()
    os.mkfifo(tmp_path / ".jwks.json.lock", 0o600)
    publisher.publish(web)
    publisher.close()


def test_a_file_system_that_hangs_fails_within_seconds(cache: JwksCache, tmp_path: Path) -> None:
    """And at once for every other keyset, while it goes on hanging; what is in memory is served meanwhile."""
    gate = threading.Event()

    class Hanging(FilePublisher):
        def _own(self) -> bool:
            gate.wait(20)
            return super()._own()

    publisher = Hanging(tmp_path / "jwks.json", cache)
    publisher._files = BoundedCalls(0.1)
    for keyset, number in (("web", 1), ("other", 2)):
        begun = time.monotonic()
        with pytest.raises(PublicationError, match=r"jwks.json: the file system hangs"):
            publisher.publish(publication(keyset, number, sequence=2))
        assert time.monotonic() - begun < 2
    assert cache.get("web") == publication("web", 1, sequence=2)
    gate.set()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "files"])
    publisher.publish(publication("web", 1, sequence=2))
    publisher.close()


def test_a_link_is_refused_even_if_it_leads_to_the_right_set(cache: JwksCache, tmp_path: Path) -> None:
    """It would be refused at the next rotation: that is told now."""
    (tmp_path / "elsewhere").write_text(jwks(9, 1))
    (tmp_path / "jwks.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PublicationError, match="symbolic link"):
        FilePublisher(tmp_path / "jwks.json", cache).publish(publication("web", 1))


def test_a_private_key_in_the_file_is_overwritten_and_told(cache: JwksCache, tmp_path: Path) -> None:
    """By the owner; another process tells it, too. What it was is in no message."""
    path, web = tmp_path / "jwks.json", publication("web", 1)
    publisher = FilePublisher(path, cache)
    publisher.publish(web)
    leaking = path.read_text().replace('"use":"sig"', '"use":"sig","d":"CANARY"')
    for owner in (publisher, FilePublisher(path, cache)):
        path.write_text(leaking)
        for call in (owner.read_back, owner.publish):
            with pytest.raises(
                PrivateKeyPublishedError, match=f"{path} shows the private key of kid {kid(1)}$"
            ) as told:
                call(web)
            assert "CANARY" not in str(told.value)
        assert ("CANARY" in path.read_text()) == (owner is not publisher)
    publisher.close()


def test_a_huge_file_of_a_stranger_is_overwritten(cache: JwksCache, tmp_path: Path) -> None:
    """It is not read for that."""
    path = tmp_path / "jwks.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    publisher, web = FilePublisher(path, cache), publication("web", 1)
    with pytest.raises(PublicationError, match="shows no JWKS"):
        publisher.read_back(web)
    publisher.publish(web)
    publisher.read_back(web)
    publisher.close()


def test_folders_above_the_file_can_be_entered_by_a_web_server(cache: JwksCache, tmp_path: Path) -> None:
    """Those that are made, that is, whatever the umask."""
    former = os.umask(0o077)
    try:
        publisher = FilePublisher(tmp_path / "www" / "public" / "jwks.json", cache)
        publisher.publish(publication("web", 1))
    finally:
        os.umask(former)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("www", "www/public")] == [0o755, 0o755]
    publisher.close()
