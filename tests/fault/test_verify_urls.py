"""
Addresses that never answer, or never end: they hold the keys that they should show, and nothing else.
"""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.peer import Answer, Peer, Request, answer
from tests.support.site import Site, wait_for

PAIRS = [f"web{number}" for number in range(6)]
SECRETS = [f"internal{number}" for number in range(26)]
KEYSETS = "".join(f"[keysets.{name}]\nwell_known = false\n" for name in PAIRS) + "".join(
    f'[keysets.{name}]\nalgorithm = "HS256"\n' for name in SECRETS
)


def silent() -> Answer:
    """Accept, and never say a word."""
    return [600.0]


def dripping() -> Answer:
    """Say a byte now and then."""
    return [b"HTTP/1.1 200 OK\r\n", *([b"X", 0.3] * 2000)]


def never_ending() -> Answer:
    """Announce an answer, again and again."""
    return (b"HTTP/1.1 100 Continue\r\n\r\n" * 100 for _ in iter(int, 1))


class Elsewhere:
    """
    A web server of others, which shows what the store holds until it is made to do something else.
    """

    def __init__(self) -> None:
        self.site: Site | None = None
        self.bad: Callable[[], Answer] | None = None

    def __call__(self, request: Request) -> Answer:
        """Answer for the keyset in the path."""
        if self.bad is not None:
            return self.bad()
        assert self.site is not None
        document = self.site.document("jwks", request.path.strip("/").removesuffix(".json"))
        return answer(200, document["jwks"]) if document else answer(404)


def site_with(folder: Path, peer: Peer, **timing: str) -> Site:
    """Return a site of 32 keysets whose keys should be found at the peer."""
    site = Site(folder, None, keysets=KEYSETS, **timing)
    text = site.config.read_text().replace('file = "public/jwks.json"', 'file = ""', 1)
    site.config.write_text(text.replace("[admin]", f'verify_urls = ["{peer.address}/{{keyset}}.json"]\n[admin]', 1))
    return site


def served(site: Site, keyset: str) -> str:
    """Return the JWKS that the listener serves."""
    return site.get(f"/keysets/{keyset}/jwks.json")[1]


def late(site: Site) -> list[str]:
    """Return what /readyz says of keysets that were not looked at in time."""
    words = json.loads(site.get("/readyz", admin=True)[1])["keysets"]
    return [f"{name}: {word}" for name, word in words.items() if "last seen" in word or "not looked at" in word]


@pytest.mark.parametrize("bad", [silent, dripping, never_ending])
def test_an_address_that_never_answers_delays_no_creation(tmp_path: Path, bad: Callable[[], Answer]) -> None:
    """All keysets are there within seconds and looked at on time; those of secrets sign, the others say what is wrong."""
    elsewhere = Elsewhere()
    elsewhere.bad = bad
    with Peer(elsewhere) as peer:
        site = site_with(tmp_path, peer, rotation="1h", propagation="8s", life="10s")
        with site.daemon(ready=False):
            begun = time.monotonic()
            wait_for(lambda: all(site.keys(name, "current") for name in SECRETS), 15, lambda: site.log[-2000:])
            wait_for(lambda: all(site.keys(name, "next") for name in PAIRS), 15, lambda: site.log[-2000:])
            wait_for(lambda: not late(site), 5)
            created = time.monotonic() - begun
            while time.monotonic() - begun < created + 3:
                assert late(site) == []
                time.sleep(0.2)
            wait_for(lambda: f'"keyset": "{PAIRS[0]}", "reason": "publication not confirmed"' in site.log, 15)
            assert not any(site.keys(name, "current") for name in PAIRS)
        assert created < 10


def test_a_revoked_key_is_gone_at_once_while_an_address_is_silent(tmp_path: Path) -> None:
    """Load and publish come first; polls go on meanwhile, and rotation does, once the address answers again."""
    elsewhere = Elsewhere()
    with Peer(elsewhere) as peer:
        elsewhere.site = site = site_with(tmp_path, peer, rotation="1h", propagation="4s", life="10s")
        with site.daemon(ready=False):
            wait_for(lambda: all(site.keys(name, "current") and site.confirmed(name) for name in PAIRS), 30)
            elsewhere.bad = silent
            times = {}
            for name in PAIRS[:3]:
                (current,) = site.keys(name, "current")
                assert current["kid"] in served(site, name)
                assert site.run("revoke", name, current["kid"]).returncode == 0
                begun = time.monotonic()
                wait_for(lambda name=name, kid=current["kid"]: kid not in served(site, name), 5)  # type: ignore[misc]
                times[name] = time.monotonic() - begun
                assert late(site) == []
            assert max(times.values()) < 1.2, times  # a look at the file store comes each half second
            elsewhere.bad = None
            wait_for(lambda: all(site.confirmed(name) for name in PAIRS[:3]), 20, lambda: site.log[-2000:])
            wait_for(lambda: not re.search("not confirmed", site.get("/readyz", admin=True)[1]), 10)


def test_a_slow_address_confirms_one_pass_later(tmp_path: Path) -> None:
    """Keys sign, and rotate, about as soon as its answers allow; no alarm is raised and no hold reported."""
    elsewhere = Elsewhere()
    with Peer(lambda request: [0.9, _whole(elsewhere(request))]) as peer:
        elsewhere.site = site = site_with(tmp_path, peer, rotation="8s", propagation="4s", life="10s")
        site.config.write_text(site.config.read_text().partition("[keysets.web1]")[0])
        with site.daemon():
            wait_for(lambda: site.rotations("web0"), 40, lambda: site.log[-3000:])
        assert '"alarm"' not in site.log
        assert "publication not confirmed" not in site.log


def _whole(given: Answer) -> bytes:
    assert isinstance(given, bytes)
    return given
