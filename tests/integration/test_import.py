"""
Keys and secrets from before, imported.
"""

import secrets
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.servers.vault import VaultServer
from tests.support.site import SLOW, Site, wait_for

pytestmark = pytest.mark.slow


def test_import_keeps_old_tokens(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """A JWT_SECRET and an RSA key become current; tokens made before verify, and the keysets rotate from there."""
    site = Site(tmp_path, vault_server, mount, rotation="18s", propagation="2s", life="10s")
    secret = "correct horse battery staple " + secrets.token_hex(8)
    pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = pair.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    token = jwt.encode({"sub": "me"}, secret, algorithm="HS256")
    assert site.run("import", "internal", stdin="short\n").returncode == 2
    taken = site.run("import", "internal", stdin=secret + "\n")
    assert taken.returncode == 0
    assert "can be guessed" in taken.stderr
    assert secret not in taken.stderr
    assert site.run("import", "internal", stdin=secret + "\n").returncode == 3
    assert site.run("import", "web", "--kid", "legacy-1", stdin=pem).returncode == 0
    internal, web = site.document("keys", "internal"), site.document("keys", "web")
    assert internal is not None
    assert web is not None
    assert internal["current"] == secret
    jwt.decode(token, internal["current"], algorithms=["HS256"])
    assert web["kid"] == "legacy-1"

    with site.daemon():
        assert "legacy-1" in site.get("/keysets/web/jwks.json")[1]
        wait_for(
            lambda: [k for k in site.keys("internal", "old") if k["secret"] == secret], 30, lambda: site.log[-2000:]
        )
        rotated = site.document("keys", "internal")
        assert rotated is not None
        jwt.decode(token, rotated["old"], algorithms=["HS256"])
        assert secret not in site.log
        wait_for(lambda: [k for k in site.keys("web", "old") if k["kid"] == "legacy-1"], 30, lambda: site.log[-2000:])


def test_import_knows_how_long_a_secret_must_be(tmp_path: Path) -> None:
    """HS512 wants 64 bytes, HS256 32; a random secret is imported without a word."""
    keysets = '[keysets.long]\nalgorithm = "HS512"\n\n[keysets.short]\nalgorithm = "HS256"\n'
    site = Site(tmp_path, None, keysets=keysets, **SLOW)
    short = site.run("import", "long", stdin=secrets.token_hex(31))
    assert (short.returncode, "64" in short.stderr) == (2, True)
    assert site.document("keys", "long") is None
    for keyset, size in (("long", 32), ("short", 16)):
        taken = site.run("import", keyset, stdin=secrets.token_urlsafe(2 * size))
        assert taken.returncode == 0
        assert "guessed" not in taken.stderr
