"""
A store on a Vault that is real or scripted, and what a sound Vault answers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from rotator.adapters.vault.login.token import TokenLogin
from rotator.adapters.vault.probe import VaultProbe
from rotator.adapters.vault.session import VaultConnection
from rotator.adapters.vault.store import VaultStore
from rotator.model.document import Tree
from rotator.model.secret import SecretText
from tests.support.peer import Answer, Peer, Request
from tests.support.servers.vault import VaultServer

TOKEN = "hvs.CANARY-TOKEN"
DEADLINE = 1.0
CREATED = "2026-01-02T03:04:05.123456789Z"
FIELDS = {"op_id": "op-1", "current": "CANARY-SECRET"}
OPERATIONS: dict[str, Callable[[VaultStore], object]] = {
    "load": lambda store: store.load(Tree.KEYS, "web"),
    "save": lambda store: store.save(Tree.KEYS, "web", FIELDS, 0),
    "versions": lambda store: store.versions(Tree.KEYS, "web"),
    "destroy": lambda store: store.destroy(Tree.KEYS, "web", [1]),
    "undelete": lambda store: store.undelete(Tree.KEYS, "web", [1]),
    "remove": lambda store: store.remove(Tree.KEYS, "web"),
    "capabilities": lambda store: VaultProbe(store.session).capabilities(["kv/data/x"]),
    "read_raw": lambda store: VaultProbe(store.session).read_raw("kv/config"),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS)


@contextmanager
def open_store(address: str, token: str = TOKEN, mount: str = "kv", **options: Any) -> Iterator[VaultStore]:
    """A store with a token of its own, its idle connections closed at the end."""
    arguments: dict[str, Any] = {
        "namespace": "",
        "ca_file": None,
        "log": structlog.get_logger(),
        "deadline": 5.0,
    } | options
    store = VaultStore(VaultConnection(address, login=TokenLogin(SecretText(token)), **arguments), mount, "rotator")
    try:
        yield store
    finally:
        store.close()


@contextmanager
def scripted(script: Callable[[Request], Answer], **options: Any) -> Iterator[tuple[Peer, VaultStore]]:
    """A peer and a store that talks to it."""
    with Peer(script) as peer, open_store(peer.address, **options) as store:
        yield peer, store


def saved(version: int) -> dict[str, Any]:
    """What KV version 2 answers to a save."""
    return {"data": {"version": version, "created_time": CREATED, "deletion_time": "", "destroyed": False}}


def read(fields: dict[str, Any] | None, version: int = 1, **metadata: Any) -> dict[str, Any]:
    """What KV version 2 answers to a read."""
    return {"data": {"data": fields, "metadata": {"version": version, "created_time": CREATED} | metadata}}


def mounted(version: str = "2") -> dict[str, Any]:
    """What Vault tells about the mount `kv`."""
    return {"data": {"type": "kv", "path": "kv/", "options": {"version": version}}}


def root_store(server: VaultServer, mount: str, **options: Any) -> Any:
    """A store on the real server."""
    return open_store(server.address, server.root_token, mount, **options)


def drip(data: bytes) -> Iterator[bytes | float]:
    """*data* byte by byte, each in time for a timeout that starts again with each read."""
    for byte in data:
        yield bytes([byte])
        yield 0.2
