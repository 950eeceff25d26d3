"""
The habit of a secret in the environment, and the way from it to a keyset.
"""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import jwt
import pytest

from rotator.client import FileSource, InvalidTokenError, Verifier
from tests.recipes import service
from tests.recipes.page import recipe
from tests.recipes.world import AUDIENCE, ISSUER, PERIODS, SECRET, World
from tests.support.site import Site

VERIFY = "verify = verifier.verify"
KEYSET = '[keysets.internal]\nalgorithm = "HS256"\nreaders = "keys"\n'


@pytest.mark.slow
def test_from_the_environment_to_a_keyset(tmp_path: Path) -> None:
    """
    Tokens signed with JWT_SECRET verify with the keyset it was imported into, through rotations.

    And the keyset's verify with the variables, as long as these were renewed since the rotation before the last.
    """
    site = Site(tmp_path / "site", None, keysets=KEYSET, **PERIODS)
    secret = site.run("generate").stdout.strip()
    environ = site.environ(JWT_SECRET=secret, ROTATOR_CONFIG=str(site.config))
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    subprocess.run(["sh", "-ec", recipe("environment-import")], env=environ, check=True, capture_output=True)
    legacy = jwt.encode(claims(), secret, "HS256")
    with site.daemon():
        world = World(site, "internal", FileSource(site.folder / "store", "internal"))
        verifier = Verifier(world.reader, issuer=ISSUER, audience=AUDIENCE, typ="JWT", kid_optional=True)
        tokens = [jwt.encode(claims(), secret, "HS256", {"typ": "at+jwt"}), world.token()]
        for renewed in range(2):
            with service.python("environment", tmp_path / str(renewed), variables(world), VERIFY) as web:
                if not renewed:
                    world.rotate()
                    tokens.append(world.token())
                assert [web.accepts(token) for token in tokens] == [True] * 3
                assert [name for name, token in world.bad_tokens().items() if web.accepts(token)] == []
            assert verifier.verify(legacy).subject == "alice"
        with pytest.raises(InvalidTokenError):
            verifier.verify(jwt.encode(claims(), SECRET, "HS256"))
        world.reader.close()


def test_a_weak_secret_is_told_at_start(tmp_path: Path) -> None:
    """A service with a secret that can be guessed does not start, and says what to do."""
    weak = {"JWT_SECRET": "change-me-please-change-me-please-change-me"}
    with (
        service.python("environment", tmp_path / "weak", weak, VERIFY) as web,
        pytest.raises(AssertionError, match="rotator generate"),
    ):
        web.ask("verify x")


def variables(world: World) -> dict[str, str]:
    """Return what an operator would put into the environment now."""
    document = world.document
    return {"JWT_SECRET": document["current"], "JWT_SECRET_OLD": document["old"], "JWT_SECRET_NEXT": document["next"]}


def claims() -> dict[str, str | int]:
    """Return the claims of a token as services made them before."""
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())}
