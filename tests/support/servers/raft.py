"""
Three Vault nodes that share raft storage: one is active, the others pass requests on, and any of them may fail.
"""

import http.client
import shutil
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Self

from tests.support.servers.process import ServerError
from tests.support.servers.vault import NO_PROXY, VaultServer

FAILOVER_TIMEOUT = 60.0
_HEALTHY = (200, 429)  # active, standby


class RaftNode(VaultServer):
    """
    One node; the first is initialised, the others join it.
    """

    # Nodes are voters at once, and not after half a minute: until then no other node can become active.
    environment: ClassVar[dict[str, str]] = {"VAULT_RAFT_AUTOPILOT_DISABLE": "true"}

    def __init__(self, number: int, leader: "RaftNode | None" = None) -> None:
        self._leader = leader
        super().__init__(node_id=f"node-{number}")

    def start(self, *, unseal: bool = True, initialise: bool = True) -> None:
        """
        Start, join the first node the first time, and unseal unless told not to.
        """
        leader = self._leader
        if leader is not None and not self._unseal_key:
            super().start(unseal=False, initialise=False)
            self._do("POST", "sys/storage/raft/join", {"leader_api_addr": leader.address})
            self._unseal_key, self.root_token = leader._unseal_key, leader.root_token
            if unseal:
                self.unseal()
        else:
            super().start(unseal=unseal, initialise=initialise)

    def unseal(self) -> None:
        """
        Unseal and wait until the node is active or a standby.
        """
        self._do("PUT", "sys/unseal", {"key": self._unseal_key})
        self.wait_for(lambda: self.health() in _HEALTHY, "become active or a standby")

    def health(self) -> int:
        """
        The status of sys/health: 200 active, 429 standby; 0 if it does not answer within a second.
        """
        request = urllib.request.Request(f"{self.address}/v1/sys/health")
        try:
            with NO_PROXY.open(request, timeout=1) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code
        except (OSError, http.client.HTTPException):
            return 0


class RaftCluster:
    """
    The three nodes, started and joined. A node that was killed or paused comes back by `heal`.
    """

    def __init__(self) -> None:
        first = RaftNode(1)
        self.nodes = (first, RaftNode(2, first), RaftNode(3, first))
        self._running = ExitStack()

    @property
    def root_token(self) -> str:
        """
        The root token, which every node takes.
        """
        return self.nodes[0].root_token

    def leader(self) -> RaftNode:
        """
        Wait for an active node that takes writes, and return it.
        """
        deadline = time.monotonic() + FAILOVER_TIMEOUT
        while time.monotonic() < deadline:
            for node in self.nodes:
                if node.running and node.health() == http.client.OK and self._takes_writes(node):
                    return node
            time.sleep(0.1)
        raise ServerError("no node of the cluster became active")

    def standbys(self) -> list[RaftNode]:
        """
        The nodes that are not the leader.
        """
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def heal(self) -> None:
        """
        Let every paused node go on, start every one that was killed, and wait for a leader.
        """
        for node in self.nodes:
            node.resume()
            if not node.running:
                node.start()
        self.leader()

    def snapshot(self, file: Path) -> None:
        """
        Write a snapshot of the whole storage to *file*.
        """
        with NO_PROXY.open(self._request("GET", "snapshot"), timeout=30) as answer, file.open("wb") as target:
            shutil.copyfileobj(answer, target)

    def restore(self, file: Path) -> None:
        """
        Put the whole storage back to what it was in *file*, and wait for a leader.
        """
        request = self._request("POST", "snapshot-force")
        request.data = file.read_bytes()
        with NO_PROXY.open(request, timeout=30):
            pass
        time.sleep(0.5)
        self.leader()

    def __enter__(self) -> Self:
        for node in self.nodes:
            self._running.enter_context(node)
        first = self.nodes[0]
        first.wait_for(lambda: self._voters(first) == len(self.nodes), "see three voters")
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.resume()
        self._running.close()

    def _request(self, method: str, what: str) -> urllib.request.Request:
        leader = self.leader()
        headers = {"X-Vault-Token": leader.root_token}
        return urllib.request.Request(f"{leader.address}/v1/sys/storage/raft/{what}", method=method, headers=headers)

    @staticmethod
    def _voters(leader: RaftNode) -> int:
        answer = leader.request("GET", "sys/storage/raft/configuration")[1]
        return sum(server["voter"] for server in answer["data"]["config"]["servers"])

    @staticmethod
    def _takes_writes(node: RaftNode) -> bool:
        try:
            return (
                node.request("PUT", "sys/policies/acl/alive", {"policy": 'path "none" {}'}, timeout=2)[0]
                < http.client.BAD_REQUEST
            )
        except (OSError, http.client.HTTPException):
            return False
