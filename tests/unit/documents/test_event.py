"""
Events: CloudEvents 1.0 as the daemon writes them, and hints as anyone may send them.
"""

import json
from datetime import UTC, datetime

import pytest

from rotator.documents.event import MAX_EVENT, decode_hint, encode_event
from rotator.model.event import Event, EventType, Hint

AT = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = Event(EventType.ACTIVATED, "op/rotator.key.activated", "web", "e", 7, AT, "a-kid", "scheduled")
GOOD = {"source": "here", "data": {"keyset": "web", "epoch": "e", "sequence": 7}}


def test_an_event_is_a_cloud_event() -> None:
    """The required attributes of CloudEvents 1.0 (id, source, specversion, type), and the data of ours."""
    assert json.loads(encode_event(EVENT, "here")) == {
        "specversion": "1.0",
        "id": "op/rotator.key.activated",
        "source": "here",
        "type": "rotator.key.activated",
        "subject": "web",
        "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "application/json",
        "data": {"keyset": "web", "epoch": "e", "sequence": 7, "kid": "a-kid", "reason": "scheduled"},
    }


def test_what_an_event_does_not_have_is_left_out() -> None:
    """Neither an empty kid nor an empty reason is sent."""
    bare = Event(EventType.CHANGED, "op/rotator.keyset.changed", "web", "e", 7, AT)

    assert json.loads(encode_event(bare, "here"))["data"] == {"keyset": "web", "epoch": "e", "sequence": 7}


def test_a_hint_comes_back_from_an_event() -> None:
    """From the source that is listened to, or from any."""
    message = encode_event(EVENT, "here").encode()

    assert decode_hint(message, "here") == Hint("web", "e", 7)
    assert decode_hint(message, None) == Hint("web", "e", 7)
    assert decode_hint(message, "there") is None


def test_a_hint_names_its_source_where_nobody_has_judged_it() -> None:
    """So that a reader can tell its own rotator from another on the same Redis."""
    message = encode_event(EVENT, "here").encode()

    judged, unjudged = decode_hint(message, "here"), decode_hint(message, None)
    assert judged is not None
    assert unjudged is not None
    assert (judged.source, unjudged.source) == ("", "here")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"no json",
        b"[]",
        b"7",
        b"null",
        b"[" * 40_000,
        b"\xff\xfe",
        json.dumps(GOOD | {"data": []}).encode(),
        json.dumps(GOOD | {"data": {"keyset": "web"}}).encode(),
        json.dumps({"data": GOOD["data"]}).encode(),
        json.dumps(GOOD | {"data": {"keyset": 1, "epoch": "e", "sequence": 7}}).encode(),
        json.dumps(GOOD | {"data": {"keyset": "web", "epoch": None, "sequence": 7}}).encode(),
        json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "e", "sequence": "7"}}).encode(),
        json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "e", "sequence": True}}).encode(),
        json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "e", "sequence": -1}}).encode(),
        json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "e", "sequence": 2**53}}).encode(),
        json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "e" * 2000, "sequence": 7}}).encode(),
        json.dumps(GOOD | {"source": ["here"]}).encode(),
        b'{"source":"here","data":{"keyset":"web","epoch":"e","sequence":' + b"9" * 5000 + b"}}",
        None,
        7,
        ["here"],
    ],
    ids=range(22),
)
def test_a_malformed_message_is_no_hint(message: object) -> None:
    """Anyone may write to the channel: nothing in a message raises."""
    assert decode_hint(message, "here") is None


def test_a_message_has_a_longest() -> None:
    """One byte more is not parsed at all."""
    text = json.dumps(GOOD).encode()

    assert decode_hint(text + b" " * (MAX_EVENT - len(text)), "here") == Hint("web", "e", 7)
    assert decode_hint(text + b" " * (MAX_EVENT - len(text) + 1), "here") is None
