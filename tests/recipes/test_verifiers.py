"""
Recipes that verify: RS256 with a JWKS, HS256 with the document in Vault; each in a process of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.recipes import service
from tests.recipes.service import Service
from tests.recipes.world import PROPAGATION, Scene, WebServer, World, require_verifiers, revoke, signer_token
from tests.support.servers.vault import VaultServer

pytestmark = [pytest.mark.slow, pytest.mark.vault, pytest.mark.timeout(600)]  # the first run fetches libraries
Run = Callable[[Path, Mapping[str, str]], AbstractContextManager[Service]]


class Stage:
    """
    Puts services on: `jwks` such as verify with the JWKS file that a web server serves, `vault` such as read Vault.
    """

    def __init__(self, stack: ExitStack, folder: Path, web: World, internal: World, server: VaultServer) -> None:
        self._stack, self._folder = stack, folder
        self._web, self._internal, self._server = web, internal, server

    def jwks(self, **runs: Run) -> Scene:
        """
        The outage is that the web server goes.
        """
        server = WebServer(self._web.site.folder / "public")
        self._stack.callback(server.stop)
        # What follows the question mark is nothing to the server, and tells the services apart.
        url = f"http://127.0.0.1:{server.server_port}/jwks.json?"
        services = {
            name: self._run(name, run, {"JWKS_URL": url + name, "PROPAGATION_TIME": str(PROPAGATION)})
            for name, run in runs.items()
        }
        return Scene(
            self._web, services, server.stop, lambda: {name: server.requests[f"/jwks.json?{name}"] for name in runs}
        )

    def vault(self, **runs: Run) -> Scene:
        """
        The outage is that the token, which had the signer's policy, is revoked.
        """
        token = signer_token(self._internal, self._server)
        environ = {"VAULT_ADDR": self._server.address, "VAULT_TOKEN": token}
        services = {name: self._run(name, run, environ) for name, run in runs.items()}
        return Scene(self._internal, services, lambda: revoke(self._server, token))

    def _run(self, name: str, run: Run, environ: Mapping[str, str]) -> Service:
        return self._stack.enter_context(run(self._folder / name, environ))


@pytest.fixture
def stage(web: World, internal: World, vault_server: VaultServer, tmp_path: Path) -> Iterator[Stage]:
    """
    A stage in a folder of its own.
    """
    with ExitStack() as stack:
        yield Stage(stack, tmp_path, web, internal, vault_server)


def test_python(stage: Stage) -> None:
    """rotator.client, hvac with PyJWT, and PyJWKClient follow rotations, outlive an outage, and take no bad token."""
    verify = "verify = verifier.verify"
    require_verifiers(
        stage.jwks(
            client_jwks=partial(service.python, "client-jwks", more=verify),
            pyjwkclient=partial(service.python, "pyjwkclient"),
        ),
        stage.vault(client=partial(service.python, "client", more=verify), hvac=partial(service.python, "hvac")),
    )


def test_node(stage: Stage, jose: Path) -> None:
    """So does jose, with timers that look."""
    require_verifiers(
        stage.jwks(rsa=partial(service.node, "node-rsa", jose)),
        stage.vault(hmac=partial(service.node, "node-hmac", jose)),
    )


@pytest.mark.usefixtures("go_modules")
def test_go(stage: Stage) -> None:
    """So do keyfunc and golang-jwt."""
    require_verifiers(stage.jwks(rsa=partial(service.go, "go-rsa")), stage.vault(hmac=partial(service.go, "go-hmac")))


def test_java(stage: Stage, jars: Path) -> None:
    """So does a Nimbus key source that polls and tolerates outages, by itself and within Spring Security's decoder."""
    require_verifiers(
        stage.jwks(nimbus=partial(service.java, "nimbus", jars), spring=partial(service.java, "spring", jars))
    )
