"""
Recipes that sign HS256 with the document in Vault.
"""

from pathlib import Path

import jwt
import pytest

from rotator.client import Verifier
from tests.recipes import service
from tests.recipes.world import AUDIENCE, ISSUER, PROPAGATION, SECRET, World, revoke, signer_token
from tests.support.servers.vault import VaultServer
from tests.support.site import wait_for

SIGN_CLAIMS = """
import uuid

ours = {"iss": "https://login.example", "aud": "api"}
sign_claims = sign


def sign(subject, life=300):
    now, token_id = int(time.time()), str(uuid.uuid4())
    return sign_claims({**ours, "sub": subject, "iat": now, "exp": now + life, "jti": token_id})


def sign_long(subject):
    return sign(subject, 3601)
"""


@pytest.mark.slow
@pytest.mark.vault
def test_python_signs(internal: World, vault_server: VaultServer, tmp_path: Path) -> None:
    """
    Signer, and hvac with PyJWT, sign with the key that is current, and with none once they could not look for long.

    The latter verifies tokens without a kid, from before an import, with each of the secrets.
    """
    token = signer_token(internal, vault_server)
    environ = {"VAULT_ADDR": vault_server.address, "VAULT_TOKEN": token}
    with (
        service.python("client", tmp_path / "client", environ, "sign = signer.sign") as client,
        service.python("hvac", tmp_path / "hvac", environ, SIGN_CLAIMS) as hvac,
    ):
        claims = jwt.decode(internal.token(), options={"verify_signature": False})
        nameless = jwt.encode(claims, internal.document["current"], "HS256", {"typ": "at+jwt"})
        assert hvac.accepts(nameless)
        assert hvac.ask("sign_long alice") == "refused ValueError"
        for _ in range(2):
            verifier = Verifier(internal.reader, issuer=ISSUER, audience=AUDIENCE)
            for signer in (client, hvac):
                wait_for(lambda signer=signer: kid(signer.get("sign alice")) == internal.document["kid"], PROPAGATION)
                assert verifier.verify(signer.get("sign bob")).subject == "bob"
            internal.rotate()
            internal.reader.refresh()
        assert hvac.accepts(nameless)
        assert not hvac.accepts(jwt.encode(claims, SECRET, "HS256", {"typ": "at+jwt"}))
        revoke(vault_server, token)
        for signer in (client, hvac):
            wait_for(lambda signer=signer: signer.ask("sign alice").startswith("refused"), PROPAGATION + 1)


def kid(token: str) -> str:
    """Return the kid that a token names."""
    return str(jwt.get_unverified_header(token)["kid"])
