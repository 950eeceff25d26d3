"""
The recipe for nginx, run by a real nginx on loopback, as the user of the tests.
"""

import contextlib
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.client import FileSource, InvalidTokenError, JwksSource, KeysetReader, Timing, Verifier
from rotator.dev import free_port
from tests.recipes.page import recipe
from tests.recipes.world import AUDIENCE, ISSUER, PERIODS, PROPAGATION, World
from tests.support.site import Site, wait_for

TIMING = Timing(timedelta(seconds=PROPAGATION), timedelta(hours=1), timedelta(seconds=1))
MAIN = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include recipe.conf;
}
"""


@contextlib.contextmanager
def serving(nginx: str, folder: Path, places: dict[str, str]) -> Iterator[None]:
    """Run nginx with the recipe."""
    folder.mkdir()
    (folder / "nginx.conf").write_text(MAIN)
    (folder / "recipe.conf").write_text(recipe("nginx", places))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([nginx, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"], stderr=log)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(10) == 0, (folder / "log").read_text()


@pytest.mark.slow
def test_nginx(nginx: str, tmp_path: Path) -> None:
    """
    The set is served labelled, short-lived and without a redirect; no key signs before that; tokens verify with it.
    """
    address = f"127.0.0.1:{free_port()}"
    site = Site(tmp_path / "site", None, keysets='[keysets.web]\nalgorithm = "RS256"\n', **PERIODS)
    places = {"/var/lib/rotator/public/jwks.json": str(site.folder / "public" / "jwks.json"), "127.0.0.1:8080": address}
    publish = recipe("nginx-publish", places)
    site.config.write_text(re.sub(r"\[publish\]\nfile = .*\n", lambda _: publish, site.config.read_text()))
    with site.daemon(ready=False):
        wait_for(lambda: site.keys("web", "next"), 30, lambda: site.log[-2000:])
        time.sleep(1)
        assert site.keys("web", "current") == []
        with serving(nginx, tmp_path / "nginx", places):
            world = World(site, "web", FileSource(site.folder / "store", "web"))
            url = f"http://{address}/.well-known/jwks.json"
            with urllib.request.urlopen(url) as reply:
                assert (reply.status, reply.url) == (200, url)
                assert reply.headers["Content-Type"] == "application/jwk-set+json"
                (age,) = re.findall(r"^public, max-age=([0-9]+)$", reply.headers["Cache-Control"])
                assert int(age) <= timedelta(hours=2).total_seconds() / 4
            with KeysetReader(JwksSource(url, timing=TIMING)) as keys:
                verifier = Verifier(keys, issuer=ISSUER, audience=AUDIENCE)
                tokens = [world.token()]
                world.rotate()
                tokens.append(world.token())
                assert [verifier.verify(token).subject for token in tokens] == ["alice", "alice"]
                for name, token in world.bad_tokens().items():
                    with pytest.raises(InvalidTokenError):
                        pytest.fail(f"{name}: {verifier.verify(token)}")
            world.reader.close()
