"""
Which connections wait for what, until when, and which of them makes room for another.
"""

from collections.abc import Iterator

from rotator.daemon.connection import Connection

HEAD_TIMEOUT = 5.0
IDLE_TIMEOUT = 75.0  # load balancers keep a connection for 60 s: ours must not be the side that closes first
ANSWER_TIMEOUT = 5.0
LINGER_TIMEOUT = 2.0
SILENCE = 1.0


class Queue(dict[Connection, float]):
    """
    Connections that wait for the same thing, for *seconds* at most, and their deadlines; the earliest comes first.
    """

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Waiting:
    """
    Every connection of a listener, in one queue each.

    `fresh` wait for their first byte, `head` for the rest of a head, `answering` for a caller who reads, `idle` for the
    next request, and `lingering` for a caller who has all of the last answer and closes.
    """

    __slots__ = ("_queue_of", "answering", "fresh", "head", "idle", "lingering")

    def __init__(self) -> None:
        self.fresh, self.head = Queue(HEAD_TIMEOUT), Queue(HEAD_TIMEOUT)
        self.answering, self.idle = Queue(ANSWER_TIMEOUT), Queue(IDLE_TIMEOUT)
        self.lingering = Queue(LINGER_TIMEOUT)
        self._queue_of: dict[Connection, Queue] = {}

    def __len__(self) -> int:
        return len(self._queue_of)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._queue_of))

    def queue_of(self, connection: Connection) -> Queue:
        """
        Return the queue that *connection* waits in.
        """
        return self._queue_of[connection]

    def put(self, connection: Connection, queue: Queue, now: float) -> None:
        """
        Let *connection* wait in *queue* from *now* on, and no longer where it waited.
        """
        before = self._queue_of.get(connection)
        if before is not None:
            del before[connection]
        queue[connection] = now + queue.seconds
        self._queue_of[connection] = queue

    def remove(self, connection: Connection) -> None:
        """
        Forget *connection*.
        """
        del self._queue_of.pop(connection)[connection]

    def expired(self, now: float) -> Iterator[Connection]:
        """
        Yield the connections whose time is over; each must be removed before the next is asked for.
        """
        for queue in (self.fresh, self.head, self.answering, self.idle, self.lingering):
            while queue and queue[first := next(iter(queue))] <= now:
                yield first

    def dispensable(self, now: float) -> Connection | None:
        """
        Return the connection that is missed least, the oldest of its kind.

        One that has all comes first, then one that said nothing for a second, one that is idle, one that is at work.
        """
        silent = next(iter(self.fresh), None)
        if silent is not None and not self.lingering and self.fresh[silent] <= now + HEAD_TIMEOUT - SILENCE:
            return silent
        for queue in (self.lingering, self.idle, self.fresh, self.head, self.answering):
            if queue:
                return next(iter(queue))
        return None
