"""
A keyset at work, and the play that every verifying recipe has to get through.
"""

import base64
import functools
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from rotator.client import REFRESH, KeysetReader, Signer, Source
from tests.recipes.service import Service
from tests.support.servers.vault import VaultServer
from tests.support.site import Site, wait_for

ISSUER, AUDIENCE = "https://login.example", "api"
PROPAGATION = 2
FLOOD = 40
PERIODS = {"rotation": "2h", "propagation": f"{PROPAGATION}s", "life": "1h"}
SECRET = "9d6b3f1c0a58e7724bd1c96e30f5a8279d6b3f1c0a58e7724bd1c96e30f5a827"


class World:
    """
    One keyset of a running site: tokens of its signer, forgeries of them, and rotations when they are wanted.
    """

    def __init__(self, site: Site, keyset: str, source: Source) -> None:
        self.site, self.keyset = site, keyset
        wait_for(lambda: site.keys(keyset, "current"), 30, lambda: site.log[-2000:])
        self.reader = KeysetReader(source).start()

    @property
    def document(self) -> dict[str, Any]:
        """
        The signing document as it is now.
        """
        document = self.site.document("keys", self.keyset)
        assert document is not None
        return document

    def rotate(self) -> None:
        """
        Rotate as soon as the policy allows it.
        """
        (next_key,) = wait_for(self._next, 30, lambda: self.site.log[-2000:])
        usable = datetime.fromisoformat(next_key["usable_at"])
        time.sleep(max(0.0, (usable - datetime.now(UTC)).total_seconds()) + 0.1)
        done = self.site.run("rotate-now", self.keyset)
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.document["kid"] == next_key["kid"]

    def _next(self) -> list[dict[str, Any]]:
        return [key for key in self.site.keys(self.keyset, "next") if key.get("usable_at")]

    def token(self, *, issuer: str = ISSUER, audience: str = AUDIENCE, typ: str = "at+jwt", age: int = 0) -> str:
        """
        Return a token about Alice, signed with the key that is current now.
        """
        self.reader.refresh()
        signer = Signer(self.reader, issuer=issuer, audience=audience, typ=typ)
        token = signer.sign("alice", lifetime=timedelta(minutes=5), issued_at=int(time.time()) - age)
        assert jwt.get_unverified_header(token)["kid"] == self.document["kid"]
        return token

    def bad_tokens(self) -> dict[str, str]:
        """
        Return what no service may accept: forgeries, and genuine tokens for others or that have expired.
        """
        forge = forge_rsa if self.document["algorithm"] == "RS256" else forge_hmac
        return {
            **forge(self.document, self.token()),
            "another issuer": self.token(issuer="https://other.example"),
            "another audience": self.token(audience="other"),
            "a refresh token": self.token(typ=REFRESH),
            "expired": self.token(age=600),
        }


def forge_rsa(document: dict[str, Any], token: str) -> dict[str, str]:
    """
    Return forgeries of *token* without the private key, and one with it that uses another algorithm.
    """
    claims = jwt.decode(token, options={"verify_signature": False})
    kid, stranger = document["kid"], _stranger()
    named = {"kid": kid, "typ": "at+jwt"}
    embedded = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key()))
    return {
        "another key under the kid": jwt.encode(claims, stranger, "RS256", named),
        "an unknown key": jwt.encode(claims, stranger, "RS256", {**named, "kid": "stranger"}),
        "a key in the header": jwt.encode(claims, stranger, "RS256", {**named, "jwk": embedded}),
        "HMAC with the public key": _hs256({**named, "alg": "HS256"}, claims, document["current_public"].encode()),
        "another algorithm of the key": jwt.encode(claims, document["current"], "PS256", named),
        "unsigned": jwt.encode(claims, None, "none", named),
    }


def forge_hmac(document: dict[str, Any], token: str) -> dict[str, str]:
    """
    Return forgeries of *token* without the secret, and one with it that uses another algorithm.
    """
    claims = jwt.decode(token, options={"verify_signature": False})
    named = {"kid": document["kid"], "typ": "at+jwt"}
    return {
        "another secret under the kid": jwt.encode(claims, SECRET, "HS256", named),
        "an unknown secret": jwt.encode(claims, SECRET, "HS256", {**named, "kid": "stranger"}),
        "another secret without a kid": jwt.encode(claims, SECRET, "HS256", {"typ": "at+jwt"}),
        "another algorithm of the secret": jwt.encode(claims, document["current"], "HS512", named),
        "unsigned": jwt.encode(claims, None, "none", named),
    }


@dataclass(frozen=True)
class Scene:
    """
    Services that verify the tokens of a world, by name; `cut` takes away what they read.

    `fetches` says how often each service read it, where that is known.
    """

    world: World
    services: Mapping[str, Service]
    cut: Callable[[], None]
    fetches: Callable[[], dict[str, int]] = dict
    good: list[str] = field(default_factory=list)

    def require(self, bad: Mapping[str, str]) -> None:
        """
        Fail unless every service accepts a new token at once, and all from before; and then refuses the bad ones.
        """
        self.good.append(self.world.token())
        services = self.services.items()
        refused = [
            (name, number)
            for name, service in services
            for number, token in enumerate(self.good)
            if not service.accepts(token)
        ]
        accepted = [(name, what) for name, service in services for what, token in bad.items() if service.accepts(token)]
        assert (refused, accepted) == ([], [])

    def require_measure(self) -> None:
        """
        Fail unless each service reads by itself in time, and seldom for tokens with unknown keys, which cost nothing.
        """
        before = self.fetches()
        for number in range(FLOOD):
            named = {"kid": f"stranger-{number}", "typ": "at+jwt"}
            token = jwt.encode({"sub": "alice"}, _stranger(), "RS256", named)
            assert [name for name, service in self.services.items() if service.accepts(token)] == []
        then = self.fetches()
        assert [name for name in then if then[name] - before[name] >= FLOOD / 4] == []
        wait_for(
            lambda: self._all_accept() and all(now > then[name] for name, now in self.fetches().items()), PROPAGATION
        )

    def _all_accept(self) -> bool:
        return all(service.accepts(self.good[-1]) for service in self.services.values())


def require_verifiers(*scenes: Scene) -> None:
    """
    The play: good tokens are accepted before and after two rotations and in an outage, bad ones never.

    The key of the second rotation is made after the services began: they have to read again. The bad tokens come first,
    so that no key is found by a search for an unknown one, which libraries do only once in a while.
    """
    for scene in scenes:
        scene.require(scene.world.bad_tokens())
        scene.require_measure()
    for _ in range(2):
        for scene in scenes:
            scene.world.rotate()
            scene.require({})
    for scene in scenes:
        scene.cut()
    time.sleep(PROPAGATION / 2)
    for scene in scenes:
        scene.require(scene.world.bad_tokens())


def signer_token(world: World, vault: VaultServer) -> str:
    """
    Return a Vault token that may do what `rotator policy signer` says, and nothing else.
    """
    policy = world.site.run("policy", "signer", world.keyset)
    assert policy.returncode == 0, policy.stderr
    vault.policy(f"signer-{world.keyset}", policy.stdout)
    return vault.token([f"signer-{world.keyset}"])


def revoke(vault: VaultServer, token: str) -> None:
    """
    Have Vault answer 403 to *token* from now on.
    """
    assert vault.request("POST", "auth/token/revoke", {"token": token})[0] == HTTPStatus.NO_CONTENT


class WebServer(ThreadingHTTPServer):
    """
    Serves the files of a folder on loopback, and counts the requests by what was asked for.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
        self.requests: Counter[str] = Counter()
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        """
        Answer no more.
        """
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Files(SimpleHTTPRequestHandler):
    server: WebServer

    def log_message(self, *_: object) -> None:
        """
        Count instead of writing to stderr.
        """
        self.server.requests[self.path] += 1


@functools.cache
def _stranger() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _hs256(header: dict[str, str], claims: dict[str, Any], secret: bytes) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret, b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
