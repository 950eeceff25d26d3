"""
A hundred services on rotator.client, verifying under load while keys rotate every few seconds and servers come and go.
"""

import asyncio
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from rotator.client import (
    InvalidTokenError,
    JwksSource,
    KeysetReader,
    KeysUnavailableError,
    RedisHints,
    Signer,
    Source,
    Timing,
    VaultSource,
    Verifier,
)
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer
from tests.support.site import Site, wait_for

ISSUER, AUDIENCE = "https://login.example", "api"
LIFE, PROPAGATION = 5, 4.0
KEYSETS = '[keysets.web]\nalgorithm = "RS256"\n\n[keysets.internal]\nalgorithm = "HS256"\nreaders = "keys"\n'
TIMING = Timing(timedelta(seconds=PROPAGATION), timedelta(seconds=LIFE), timedelta(seconds=1))
LONG = float(os.environ.get("ROTATOR_TEST_SECONDS", "30"))
CONSUMERS = 100


class Services:
    """
    Signers that sign ten tokens a second with each keyset, and consumers that verify them until they expire.

    Half of the consumers read the HMAC keyset from Vault, half the JWKS; every tenth is a task of asyncio, the others
    are threads. Each has a reader of its own, as a process would.
    """

    def __init__(self, site: Site) -> None:
        assert site.vault is not None
        assert site.redis is not None
        self._site, self._hints = site, RedisHints(site.redis.url)
        self._live: dict[str, list[tuple[str, str, float]]] = {"web": [], "internal": []}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._readers: list[KeysetReader] = []
        self._threads: list[threading.Thread] = []
        self.verified: Counter[str] = Counter()
        self.failures: list[str] = []
        self.accepted: dict[str, float] = {}
        self.revoked: set[str] = set()
        self.signed = 0

    def __enter__(self) -> Self:
        for name in self._live:
            for _ in range(2):
                self._spawn(self._sign, name, Signer(self._reader(self._vault(name)), issuer=ISSUER, audience=AUDIENCE))
        tasks = []
        for number in range(CONSUMERS):
            name = ("web", "internal")[number % 2]
            source = JwksSource(self._site.jwks_url, timing=TIMING) if name == "web" else self._vault(name)
            verifier = Verifier(self._reader(source), issuer=ISSUER, audience=AUDIENCE)
            if number % 10:
                self._spawn(self._consume, name, verifier)
            else:
                tasks.append((("web", "internal")[number % 2], verifier))
        self._spawn(self._consume_in_tasks, tasks)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        with ThreadPoolExecutor(len(self._readers)) as pool:  # each waits for its listener's next look at its socket
            list(pool.map(KeysetReader.close, self._readers))

    def _vault(self, name: str) -> VaultSource:
        vault = self._site.vault
        assert vault is not None
        return VaultSource(name, address=vault.address, mount=self._site.mount, token=vault.root_token)

    def _reader(self, source: Source) -> KeysetReader:
        self._readers.append(KeysetReader(source, hints=self._hints).start(30))
        return self._readers[-1]

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        def guarded() -> None:
            try:
                work(*arguments)
            except Exception as error:  # noqa: BLE001 - a service that dies is a failure of the test
                self.failures.append(f"a service died: {error!r}")

        self._threads.append(threading.Thread(target=guarded))
        self._threads[-1].start()

    def _sign(self, name: str, signer: Signer) -> None:
        while not self._stop.wait(0.2):
            now = (
                time.time()
            )  # before signing: a thread that loses its turn after that must not think the token younger
            try:
                token = signer.sign("alice", lifetime=timedelta(seconds=LIFE))
            except KeysUnavailableError:
                continue  # cut off from Vault for as long as the propagation time: a signer has to stop
            kid = json.loads(_padded(token.partition(".")[0]))["kid"]
            with self._lock:
                self.signed += 1
                live = self._live[name]
                live.append((token, kid, now + LIFE - 1.5))
                self._live[name] = [entry for entry in live if entry[2] > now]

    def _consume(self, name: str, verifier: Verifier) -> None:
        while not self._stop.wait(random.uniform(0.02, 0.06)):  # noqa: S311
            for token, kid, until in self._some(name):
                try:
                    verifier.verify(token)
                except (InvalidTokenError, KeysUnavailableError) as error:
                    self._refused(name, kid, until, error)
                else:
                    self._accepted(name, kid)

    def _consume_in_tasks(self, consumers: list[tuple[str, Verifier]]) -> None:
        async def consume(name: str, verifier: Verifier) -> None:
            while not self._stop.is_set():
                await asyncio.sleep(random.uniform(0.02, 0.06))  # noqa: S311
                for token, kid, until in self._some(name):
                    try:
                        await verifier.averify(token)
                    except (InvalidTokenError, KeysUnavailableError) as error:
                        self._refused(name, kid, until, error)
                    else:
                        self._accepted(name, kid)

        async def all_of_them() -> None:
            await asyncio.gather(*(consume(*consumer) for consumer in consumers))

        asyncio.run(all_of_them())

    def _some(self, name: str) -> list[tuple[str, str, float]]:
        with self._lock:
            live = self._live[name]
            return random.sample(live, min(2, len(live)))

    def _refused(self, name: str, kid: str, until: float, error: Exception) -> None:
        if kid not in self.revoked and time.time() < until:
            self.failures.append(f"{name} {kid} at {time.time():.1f}: {getattr(error, 'reason', error)}")

    def _accepted(self, name: str, kid: str) -> None:
        with self._lock:
            self.verified[name] += 1
            self.accepted[kid] = time.time()


def _padded(segment: str) -> bytes:
    from base64 import urlsafe_b64decode  # noqa: PLC0415

    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(120 + 2 * LONG)
def test_a_hundred_consumers_fail_no_good_token_and_take_no_revoked_one(
    tmp_path: Path, fresh_vault: VaultServer, fresh_redis: RedisServer
) -> None:
    """Nothing fails while keys rotate, Redis restarts and dies, and Vault restarts. A revoked kid is refused in time."""
    fresh_vault.enable_kv("secret")
    site = Site(
        tmp_path, fresh_vault, redis=fresh_redis, rotation="6s", propagation="4s", life=f"{LIFE}s", keysets=KEYSETS
    )
    with site.daemon():
        wait_for(lambda: all(site.keys(name, "current") for name in ("web", "internal")), 30, lambda: site.log[-2000:])
        with Services(site) as services:
            time.sleep(LONG / 5)
            fresh_redis.restart()
            time.sleep(LONG / 5)
            fresh_vault.restart()
            time.sleep(LONG / 5)
            fresh_redis.kill()
            time.sleep(LONG / 10)
            fresh_redis.start()
            time.sleep(LONG / 10)
            before = dict(services.verified)
            for name in ("web", "internal"):
                (current,) = site.keys(name, "current")
                services.revoked.add(current["kid"])
                done = site.run("revoke", "--reason", "test", "--", name, current["kid"])
                assert done.returncode == 0, done.stderr
            promised = time.time() + PROPAGATION
            time.sleep(PROPAGATION + 3)

    assert services.failures == []
    for kid in services.revoked:
        assert services.accepted.get(kid, 0) <= promised
    # The revoked kids were in use, and everybody went on with their successors.
    assert services.revoked <= services.accepted.keys()
    assert all(services.verified[name] > before[name] > 100 * LONG for name in ("web", "internal")), services.verified
    rotations = Counter(
        line["keyset"]
        for line in map(json.loads, filter(None, site.log.splitlines()))
        if line["event"] == "key_activated" and line["reason"] != "first key"
    )
    assert all(rotations[name] >= LONG / 12 for name in ("web", "internal")), rotations
    print(
        f"{sum(services.verified.values())} verified, {services.signed} signed, rotations {dict(rotations)}, 0 failed"
    )
