"""
Services as others write them: plain PyJWT on polled documents, PyJWKClient on the JWKS.
"""

import threading
import time
from typing import Any, Self

import jwt
from jwt import PyJWKClient

from tests.support.site import Site


class Consumers:
    """
    Signs with whatever `current` is in the store and verifies each token until it expires; counts what failed and why.

    HMAC verifiers poll the flat fields every 2 s, RSA verifiers use PyJWKClient with a lifespan of 2 s.
    """

    def __init__(self, *sites: Site, poll: float = 2.0, life: int = 10) -> None:
        self._sites, self._poll, self._life = sites, poll, life
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(loop, site))
            for site in sites
            for loop in (self._hmac, self._rsa)
        ]
        self._last: dict[str, dict[str, Any]] = {}
        self.verified = self.unreached = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, loop: Any, site: Site) -> None:
        try:
            loop(site)
        except Exception as error:  # noqa: BLE001 - a dead consumer is a failure of the test
            self.failures.append(f"consumer died: {error!r}")

    def _document(self, site: Site, name: str) -> dict[str, Any] | None:
        try:
            document = site.document("keys", name)
        except OSError:
            document = None
        if document and document.get("kid"):
            self._last[name] = document
        return self._last.get(name)

    def _sign(self, document: dict[str, Any], live: list[tuple[str, float]]) -> None:
        now = time.time()
        claims = {"sub": "me", "iat": int(now), "exp": int(now) + self._life}
        token = jwt.encode(
            claims, document["current"], algorithm=document["algorithm"], headers={"kid": document["kid"]}
        )
        live.append((token, int(now) + self._life - 0.5))

    def _hmac(self, site: Site) -> None:
        live: list[tuple[str, float]] = []
        polled, seen = 0.0, None
        while not self._stop.wait(0.2):
            if time.monotonic() - polled >= self._poll or seen is None:
                polled, seen = time.monotonic(), self._document(site, "internal")
            signer = self._document(site, "internal")
            if seen is None or signer is None:
                continue
            self._sign(signer, live)
            live = [(token, until) for token, until in live if time.time() < until]
            for token, _ in live:
                self._try_secrets(token, seen)

    def _try_secrets(self, token: str, seen: dict[str, Any]) -> None:
        for field in ("current", "old", "next"):
            try:
                jwt.decode(token, seen[field], algorithms=["HS256"])
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                return
            self.verified += 1
            return
        self.failures.append(f"HMAC {jwt.get_unverified_header(token)['kid']} at {time.time():.1f}")

    def _rsa(self, site: Site) -> None:
        client = PyJWKClient(site.jwks_url, lifespan=2)
        live: list[tuple[str, float]] = []
        while not self._stop.wait(0.2):
            signer = self._document(site, "web")
            if signer is None:
                continue
            self._sign(signer, live)
            live = [(token, until) for token, until in live if time.time() < until]
            for token, _ in live:
                try:
                    jwt.decode(token, client.get_signing_key_from_jwt(token).key, algorithms=["RS256"])
                except jwt.ExpiredSignatureError:
                    continue
                except (jwt.PyJWKClientConnectionError, OSError):
                    self.unreached += 1
                except jwt.PyJWTError as error:
                    self.failures.append(
                        f"RSA {jwt.get_unverified_header(token)['kid']} at {time.time():.1f}: {error!r}"
                    )
                else:
                    self.verified += 1
