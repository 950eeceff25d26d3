"""
Three raft nodes that fail in turn, daemons and services at different ones, a restored snapshot, and documents put back.
"""

import itertools
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from rotator.client import (
    InvalidTokenError,
    KeysetReader,
    KeysUnavailableError,
    Rejection,
    Signer,
    VaultSource,
    Verifier,
)
from tests.conftest import need
from tests.support.servers import vault
from tests.support.servers.raft import RaftCluster, RaftNode
from tests.support.site import Site, wait_for

pytestmark = [pytest.mark.vault, pytest.mark.slow, pytest.mark.serial]

LONG = float(os.environ.get("ROTATOR_TEST_SECONDS", "10"))
P, LIFE = 4, 3
KEYSETS = ("web", "internal")


@pytest.fixture
def cluster() -> Iterator[RaftCluster]:
    """Three nodes with a KV store."""
    need(vault.find_vault(build=False), vault.MISSING)
    with RaftCluster() as running:
        running.leader().enable_kv("secret")
        yield running


class Services:
    """
    A signer and verifier of each keyset at each node. Every token is verified at every node until it expires.

    A verifier must know each key that signs, unless what it was shown last was saved more than P ago.
    """

    def __init__(self, cluster: RaftCluster) -> None:
        self.verified = self.refused = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._live: dict[str, list[tuple[str, float]]] = {name: [] for name in KEYSETS}
        self._threads = [
            threading.Thread(target=self._serve, args=(name, node)) for name in KEYSETS for node in cluster.nodes
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _serve(self, name: str, node: RaftNode) -> None:
        source = VaultSource(name, address=node.address, token=node.root_token)
        keys = KeysetReader(source, poll_interval=timedelta(seconds=2)).start(30)
        signer = Signer(keys, issuer="i", audience="a")
        verifier = Verifier(keys, issuer="i", audience="a")
        try:
            while not self._stop.wait(0.2):
                self._sign(name, signer)
                for token, until in tuple(self._live[name]):
                    if time.time() < until:
                        self._verify(name, node, keys, verifier, token, until)
        except Exception as error:  # noqa: BLE001 - a dead service is a failure of the test
            self.failures.append(f"{name} at {node.port} died: {error!r}")
        finally:
            keys.close()

    def _sign(self, name: str, signer: Signer) -> None:
        now = time.time()
        try:
            token = signer.sign("alice", lifetime=timedelta(seconds=LIFE))
        except KeysUnavailableError:
            self.refused += 1
            return
        self._live[name].append((token, int(now) + LIFE - 0.5))
        self._live[name] = [entry for entry in self._live[name] if now < entry[1]]

    def _verify(
        self, name: str, node: RaftNode, keys: KeysetReader, verifier: Verifier, token: str, until: float
    ) -> None:
        try:
            verifier.verify(token)
        except KeysUnavailableError:
            self.refused += 1
        except InvalidTokenError as error:
            if error.reason is Rejection.EXPIRED and time.time() >= until:
                return  # while its key was searched for
            seen_at = keys.verifying().seen_at
            old = time.time() - seen_at.timestamp() if seen_at else 0.0
            if old <= P:
                self.failures.append(f"{name} at {node.port}: {error.reason}; its document is {old:.1f} s old")
        else:
            self.verified += 1


@contextmanager
def daemons(*sites: Site) -> Iterator[None]:
    """Run a daemon at each site."""
    with ExitStack() as running:
        for site in sites:
            running.enter_context(site.daemon(ready=False))
        wait_for(lambda: all(site.ready() for site in sites), 40, lambda: "".join(site.log[-2000:] for site in sites))
        yield


def killed(cluster: RaftCluster) -> None:
    """The active node dies, and comes back."""
    cluster.leader().kill()
    time.sleep(3)
    cluster.heal()


def paused(cluster: RaftCluster) -> None:
    """The active node hangs, is deposed without knowing it, and goes on."""
    cluster.leader().pause()
    time.sleep(5)
    cluster.heal()


def standby_paused(cluster: RaftCluster) -> None:
    """A standby hangs."""
    cluster.standbys()[0].pause()
    time.sleep(3)
    cluster.heal()


def stepped_down(cluster: RaftCluster) -> None:
    """The active node gives up its office."""
    cluster.leader().request("PUT", "sys/step-down")
    cluster.leader()


def put_back(cluster: RaftCluster) -> None:
    """Every document is lost with its versions, and put back from a copy."""
    node = cluster.leader()
    paths = ["keys/web", "jwks/web", "standby/web", "keys/internal", "jwks/internal"]
    copies = {path: node.request("GET", f"secret/data/rotator/{path}")[1]["data"]["data"] for path in paths}
    for path in paths:
        assert node.request("DELETE", f"secret/metadata/rotator/{path}")[0] == 204
    for path, copy in copies.items():
        assert node.request("POST", f"secret/data/rotator/{path}", {"options": {"cas": 0}, "data": copy})[0] == 200


def rotated(sites: list[Site]) -> Callable[[], bool]:
    """Return whether both keysets have rotated since now, and what retired meanwhile is gone."""
    before = {name: sites[0].keys(name, "current")[0]["kid"] for name in KEYSETS}

    def done() -> bool:
        now: dict[str, Any] = {name: sites[0].keys(name, "current") for name in KEYSETS}
        return all(now[name] and now[name][0]["kid"] != before[name] for name in KEYSETS)

    return done


@pytest.mark.timeout(300 + 3 * LONG)
def test_no_token_fails_and_no_key_survives_whatever_happens_to_three_nodes(
    tmp_path: Path, cluster: RaftCluster
) -> None:
    """
    Kills, pauses and elections; every document put back from a copy; a snapshot restored, with what was destroyed in it.

    After each the keysets rotate on. In the end no version of any document holds a key that is gone.
    """
    options = {"rotation": "10s", "propagation": f"{P}s", "life": f"{LIFE}s", "more": "heartbeat = true"}
    sites = [Site(tmp_path / f"site-{n}", node, **options) for n, node in enumerate(cluster.nodes[:2])]
    chance = random.Random(10)  # noqa: S311 - not a secret

    def log() -> str:
        return "".join(site.log[-3000:] for site in sites)

    with Services(cluster) as services:
        with daemons(*sites):
            end = time.monotonic() + LONG
            for strike in itertools.cycle([killed, paused, standby_paused, stepped_down]):
                strike(cluster)
                time.sleep(chance.uniform(0.5, 2))
                if time.monotonic() > end:
                    break
            cluster.snapshot(tmp_path / "snapshot")
        put_back(cluster)
        with daemons(*sites):
            wait_for(rotated(sites), 30, log)

    cluster.restore(tmp_path / "snapshot")
    for site in sites:  # the older state is accepted, as the alarm says
        shutil.rmtree(site.folder / "state")
    with daemons(*sites), Services(cluster) as restarted:
        wait_for(rotated(sites), 30, log)
        wait_for(lambda: sites[0].purged() and not sites[0].keys("internal", "old"), 30, log)

    assert services.failures + restarted.failures == []
    assert services.verified > 1000
    assert restarted.verified > 500
    assert '"reason": "invariant"' not in sites[0].log + sites[1].log
