"""
Redis Cluster: what `check` says of it, and what works there.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
import redis

from rotator.adapters.redis.connection import RedisConnection
from rotator.adapters.redis.notifier import RedisNotifier
from rotator.errors import NotificationError
from tests.conftest import need
from tests.support.redis_hints import CHANNEL, SOURCE, event, until
from tests.support.servers.process import free_port
from tests.support.servers.redis import MISSING, RedisServer, find_redis

pytestmark = pytest.mark.redis

TAGGED = "{rotator}:events"
SLOTS = 16384


class Node(RedisServer):
    """
    One node, without slots.
    """

    def __init__(self) -> None:
        super().__init__("7", options=("--cluster-enabled", "yes", "--cluster-port", str(free_port())))
        self.bus = self._options[-1]


def notifier_at(node: RedisServer, channel: str) -> RedisNotifier:
    """
    Return a notifier at one node.
    """
    return RedisNotifier(RedisConnection(node.url), channel, SOURCE)


@pytest.fixture(name="node")
def _node() -> Iterator[Node]:
    """
    A cluster of one node with every slot.
    """
    need(find_redis("7"), MISSING["7"])
    with Node() as node, redis.Redis.from_url(node.url) as client:
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
        until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        yield node


@pytest.fixture(name="nodes")
def _nodes() -> Iterator[list[Node]]:
    """
    A cluster of three nodes, with a third of the slots each.
    """
    need(find_redis("7"), MISSING["7"])
    with ExitStack() as stack:
        nodes = [stack.enter_context(Node()) for _ in range(3)]
        clients = [stack.enter_context(redis.Redis.from_url(node.url)) for node in nodes]
        for number, client in enumerate(clients):
            first, end = number * SLOTS // 3, (number + 1) * SLOTS // 3
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", nodes[number].port, nodes[number].bus)
        for client in clients:
            until(lambda c=client: c.execute_command("CLUSTER INFO")["cluster_state"] == "ok", 20)
        yield nodes


def test_one_node_needs_a_hash_tag(node: Node) -> None:
    """
    Without one `check` names the way out, and so does every announcement; with it all works.
    """
    with closing(notifier_at(node, CHANNEL)) as notifier:
        way_out = (
            'it is a node of a Redis Cluster, where stream and hash need one slot; set channel = "{rotator}:events"'
        )
        assert notifier.probe() == (f"redis at 127.0.0.1:{node.port}: exec is refused: {way_out}",)
        with pytest.raises(NotificationError) as caught:
            notifier.announce(event())
        assert str(caught.value) == notifier.fault == f"redis at 127.0.0.1:{node.port}: {way_out}"
    with closing(notifier_at(node, TAGGED)) as notifier:
        assert notifier.probe() == ()
        notifier.announce(event())
        assert notifier.announced(["web"]) == {"web": "epoch-1:4"}
        assert notifier.probe() == ()


def test_of_several_nodes_the_one_with_the_slot_is_named(nodes: list[Node]) -> None:
    """
    The others say where it is; there, all works, and hints reach the subscribers of every node.
    """
    with redis.Redis.from_url(nodes[0].url) as client:
        owner = nodes[client.execute_command("CLUSTER KEYSLOT", TAGGED) * 3 // SLOTS]
    away = next(node for node in nodes if node is not owner)
    with closing(notifier_at(away, TAGGED)) as notifier:
        way_out = (
            f"it is a node of a Redis Cluster, and the slot is at 127.0.0.1:{owner.port}; "
            'set channel = "{rotator}:events", and name the node of its slot in url'
        )
        assert any(way_out in finding for finding in notifier.probe())
        with pytest.raises(NotificationError, match=f"^redis at 127.0.0.1:{away.port}: it is a node of .*{owner.port}"):
            notifier.announce(event())
        with pytest.raises(NotificationError, match=f"{owner.port}.*not tried again"):
            notifier.announced(["web"])
    with (
        closing(notifier_at(owner, TAGGED)) as notifier,
        redis.Redis.from_url(away.url) as client,
        client.pubsub(ignore_subscribe_messages=True) as subscription,
    ):
        subscription.subscribe(TAGGED)
        subscription.get_message(timeout=5)
        assert notifier.probe() == ()
        notifier.announce(event())
        assert notifier.announced(["web"]) == {"web": "epoch-1:4"}
        assert subscription.get_message(timeout=5) is not None
