"""
The connections of one listener, served by one thread as they become ready. Bounded in number, time and memory.

A connection that says nothing, drips, or does not read costs a few hundred bytes and lets no other wait. Each turn
answers one request of each connection at most. When there are too many, the one that is missed least makes room.
"""

import errno
import logging
import os
import select
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

from rotator.daemon.connection import MAX_DISCARDED, Connection
from rotator.daemon.http_message import NOT_ALLOWED, BadRequestError, Request, Response, plain
from rotator.daemon.waiting import Waiting

BACKLOG = 4096
CLOSE_TIMEOUT = 0.5
# The unfinished heads of all connections together; each may have 32 KiB.
MAX_RECEIVED = 1 << 24
_BATCH = 256
_SWEEP = 0.5
_COMPLAIN = 60.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_GONE = select.EPOLLERR | select.EPOLLHUP
_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FAULT = plain(HTTPStatus.INTERNAL_SERVER_ERROR)
_log = logging.getLogger(__name__)

Respond = Callable[[Request], Response]


class EventLoop:
    """
    Accepts connections from the socket *listening*, *limit* at most, and answers with `respond`; *name* is for the log.
    """

    def __init__(self, listening: socket.socket, respond: Respond, limit: int, name: str) -> None:
        self.respond = respond
        self._listening = listening
        self._limit = limit
        self._batch = max(1, min(_BATCH, limit // 4))  # or newcomers would push each other out, unheard
        self._name = name
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.epoll()
        self._poll.register(self._wake, select.EPOLLIN)
        self._poll.register(listening, select.EPOLLIN)
        self._accepting = True
        self._waiting = Waiting()
        self._connections: dict[int, Connection] = {}
        self._unread: dict[Connection, None] = {}  # those that may hold another whole request
        self._received = 0
        self._now = self._swept = 0.0
        self._complained = -_COMPLAIN
        self._second, self._date = 0, b""

    # -- for other threads ---------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """
        Let `run` return soon.
        """
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """
        Give back what the loop holds, once `run` has returned or if it never ran.
        """
        if not self._poll.closed:
            self._poll.close()
            os.close(self._wake)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """
        Serve until `stop`; then finish what is under way, for CLOSE_TIMEOUT at most.
        """
        while not self._stopping:
            try:
                self._turn(_SWEEP if self._connections or not self._accepting else None)
            except Exception:  # noqa: BLE001 - whatever it is, the listener goes on
                _log.exception("%s: a turn failed", self._name)
                time.sleep(_SWEEP)
        for _ in range(BACKLOG // self._batch):  # their callers were connected before the end
            if not self._accept():
                break
        self._poll.unregister(self._wake)
        self._stop_accepting()
        self._listening.close()
        self._turn(0)
        end = time.monotonic() + CLOSE_TIMEOUT
        while self._connections and time.monotonic() < end:
            for connection in tuple(self._waiting.idle):
                self._drop(connection)
            self._turn(0.02)
        for connection in self._waiting:
            self._drop(connection)

    def _turn(self, timeout: float | None) -> None:
        events = self._poll.poll(0 if self._unread else timeout)
        self._now = time.monotonic()
        if (second := int(time.time())) != self._second:
            self._second, self._date = second, f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        unread, self._unread = self._unread, {}
        for connection in unread:
            if self._connections.get(connection.fd) is connection:
                self._serve(connection, 0)
        accept = False
        for fd, event in events:
            if (ready := self._connections.get(fd)) is None:
                accept |= fd != self._wake
            elif ready not in unread:  # more is read when what was received is answered
                self._serve(ready, event)
        if accept:  # last: a new connection may get the number of one that was closed in this turn
            self._accept()
        if self._now - self._swept >= _SWEEP:
            self._sweep()

    def _sweep(self) -> None:
        self._swept = self._now
        for connection in self._waiting.expired(self._now):
            self._drop(connection)
        if not self._accepting and not self._stopping:
            self._accepting = True
            self._poll.register(self._listening, select.EPOLLIN)

    # -- connections ---------------------------------------------------------------------------------------------------

    def _accept(self) -> bool:
        """
        Accept what waits, but not many more than have had time to speak; return whether there may be more.
        """
        for number in range(self._batch):
            try:
                accepted, _ = self._listening.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    continue  # that caller has gone
                if number:  # said whether another caller waits or not: if so, the next turn is told
                    return True
                if not self._shed():
                    self._stop_accepting()
                    return False
                continue
            if len(self._connections) >= self._limit:
                self._shed()
            connection = Connection(accepted)
            self._connections[connection.fd] = connection
            self._waiting.put(connection, self._waiting.fresh, self._now)
            try:
                self._poll.register(connection.fd, select.EPOLLIN)
            except OSError:
                self._drop(connection)
        return True

    def _stop_accepting(self) -> None:
        """
        Leave callers waiting until the next sweep: without a file for them, being told of them again would be endless.
        """
        if self._accepting:
            self._accepting = False
            self._poll.unregister(self._listening)

    def _shed(self) -> bool:
        """
        Close the connection that is missed least; return whether there was one.
        """
        if self._now - self._complained >= _COMPLAIN:
            self._complained = self._now
            _log.warning("%s is full: of %d connections the longest idle are closed", self._name, len(self._waiting))
        connection = self._waiting.dispensable(self._now)
        if connection is not None:
            self._drop(connection)
        return connection is not None

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.fd, None) is None:
            return
        self._received -= connection.counted
        self._waiting.remove(connection)
        connection.close()

    # -- one connection ------------------------------------------------------------------------------------------------

    def _serve(self, connection: Connection, event: int) -> None:
        """
        Do what *connection* is ready for: read, answer one request, or write on.
        """
        try:
            queue = self._waiting.queue_of(connection)
            if event & _GONE:
                self._drop(connection)
            elif queue is self._waiting.lingering:
                self._discard(connection)
            elif queue is self._waiting.answering:
                connection.flush()
                self._answered(connection)
            else:
                if event:
                    connection.received += connection.receive()
                self._advance(connection)
        except OSError:
            self._drop(connection)
        except Exception:  # noqa: BLE001 - one connection must not end the others
            _log.exception("%s: a connection failed", self._name)
            self._drop(connection)

    def _advance(self, connection: Connection) -> None:
        """
        Answer the next request, if it is whole.
        """
        try:
            request = connection.next_request()
        except BadRequestError as error:
            connection.last = True
            connection.answer(plain(error.status), self._date)
            self._answered(connection)
            return
        if request is not None:
            response = self._response(request)
            connection.last = request.last or self._stopping or response.status is HTTPStatus.METHOD_NOT_ALLOWED
            connection.answer(response, self._date, with_body=request.method != "HEAD")
            self._answered(connection)
        elif connection.at_end:
            self._drop(connection)
        elif connection.received:
            if self._waiting.queue_of(connection) is not self._waiting.head:
                self._waiting.put(connection, self._waiting.head, self._now)
            self._count(connection)

    def _response(self, request: Request) -> Response:
        if request.method not in _METHODS:
            return NOT_ALLOWED
        try:
            return self.respond(request)
        except Exception:  # noqa: BLE001 - whatever it is, the caller gets an answer
            _log.exception("no answer to a request")
            return _FAULT

    def _answered(self, connection: Connection) -> None:
        """
        Let *connection* wait for what comes after an answer, or for its caller to take the rest of it.
        """
        waiting, before = self._waiting, self._waiting.queue_of(connection)
        if connection.answering:
            if before is not waiting.answering:
                waiting.put(connection, waiting.answering, self._now)
                self._poll.modify(connection.fd, select.EPOLLOUT)
            return
        if before is waiting.answering:
            self._poll.modify(connection.fd, select.EPOLLIN)
        if connection.last:
            connection.say_end()
            connection.received = b""
            waiting.put(connection, waiting.lingering, self._now)
        elif connection.received:
            waiting.put(connection, waiting.head, self._now)
            self._unread[connection] = None
        else:
            waiting.put(connection, waiting.idle, self._now)
        self._count(connection)

    def _discard(self, connection: Connection) -> None:
        """
        Read on after the last answer until the caller ends: closing before would take the answer from it.
        """
        connection.discarded += len(connection.receive())
        if connection.at_end or connection.discarded > MAX_DISCARDED:
            self._drop(connection)

    def _count(self, connection: Connection) -> None:
        """
        Note how much is kept for *connection*; if it is too much for all together, those that began first must go.
        """
        self._received += len(connection.received) - connection.counted
        connection.counted = len(connection.received)
        while self._received > MAX_RECEIVED and self._waiting.head:
            self._drop(next(iter(self._waiting.head)))
