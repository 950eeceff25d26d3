"""
Clocks of Vault, of the daemon's host and of a command that step, or differ.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rotator.model.times import parse_time
from tests.support.clock_shim import ShiftedSite
from tests.support.peer import Peer, Request, answer
from tests.support.servers.vault import VaultServer
from tests.support.site import INTERNAL, WEB, wait_for

pytestmark = pytest.mark.slow
LONG = "ROTATOR_TEST_SECONDS" in os.environ
YEAR = 365 * 86400


class SteppingVault:
    """
    A real Vault whose clock a test moves: `date` for its replies, `commit` for what it saves, in seconds.
    """

    def __init__(self, server: VaultServer) -> None:
        self._server = server
        self.date = self.commit = 0.0

    def __call__(self, request: Request) -> bytes:
        """Answer as the real one does, by this one's clocks."""
        token = request.headers.get("x-vault-token", "")
        status, body = self._server.request(request.method, request.path.removeprefix("/v1/"), request.json, token)
        return answer(status, self._dated(body) or None, date=formatdate(time.time() + self.date, usegmt=True))

    def _dated(self, body: Any) -> Any:
        if isinstance(body, dict):
            return {name: self._moved(name, value) for name, value in body.items()}
        return body

    def _moved(self, name: str, value: Any) -> Any:
        if name == "created_time" and value:
            return (parse_time(value) + timedelta(seconds=self.commit)).isoformat()
        return self._dated(value)


@contextmanager
def site_at(
    shim: Path, folder: Path, server: VaultServer, mount: str, keysets: str = INTERNAL, **options: str
) -> Iterator[tuple[ShiftedSite, SteppingVault]]:
    """Yield a site on a Vault with movable clocks, and these."""
    clocks = SteppingVault(server)
    with Peer(clocks) as peer:
        vault = SimpleNamespace(address=peer.address, root_token=server.root_token, request=server.request)
        yield ShiftedSite(shim, folder, vault, mount=mount, keysets=keysets, **options), clocks  # type: ignore[arg-type]


def looks(site: ShiftedSite) -> str:
    """Return when the keyset was seen last, by the daemon's metrics."""
    _, body = site.get("/metrics", admin=True)
    found = re.search(r"rotator_last_success_timestamp_seconds\S+ (\S+)", body)
    return found[1] if found else ""


def changes(probe: Callable[[], str]) -> None:
    """Wait until the answer is another one."""
    before = probe()
    wait_for(lambda: probe() not in {before, ""}, 3)


def test_vault_and_daemon_on_one_host(tmp_path: Path, shim: Path, vault_server: VaultServer, mount: str) -> None:
    """Their clock steps under both: nothing is dated by the new time, and all goes on when it is back."""
    with site_at(shim, tmp_path, vault_server, mount, propagation="8s", rotation="1h", life="5s") as (site, vault):
        with site.daemon():
            wait_for(lambda: site.confirmed("internal"), 20, lambda: site.log[-2000:])
            before = site.document("keys", "internal")
            for step in (YEAR, -YEAR):
                site.clock.set(step)
                vault.date = vault.commit = step
                (fault,) = wait_for(site.faults, 3, lambda: site.log[-2000:])
                assert ("ahead of" if step > 0 else "behind") in fault
                changes(lambda: looks(site))
                assert site.get("/healthz", admin=True)[0] == 200
                site.clock.set(0)
                vault.date = vault.commit = 0
                wait_for(lambda: not site.faults(), 3, lambda: site.log[-2000:])
            assert site.document("keys", "internal") == before
        alarms = [line["event"] for line in site.lines("alarm", "alarm_cleared")]
        assert alarms == ["alarm", "alarm_cleared"] * 2
        assert [line["seconds"] for line in site.lines("clock_stepped")] == [YEAR, -YEAR, -YEAR, YEAR]


def test_the_daemons_host_alone_is_wrong(tmp_path: Path, shim: Path, vault_server: VaultServer, mount: str) -> None:
    """It says by how much and which way; nothing else happens, and nothing is left of it."""
    with (
        site_at(shim, tmp_path, vault_server, mount, propagation="5s", rotation="1h", life="5s") as (site, _),
        site.daemon(),
    ):
        wait_for(lambda: site.confirmed("internal"), 20, lambda: site.log[-2000:])
        before = site.document("keys", "internal")
        for step, says in ((-3600, "behind"), (3600, "ahead of")):
            site.clock.set(step)
            (fault,) = wait_for(site.faults, 3, lambda: site.log[-2000:])
            assert re.search(rf"the local clock is (3599|360[01]) s {says} the store's", fault), fault
            changes(lambda: looks(site))
            site.clock.set(0)
            wait_for(lambda: not site.faults(), 3, lambda: site.log[-2000:])
        assert site.document("keys", "internal") == before


def test_two_nodes_with_two_clocks(tmp_path: Path, shim: Path, vault_server: VaultServer, mount: str) -> None:
    """What the slow one commits seems to be from before the key was made: its propagation is not cut short by that."""
    with site_at(shim, tmp_path, vault_server, mount, propagation="3s", rotation="1h", life="5s") as (site, vault):
        vault.commit = -3600
        with site.daemon(ready=False):
            wait_for(lambda: "two clocks of the store differ" in "".join(site.faults()), 10, lambda: site.log[-2000:])
            (key,) = wait_for(lambda: site.confirmed("internal"), 20, lambda: site.log[-2000:])
            assert key["published_at"] >= key["created_at"]
            assert parse_time(key["usable_at"]) - parse_time(key["published_at"]) >= timedelta(seconds=3)


@pytest.mark.parametrize("backend", ["vault", "file"])
def test_a_command_whose_clock_is_wrong_rotates_nothing(
    tmp_path: Path, shim: Path, vault_server: VaultServer, mount: str, backend: str
) -> None:
    """It exits 3 with the difference and the way out, and takes no former rotation for its own."""
    site = ShiftedSite(
        shim, tmp_path, vault_server if backend == "vault" else None, mount=mount, keysets=WEB, propagation="2s",
        rotation="1h", life="5s",
    )  # fmt: skip
    with site.daemon():
        wait_for(site.confirmed, 20, lambda: site.log[-2000:])
        wait_for(lambda: site.run("rotate-now", "web").returncode == 0, 20)
        (current,) = site.keys("web", "current")
        for shift in (-YEAR, -3600, -20, 20, 3600, YEAR) if LONG else (-20, YEAR):
            told = site.run_at(shift, "rotate-now", "web")
            assert told.returncode == 3, (shift, told)
            assert "clock not trusted: " in told.stderr, shift
            assert "already" not in told.stdout
        assert [key["kid"] for key in site.keys("web", "current")] == [current["kid"]]
        again = site.run_at(-3600, "rotate-now", "web", "--op-id", current["activated_by"])
        assert (again.returncode, "already rotated" in again.stdout) == (0, True)
