"""
Files that hang: other keysets go on, it is said what hangs, and SIGTERM ends the daemon all the same.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.site import INTERNAL, SLOW, WEB, Site, wait_for

# A daemon whose store hangs for one keyset, as a network mount does whose server is away: in the kernel, for good.
HANGING = """
import os, sys
from rotator.adapters.files.store import FileStore
from rotator.cli import main

load = FileStore.load

def hanging(self, tree, keyset):
    if keyset == "web":
        read, _ = os.pipe()
        os.read(read, 1)
    return load(self, tree, keyset)

FileStore.load = hanging
sys.argv[0] = "rotator"
main()
"""


def alarms(site: Site) -> dict[str, str]:
    """Return the alarms of the daemon: reason and detail of each, by keyset."""
    found = json.loads(site.get("/readyz", admin=True)[1] or "{}").get("alarms", [])
    return {f"{alarm['keyset']}: {alarm['reason']}": alarm["detail"] for alarm in found}


@pytest.mark.parametrize("place", ["public/jwks.json", "public/.jwks.json.lock", "state/login.json"])
def test_a_fifo_where_a_file_should_be_stops_nothing(tmp_path: Path, place: str) -> None:
    """The keyset of secrets signs, what is refused is named, and SIGTERM ends the daemon within seconds."""
    site = Site(tmp_path, None, **SLOW)
    (tmp_path / place).parent.mkdir(mode=0o755)
    os.mkfifo(tmp_path / place, 0o600)
    with site.daemon(ready=False) as process:
        wait_for(lambda: site.keys("internal", "current"), 20, lambda: site.log[-2000:])
        if place == "public/jwks.json":
            (detail,) = wait_for(lambda: [d for r, d in alarms(site).items() if r == "web: publisher failed"], 10)
            assert detail.endswith("jwks.json is a symbolic link or no regular file; remove it, or name another path")
        else:
            site.at_rest()
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 5


def test_a_fifo_in_the_place_of_a_document_stops_one_keyset(tmp_path: Path) -> None:
    """The other one is created and signs."""
    site = Site(tmp_path, None, **SLOW)
    (tmp_path / "store" / "keys").mkdir(parents=True, mode=0o700)
    (tmp_path / "store").chmod(0o700)
    os.mkfifo(tmp_path / "store" / "keys" / "internal.json", 0o600)
    with site.daemon(ready=False):
        site.at_rest()
        (detail,) = wait_for(lambda: [d for r, d in alarms(site).items() if r == "internal: store unavailable"], 10)
        assert detail.endswith("internal.json: it is no regular file")


def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    """Keys are made and rotated, a reload is answered, and SIGTERM ends the daemon; the reader finds how much it lost."""
    site = Site(tmp_path, None, keysets=INTERNAL, rotation="6s", propagation="1s", life="2s")
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    process = subprocess.Popen(site.command("run"), stdout=write, stderr=write, env=site.environ())
    os.close(write)
    try:
        wait_for(site.ready, 20)
        (first,) = site.keys("internal", "current")
        wait_for(lambda: first["kid"] not in {key["kid"] for key in site.keys("internal", "current")}, 20)
        assert site.run("reload").returncode == 0
        os.read(read, 1 << 16)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        told = [json.loads(line) for line in os.read(read, 1 << 16).decode().splitlines()]
        assert [line["lines"] for line in told if line["event"] == "lines_lost"] > [0]
    finally:
        process.kill()
        process.wait()
        os.close(read)


@pytest.mark.slow
def test_sigterm_ends_a_daemon_whose_pass_hangs(tmp_path: Path) -> None:
    """With exit code 0 and within half a minute; until then the other keyset goes on, and the alarm says what hangs."""
    site = Site(tmp_path, None, keysets=WEB + INTERNAL, rotation="12s", propagation="2s", life="4s")
    command = [sys.executable, "-c", HANGING, "--config", str(site.config), "run"]
    with (tmp_path / "daemon.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=site.environ())
    try:
        wait_for(lambda: site.rotations("internal"), 30, lambda: site.log[-2000:])
        detail = wait_for(lambda: alarms(site).get("web: pass hangs"), 30, lambda: site.log[-2000:])
        assert "in rotator.reconcile.observe.Observer.observe; other keysets go on" in detail
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert '"left_hanging"' in site.log
    finally:
        process.kill()
        process.wait()
