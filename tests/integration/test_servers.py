"""
The servers that other tests lean on do what those tests take for granted.
"""

import http
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer


@pytest.mark.vault
def test_a_mount_is_empty_and_keeps_versions(vault_server: VaultServer, mount: str) -> None:
    """
    A mount starts empty, counts versions, and refuses a wrong compare-and-set.
    """
    assert vault_server.request("GET", f"{mount}/data/a")[0] == http.HTTPStatus.NOT_FOUND
    assert vault_server.request("POST", f"{mount}/data/a", {"data": {"x": 1}})[1]["data"]["version"] == 1
    status, answer = vault_server.request("POST", f"{mount}/data/a", {"data": {"x": 2}, "options": {"cas": 0}})
    assert status == http.HTTPStatus.BAD_REQUEST
    assert "check-and-set" in answer["errors"][0]


@pytest.mark.vault
def test_an_approle_may_do_what_its_policy_says_and_no_more(vault_server: VaultServer, mount: str) -> None:
    """
    Policies, AppRole logins and tokens are real ones.
    """
    vault_server.policy(mount, f'path "{mount}/data/mine" {{ capabilities = ["create", "update", "read"] }}')
    role_id, secret_id = vault_server.approle(mount, [mount], token_ttl="10m")
    login = {"role_id": role_id, "secret_id": secret_id}
    token = vault_server.request("POST", "auth/approle/login", login, token="")[1]["auth"]["client_token"]
    for allowed in (token, vault_server.token([mount])):
        body = {"data": {"x": 1}}
        assert vault_server.request("POST", f"{mount}/data/mine", body, token=allowed)[0] == http.HTTPStatus.OK
        assert vault_server.request("POST", f"{mount}/data/other", body, token=allowed)[0] == http.HTTPStatus.FORBIDDEN


@pytest.mark.vault
@pytest.mark.slow
def test_vault_keeps_its_data_and_address_through_seal_restart_and_kill(fresh_vault: VaultServer) -> None:
    """
    What was written is there after each kind of outage, at the same address.
    """
    fresh_vault.enable_kv()
    fresh_vault.request("POST", "secret/data/a", {"data": {"x": 1}})
    address = fresh_vault.address

    fresh_vault.seal()
    assert fresh_vault.request("GET", "secret/data/a")[0] == http.HTTPStatus.SERVICE_UNAVAILABLE
    fresh_vault.unseal()
    assert _x(fresh_vault) == 1
    fresh_vault.restart()
    assert _x(fresh_vault) == 1
    fresh_vault.kill()
    with pytest.raises(OSError, match="refused"):
        fresh_vault.request("GET", "secret/data/a")
    fresh_vault.start()
    assert _x(fresh_vault) == 1
    assert fresh_vault.address == address


def _x(server: VaultServer) -> int:
    return int(server.request("GET", "secret/data/a")[1]["data"]["data"]["x"])


@pytest.mark.redis
def test_redis_keeps_its_data_and_port_through_restart_and_kill(fresh_redis: RedisServer) -> None:
    """
    What was written is there after a stop and after a crash, on the same port.
    """
    assert _say(fresh_redis, "SET a 1") == "+OK"
    fresh_redis.restart()
    assert _say(fresh_redis, "INCR a") == ":2"
    fresh_redis.kill()
    with pytest.raises(ConnectionRefusedError):
        _say(fresh_redis, "INCR a")
    fresh_redis.start()
    assert _say(fresh_redis, "INCR a") == ":3"


def _say(server: RedisServer, command: str) -> str:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(64).decode().strip()


@pytest.mark.redis
def test_a_server_outlives_the_thread_that_started_it(fresh_redis: RedisServer) -> None:
    """
    A server may be restarted from any thread of a test.
    """
    thread = threading.Thread(target=fresh_redis.restart)
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert fresh_redis.running
    assert _say(fresh_redis, "PING") == "+PONG"


@pytest.mark.redis
def test_a_server_dies_with_its_parent(redis_server: RedisServer) -> None:
    """
    A killed test run leaves no server behind.
    """
    assert redis_server.running
    code = (
        "import time; from tests.support.servers.redis import RedisServer; server = RedisServer(); server.start();"
        "print(server.port, flush=True); time.sleep(60)"
    )
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    pytest.fail("the server still answers")
