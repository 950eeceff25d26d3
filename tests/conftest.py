"""
Fixtures shared by all tests: real servers, and what is said when one of them cannot be had.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import rotator
from tests.support.servers import redis, vault
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer

NO_SERVER = "no server for this test: "


def need(found: object, missing: str) -> None:
    """
    Skip the test for want of a server or tool; in CI that is a failure, for there it would go unseen.
    """
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(NO_SERVER + missing, pytrace=False)
    if found is None:
        pytest.skip(NO_SERVER + missing)


@pytest.fixture(scope="session")
def vault_server() -> Iterator[VaultServer]:
    """
    A running Vault shared by the session: never stop or seal it, and take a `mount` of your own.
    """
    need(vault.find_vault(build=False), vault.MISSING)
    with VaultServer() as server:
        yield server


@pytest.fixture
def fresh_vault() -> Iterator[VaultServer]:
    """
    A running Vault of the test's own (2 s to start), to be stopped, sealed or killed at will.
    """
    need(vault.find_vault(build=False), vault.MISSING)
    with VaultServer() as server:
        yield server


@pytest.fixture
def mount(vault_server: VaultServer) -> Iterator[str]:
    """
    The name of an empty KV version 2 mount on `vault_server`, the test's own.
    """
    name = f"kv-{uuid.uuid4().hex[:12]}"
    vault_server.enable_kv(name)
    yield name
    vault_server.request("DELETE", f"sys/mounts/{name}")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """
    A running Redis shared by the session: never stop it, and take channel and key names of your own.
    """
    need(redis.find_redis(), redis.MISSING)
    with RedisServer() as server:
        yield server


@pytest.fixture
def fresh_redis() -> Iterator[RedisServer]:
    """
    A running Redis of the test's own, to be stopped or killed at will; it keeps its data.
    """
    need(redis.find_redis(), redis.MISSING)
    with RedisServer(appendonly=True) as server:
        yield server


def pytest_report_header() -> str:
    """
    Say which rotator is tested: the installed one, or the checkout.
    """
    return f"rotator: {rotator.__version__} from {Path(rotator.__file__).parent}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """
    List by name what was not tested for want of a server.
    """
    reports = terminalreporter.stats.get("skipped", [])
    skipped = [report.nodeid for report in reports if NO_SERVER in str(report.longrepr)]
    if skipped:
        terminalreporter.section("NOT TESTED: no server", yellow=True)
        for name in sorted(skipped):
            terminalreporter.line(name)
