"""
Fixtures shared by all tests: real servers, and what is said when one of them cannot be had.
"""

import functools
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

import rotator
from tests.support.servers import redis, vault
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer
from tests.support.turns import Turns

# How long an example takes says more about the machine than about the code.
settings.register_profile("rotator", deadline=None)
settings.load_profile("rotator")
NO_SERVER = "no server for this test: "
TURNS: pytest.StashKey[Turns] = pytest.StashKey()


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
def redis_servers() -> Iterator[Callable[[str], RedisServer]]:
    """
    The running Redis servers shared by the session, by version, "" for any; each is started when it is first asked for.
    """
    with ExitStack() as running:

        @functools.cache
        def server(version: str) -> RedisServer:
            need(redis.find_redis(version), redis.MISSING[version])
            return running.enter_context(RedisServer(version))

        yield server


@pytest.fixture
def redis_version() -> str:
    """
    The Redis that a test gets: any. Suites that are to hold for each version override this.
    """
    return ""


@pytest.fixture
def redis_server(redis_servers: Callable[[str], RedisServer], redis_version: str) -> RedisServer:
    """
    A running Redis shared by the session: never stop it, and take channel and key names of your own.
    """
    return redis_servers(redis_version)


@pytest.fixture
def fresh_redis(redis_version: str) -> Iterator[RedisServer]:
    """
    A running Redis of the test's own, to be stopped or killed at will; it keeps its data.
    """
    need(redis.find_redis(redis_version), redis.MISSING[redis_version])
    with RedisServer(redis_version, appendonly=True) as server:
        yield server


def pytest_configure(config: pytest.Config) -> None:
    """
    Take part in the turns of this run's workers.
    """
    if hasattr(config, "workerinput"):
        config.stash[TURNS] = Turns(Path(config.getoption("basetemp")).parent)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """
    Run a test when it is its turn; the time it waits for that does not count, for a timeout neither.
    """
    turns = item.config.stash.get(TURNS, None)
    if turns is None:
        return (yield)
    with turns.turn(alone=item.get_closest_marker("serial") is not None):
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Begin with files that take long, so that no worker is left with one at the end; end with those that run alone.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    shared = {item.path for item in items if not item.get_closest_marker("serial")}
    items.sort(key=lambda item: (item.path not in shared, item.path not in slow))


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
