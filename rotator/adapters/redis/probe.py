"""
What `rotator check` finds out about a Redis: each right that the daemon needs, cluster, replica, and types of keys.
"""

from collections.abc import Iterator
from typing import Any

import redis

from rotator.adapters.redis.connection import error_text

# The answer to an entry below the first one of a stream that exists: it is a stream, and we may write it.
_STREAM_THERE = "equal or smaller"


def findings(connection: Any, channel: str, announced: str) -> Iterator[str]:
    """
    Yield what keeps the daemon from announcing changes on *channel*, with *announced* for its hash. Changes nothing.

    What would change something is queued in a transaction that is never executed: Redis judges rights when it queues.
    What shows only on execution (slots of a cluster, types of keys) is executed in a form that changes nothing.
    """
    yield from _refusals(connection, "PING")
    if refused := list(_refusals(connection, "MULTI")):
        yield from refused  # and nothing more is asked, for it would be carried out
        return
    # NOMKSTREAM makes no stream, and 0-1 is below every entry of one that exists.
    refused = list(_refusals(connection, f"XADD {channel} NOMKSTREAM 0-1 event -", f"HMGET {announced} -"))
    yield from refused
    answers = _ask(connection, "EXEC")
    if not refused:
        yield from _executed(answers, channel, announced)
    yield from _refusals(connection, "MULTI", f"PUBLISH {channel} -", f"HSET {announced} - -", f"SUBSCRIBE {channel}")


def _refusals(connection: Any, *commands: str) -> Iterator[str]:
    for command in commands:
        answer = _ask(connection, command)
        if isinstance(answer, redis.ResponseError):
            yield f"{command.partition(' ')[0].lower()} is refused: {error_text(answer)}"


def _executed(answers: Any, channel: str, announced: str) -> Iterator[str]:
    if isinstance(answers, redis.ResponseError):
        yield f"exec is refused: {error_text(answers)}"
        return
    for key, kind, answer in zip((channel, announced), ("stream", "hash"), answers, strict=True):
        if not isinstance(answer, redis.ResponseError) or _STREAM_THERE in str(answer):
            continue
        if "WRONGTYPE" in str(answer):
            yield f"the key {key} is there and not a {kind}; remove it, or set another channel"
        else:
            yield f"{key}: {error_text(answer)}"


def _ask(connection: Any, command: str) -> Any:
    """
    Send one command, whose words hold no blanks, and return its answer, which may be a ResponseError.
    """
    connection.send_command(*command.split(" "))
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
