"""
Sites that the recipes share, and the tools of other languages.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.client import FileSource, VaultSource
from tests.conftest import need
from tests.recipes import tools
from tests.recipes.world import PERIODS, World
from tests.support.servers.vault import VaultServer
from tests.support.site import Site

WEB = '[keysets.web]\nalgorithm = "RS256"\n'
SECRETS = """
[keysets.internal]
algorithm = "HS256"
readers = "keys"

[keysets.sessions]
algorithm = "HS256"
max_token_lifetime = "1s"
"""


@pytest.fixture(scope="module")  # their readers end with the module: other tests set the clock
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """
    The RS256 keyset `web` of a daemon with the file store: rotate it, never stop it.
    """
    site = Site(tmp_path_factory.mktemp("web"), None, keysets=WEB, **PERIODS)
    with site.daemon():
        world = World(site, "web", FileSource(site.folder / "store", "web"))
        yield world
        world.reader.close()


@pytest.fixture(scope="session")
def vault_site(tmp_path_factory: pytest.TempPathFactory, vault_server: VaultServer) -> Iterator[Site]:
    """
    A daemon with HMAC keysets in the mount `secret` of the shared Vault, as the recipes have it.
    """
    vault_server.enable_kv("secret")
    site = Site(tmp_path_factory.mktemp("secrets"), vault_server, keysets=SECRETS, **PERIODS)
    with site.daemon():
        yield site
    vault_server.request("DELETE", "sys/mounts/secret")


@pytest.fixture(scope="module")  # their readers end with the module: other tests set the clock
def internal(vault_site: Site, vault_server: VaultServer) -> Iterator[World]:
    """
    The HS256 keyset `internal` in Vault.
    """
    world = World(vault_site, "internal", _source(vault_server, "internal"))
    yield world
    world.reader.close()


@pytest.fixture(scope="module")  # their readers end with the module: other tests set the clock
def sessions(vault_site: Site, vault_server: VaultServer) -> Iterator[World]:
    """
    The HS256 keyset `sessions` in Vault, whose old keys retire within seconds.
    """
    world = World(vault_site, "sessions", _source(vault_server, "sessions"))
    yield world
    world.reader.close()


@pytest.fixture(scope="session")
def jose() -> Path:
    """
    A folder with node's `jose` in node_modules.
    """
    found = tools.jose()
    need(found, "node and npm on PATH, and jose from npm")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def go_modules() -> None:
    """
    Go, with the modules of the recipes in its cache.
    """
    need(tools.go_modules(), "go on PATH, and the modules of tests/recipes/go")


@pytest.fixture(scope="session")
def jars() -> Path:
    """
    A folder with the jars of the recipes.
    """
    found = tools.jars()
    need(found, "a JDK and mvn on PATH, and the jars of tests/recipes/java")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def nginx() -> str:
    """
    The nginx on this machine.
    """
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/local/sbin:/usr/sbin:/sbin")
    need(found, "nginx")
    assert found is not None
    return found


def _source(server: VaultServer, keyset: str) -> VaultSource:
    return VaultSource(keyset, address=server.address, token=server.root_token)
