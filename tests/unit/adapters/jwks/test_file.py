"""
The JWKS as a file for a web server: its modes, its owner, and what it waits for.
"""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.file import FilePublisher
from rotator.documents.jwk import parse_jwks
from rotator.errors import ConfigError, PublicationError
from tests.support.publications import jwks, kid, publication

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
    with pytest.raises(PublicationError, match="File exists"):
        FilePublisher(str(tmp_path / "plain" / "jwks.json"), cache).publish(publication("web", 1))
    with pytest.raises(ConfigError, match="name of the file"):
        FilePublisher(str(tmp_path / "{keyset}" / "jwks.json"), cache)
