"""
Strangers at the doors: thousands of connections that say nothing, drip, or do not read, and a daemon that goes on.
"""

import http.client
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import pytest

from rotator.daemon.http_message import Response, plain
from rotator.daemon.http_server import HttpServer, parse_address
from rotator.daemon.waiting import ANSWER_TIMEOUT
from tests.support.crowd import crowd
from tests.support.http_caller import connect, running
from tests.support.site import WEB, Site, wait_for

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
WEB_JWKS = "/keysets/web/jwks.json"
# What a good request may cost more with a crowd at the door, in seconds.
MAX_COST = 0.1


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """
    A keyset that rotates every few seconds, each time after its publication was read back from the listener.
    """
    return Site(tmp_path, None, keysets=WEB, rotation="3s", propagation="1s", life="2s")


def typical(port: int, path: str) -> float:
    """Return the median seconds of twenty good requests, each over a connection of its own; each must succeed."""
    spent = []
    for _ in range(20):
        begun = time.perf_counter()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", path)
            with connection.getresponse() as response:
                assert response.status == 200, response.read()
                response.read()
        spent.append(time.perf_counter() - begun)
        time.sleep(0.02)
    return statistics.median(spent)


def resident(pid: int) -> float:
    """Return the resident megabytes of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def held(site: Site) -> list[str]:
    """The lines of the log that say that a rotation was held, or was late."""
    return [line for line in site.log.splitlines() if "not confirmed" in line or "overdue" in line]


@pytest.mark.slow
def test_five_thousand_strangers_slow_no_request_and_no_rotation(site: Site) -> None:
    """At both listeners. Nor do they cost much memory; and the daemon's own read-back gets through each time."""
    with site.daemon() as process:
        site.at_rest()
        alone = typical(site.jwks_port, WEB_JWKS), typical(site.admin_port, "/healthz")
        small, before = resident(process.pid), len(site.rotations("web"))
        with (
            crowd(site.jwks_port, WEB_JWKS, silent=2000, idle=2950, dripping=500, deaf=50),
            crowd(site.admin_port, "/healthz", silent=500, idle=1000, dripping=100),
        ):
            beside = typical(site.jwks_port, WEB_JWKS), typical(site.admin_port, "/healthz")
            wait_for(lambda: len(site.rotations("web")) >= before + 2, 15, lambda: site.log[-3000:])
            assert site.ready(), site.get("/readyz", admin=True)
            large = resident(process.pid)
    print(f"alone {alone}, beside {beside}, {small:.0f} MB, {large:.0f} MB")
    assert [cost for cost in map(float.__sub__, beside, alone) if cost > MAX_COST] == []
    assert large - small < 40
    assert held(site) == []
    assert '"error"' not in site.log


@pytest.mark.slow
def test_a_small_limit_of_open_files_is_enough(site: Site) -> None:
    """For a daemon that may have 1,024: the longest idle make room, and its own files are not taken."""
    limit = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024)); os.execv(sys.argv[1], sys.argv[1:])"
    with (site.folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", limit, *site.command("run")], stdout=log, stderr=log, env=site.environ()
        )
    try:
        site.at_rest()
        before = len(site.rotations("web"))
        with crowd(site.jwks_port, WEB_JWKS, silent=1000, idle=500, dripping=100):
            typical(site.jwks_port, WEB_JWKS)
            wait_for(lambda: len(site.rotations("web")) > before, 15, lambda: site.log[-3000:])
            assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < 1024 - 128
        assert held(site) == []
        assert "is full: of 384 connections" in site.log
    finally:
        process.terminate()
        assert process.wait(30) == 0


# -- the listener alone ------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[HttpServer]:
    """
    A listener that answers everything.
    """
    with running(made := HttpServer("127.0.0.1:0", lambda _request: plain(HTTPStatus.OK, "well"), "test")):
        yield made


def test_a_herd_is_served(server: HttpServer) -> None:
    """A thousand callers at once, each with its request."""
    with ExitStack() as stack:
        herd = [stack.enter_context(socket.socket()) for _ in range(1000)]
        host, port = parse_address(server.address, "")
        for caller in herd:
            caller.setblocking(False)
            with suppress(BlockingIOError):
                caller.connect((host, port))
        told = 0
        for caller in herd:
            caller.settimeout(10)
            caller.sendall(REQUEST)
        for caller in herd:
            told += caller.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert told == len(herd)


@contextmanager
def no_more_files() -> Iterator[list[int]]:
    """Let this process open no more files for the length of a block; yield some that may be closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(fd.name) for fd in Path("/proc/self/fd").iterdir()) + 8, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


def test_without_a_file_for_another_connection_the_listener_waits(server: HttpServer) -> None:
    """It does not spin meanwhile, and answers as soon as there is one."""
    with socket.socket() as caller, no_more_files() as taken:
        caller.settimeout(10)
        caller.connect(parse_address(server.address, ""))
        caller.sendall(REQUEST)
        busy = time.process_time()
        time.sleep(0.7)
        assert time.process_time() - busy < 0.2
        os.close(taken.pop())
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_without_a_file_for_another_connection_an_idle_one_makes_room(server: HttpServer) -> None:
    """Its caller is told, and the newcomer served."""
    with connect(server) as idle, socket.socket() as caller:
        idle.sendall(REQUEST)
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 OK")
        with no_more_files():
            caller.settimeout(10)
            caller.connect(parse_address(server.address, ""))
            caller.sendall(REQUEST)
            assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK")
            assert idle.recv(1) == b""


@pytest.mark.slow
def test_a_caller_who_does_not_read_is_let_go() -> None:
    """In time, with what was kept for it; nobody else waits for it."""
    page = Response(HTTPStatus.OK, {}, b"x" * 3_000_000)
    with (
        running(server := HttpServer("127.0.0.1:0", lambda _request: page, "test")),
        connect(server) as deaf,
        connect(server) as other,
    ):
        begun = time.monotonic()
        deaf.sendall(REQUEST * 100)
        other.sendall(REQUEST.replace(b"GET", b"HEAD"))
        assert other.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert time.monotonic() - begun < 1
        let_go = select.poll()
        let_go.register(deaf, 0)  # errors only
        assert let_go.poll(2000 * ANSWER_TIMEOUT)
        assert time.monotonic() - begun > ANSWER_TIMEOUT - 1
