"""
Events as CloudEvents 1.0 in JSON: written by the daemon, read by clients as hints that may come from anyone. Pure.
"""

import json

from rotator.documents.header import MAX_SEQUENCE
from rotator.model.event import Event, Hint
from rotator.model.times import format_time

MAX_EVENT = 64 * 1024
MAX_TEXT = 1024


def encode_event(event: Event, source: str) -> str:
    """
    Return *event* as one JSON object; `kid` and `reason` are left out if they are empty.
    """
    data: dict[str, object] = {"keyset": event.keyset, "epoch": event.epoch, "sequence": event.sequence}
    if event.kid:
        data["kid"] = event.kid
    if event.reason:
        data["reason"] = event.reason
    return json.dumps(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": source,
            "type": event.type.value,
            "subject": event.keyset,
            "time": format_time(event.at),
            "datacontenttype": "application/json",
            "data": data,
        },
        separators=(",", ":"),
    )


def decode_hint(message: object, source: str | None) -> Hint | None:
    """
    Return the hint that a message gives; None if it is too long, malformed or not from *source*.

    Never raises, whatever the message holds. *source* None accepts every source, and the hint then names its own.
    """
    if not isinstance(message, bytes) or len(message) > MAX_EVENT:
        return None
    try:
        event = json.loads(message)
        data, told = event["data"], event["source"]
        keyset, epoch, sequence = data["keyset"], data["epoch"], data["sequence"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    if not all(isinstance(text, str) and len(text) <= MAX_TEXT for text in (told, keyset, epoch)):
        return None
    if type(sequence) is not int or not 0 <= sequence < MAX_SEQUENCE or source not in (None, told):
        return None
    return Hint(keyset, epoch, sequence, "" if source else told)
