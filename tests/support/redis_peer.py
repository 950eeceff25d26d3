"""
A peer that answers Redis commands as a sound Redis without data does, or as a test says, and remembers them.
"""

import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Self

Command = tuple[str, ...]
# Bytes to send in place of the usual reply, or what makes them; b"" says nothing.
Reply = bytes | Callable[[Command], bytes]


def bulk(text: str | None) -> bytes:
    """
    Return *text* as a bulk string, None as the null one.
    """
    data = b"" if text is None else text.encode()
    return b"$-1\r\n" if text is None else b"$%d\r\n%s\r\n" % (len(data), data)


def array(*items: bytes) -> bytes:
    """
    Return an array of encoded *items*.
    """
    return b"*%d\r\n%s" % (len(items), b"".join(items))


def message(channel: str, data: str) -> bytes:
    """
    Return what a subscriber of *channel* receives.
    """
    return array(bulk("message"), bulk(channel), bulk(data))


def _usual(command: Command) -> bytes:
    match command:
        case ("PING",):
            return b"+PONG\r\n"
        case ("PING", payload):
            return array(bulk("pong"), bulk(payload))
        case ("SUBSCRIBE", channel):
            return array(bulk("subscribe"), bulk(channel), b":1\r\n")
        case ("HMGET", _, *names):
            return array(*(bulk(None) for _ in names))
        case ("XADD", *_):
            return bulk("1-0")
        case ("PUBLISH" | "HSET", *_):
            return b":0\r\n"
        case _:
            return b"+OK\r\n"


class RedisPeer:
    """
    The server on loopback; `replies` holds, by the name of a command, what is answered in place of the usual.
    """

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.replies: dict[str, Reply] = {}
        self.subscribed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.connections = 0
        self._open: list[socket.socket] = []
        self._server = ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.place = f"redis at 127.0.0.1:{self._server.server_address[1]}"
        self.url = f"redis://127.0.0.1:{self._server.server_address[1]}/0"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.drop()

    def say(self, data: bytes) -> None:
        """
        Send *data* on every connection.
        """
        for connection in list(self._open):
            connection.sendall(data)

    def drop(self) -> None:
        """
        End every connection.
        """
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def named(self, name: str) -> list[Command]:
        """
        Return the commands of one name.
        """
        return [command for command in self.commands if command[0] == name]

    def _answer(self, command: Command) -> bytes:
        given = self.replies.get(command[0])
        if given is None:
            return _usual(command)
        return given if isinstance(given, bytes) else given(command)

    def _handler(peer) -> type[StreamRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                peer.connections += 1
                peer._open.append(self.connection)
                waiting: list[Command] | None = None
                with suppress(OSError, ValueError):
                    while command := self._read():
                        peer.commands.append(command)
                        if command == ("MULTI",):
                            given = peer._answer(command)
                            waiting = None if given.startswith(b"-") else []
                            self.wfile.write(given)
                        elif command == ("EXEC",) and waiting is not None:
                            self.wfile.write(array(*(peer._answer(queued) for queued in waiting)))
                            waiting = None
                        elif waiting is not None:
                            waiting.append(command)
                            self.wfile.write(b"+QUEUED\r\n")
                        else:
                            self.wfile.write(peer._answer(command))
                        if command[0] == "SUBSCRIBE":
                            peer.subscribed.put(command[1])

            def finish(self) -> None:
                peer._open.remove(self.connection)
                with suppress(OSError):
                    super().finish()

            def _read(self) -> Command:
                head = self.rfile.readline()
                return tuple(self._part() for _ in range(int(head[1:]))) if head else ()

            def _part(self) -> str:
                data = self.rfile.read(int(self.rfile.readline()[1:]) + 2)
                return data[:-2].decode()

        return Handler
