"""
Nodes of the store that show the past: signers stop, purges wait, and what is announced as retired is gone.
"""

import json
import signal
import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from rotator.client import Doubt, KeysetReader, KeysUnavailableError, Signer, VaultSource
from tests.support.peer import Answer, Peer, Request, answer, forward
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer
from tests.support.site import INTERNAL, SLOW, Site, wait_for

pytestmark = [pytest.mark.vault, pytest.mark.redis, pytest.mark.slow]

P = 4
LIFE = timedelta(seconds=5)


class CutOff:
    """
    A node that knows what it knew when it was asked first, and answers every read with that.
    """

    def __init__(self, server: VaultServer) -> None:
        self._server, self._known = server, dict[str, Any]()

    def __call__(self, request: Request) -> Answer:
        """Answer from memory."""
        if request.path not in self._known:
            path = request.path.removeprefix("/v1/")
            self._known[request.path] = self._server.request(request.method, path, token=self._server.root_token)
        return answer(*self._known[request.path])


class Behind:
    """
    A standby that answers reads itself, and shows each write so many seconds late.

    *kinds* says in what: documents ("data"), and their lists of versions ("metadata").
    """

    def __init__(self, server: VaultServer, lag: float, *kinds: str) -> None:
        self._server, self._lag, self._kinds = server, lag, kinds
        self._past: dict[str, tuple[float, bytes]] = {}
        self.shown = 0

    def __call__(self, request: Request) -> Answer:
        """Forward a write; answer a read as it was before the last one."""
        # data/, metadata/ and destroy/ are about the same document.
        mount, _, document = request.path.removeprefix("/v1/").partition("/")[2].partition("/")
        del mount
        if request.method != "GET":
            token = request.headers.get("x-vault-token", "")
            for kind in self._kinds:
                path = f"/v1/secret/{kind}/{document}"
                if request.path.startswith("/v1/secret/") and path not in self._past:
                    before = Request("GET", path, {"x-vault-token": token}, b"")
                    self._past[path] = (time.monotonic() + self._lag, forward(self._server, before))
            return forward(self._server, request)
        until, past = self._past.get(request.path, (0.0, b""))
        if time.monotonic() < until:
            self.shown += 1
            return past
        self._past.pop(request.path, None)
        return forward(self._server, request)


def seen_at(site: Site) -> datetime:
    """Return when the keyset was saved last."""
    document = site.document("keys", "internal")
    assert document is not None
    return datetime.fromisoformat(document["seen_at"])


def reader_at(address: str, site: Site) -> KeysetReader:
    """Return a reader of the keyset at *address*."""
    assert site.vault is not None
    source = VaultSource("internal", address=address, mount=site.mount, token=site.vault.root_token)
    return KeysetReader(source)


@pytest.mark.timeout(120)
def test_signers_stop_within_p_of_the_last_word_of_a_daemon(
    tmp_path: Path, vault_server: VaultServer, mount: str, redis_server: RedisServer
) -> None:
    """At a node that is cut off, and everywhere when the daemon hangs; a heartbeat tells no consumer anything."""
    options = SLOW | {"propagation": f"{P}s", "keysets": INTERNAL, "more": "heartbeat = true"}
    site = Site(tmp_path, vault_server, mount, redis_server, **options)
    events = redis.Redis.from_url(redis_server.url)
    with site.daemon() as daemon:
        wait_for(lambda: site.confirmed("internal"), 20, lambda: site.log[-2000:])
        with (
            Peer(CutOff(vault_server)) as node,
            reader_at(node.address, site) as past,
            reader_at(vault_server.address, site) as present,
        ):
            signers = {name: Signer(keys, issuer="i", audience="a") for name, keys in (("p", past), ("c", present))}
            assert all(signer.sign("alice", lifetime=LIFE) for signer in signers.values())
            before = (present.status.sequence, events.xlen("rotator:events"), len(node.requests))
            moments = set()
            end = time.monotonic() + P + 3
            while time.monotonic() < end:
                moments.add(seen_at(site))
                assert signers["c"].sign("alice", lifetime=LIFE)
                time.sleep(0.1)

            seen = sorted(moments)
            assert all(b - a <= timedelta(seconds=3) for a, b in pairwise(seen))
            assert len(seen) >= 4
            assert (present.status.sequence, events.xlen("rotator:events")) == before[:2]
            with pytest.raises(KeysUnavailableError) as refused:
                signers["p"].sign("alice", lifetime=LIFE)
            assert refused.value.doubt is past.status.doubt is Doubt.UNSEEN
            # Half of P between polls, and a fifth off.
            assert len(node.requests) - before[2] <= 2 * (P + 3)

            daemon.send_signal(signal.SIGSTOP)
            stopped = time.monotonic()
            wait_for(lambda: present.status.doubt is Doubt.UNSEEN, P + 5)
            assert time.monotonic() - stopped >= P - 2
            daemon.send_signal(signal.SIGCONT)
            wait_for(lambda: present.status.doubt is None, 10, lambda: site.log[-2000:])
            assert signers["c"].sign("alice", lifetime=LIFE)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kinds", [("data",), ("data", "metadata")], ids="-".join)
def test_behind_a_standby_a_key_is_retired_when_it_is_gone(
    tmp_path: Path, fresh_vault: VaultServer, redis_server: RedisServer, kinds: tuple[str, ...]
) -> None:
    """Whatever the daemon reads right after a write is the past; at each event no version holds the key any more."""
    fresh_vault.enable_kv("secret")
    options = {"rotation": "5s", "propagation": "2s", "life": "1s", "keysets": INTERNAL}
    site = Site(tmp_path, fresh_vault, "secret", redis_server, **options)
    behind = Behind(fresh_vault, 0.8, *kinds)
    stream, feed = redis.Redis.from_url(redis_server.url), f"rotator:{'-'.join(kinds)}"
    text = site.config.read_text().replace("[redis]", f'[redis]\nchannel = "{feed}"')
    with Peer(behind) as node:
        site.config.write_text(text.replace(fresh_vault.address, node.address))
        with site.daemon():
            gone: list[str] = []
            last, end = b"0", time.monotonic() + 60
            while not gone:
                assert time.monotonic() < end, site.log[-3000:]
                read: Any = stream.xread({feed: last}, block=500)
                for entry, fields in read[0][1] if read else ():
                    last = entry
                    event = json.loads(fields[b"event"])
                    if event["type"] == "rotator.key.retired":
                        kid = event["data"]["kid"]
                        versions = site.versions("keys", "internal").values()
                        assert all(kid not in {key["kid"] for key in version["keys"]} for version in versions)
                        gone.append(kid)
    assert behind.shown > 5
    assert "purge_pending" in site.log
