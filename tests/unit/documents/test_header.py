"""
What all documents have in common: who may read them, and fields that may be absent.
"""

from datetime import UTC, datetime, timedelta

import pytest

from rotator.documents.header import check_header, optional_time, text_of, unknown_fields, whole_seconds
from rotator.errors import DocumentError

HEADER = {"schema": "1", "keyset": "web", "epoch": "e"}


def test_a_good_header_passes() -> None:
    """The schema may be a number, as a person may have written it."""
    check_header(HEADER, "web", "standby")
    check_header(HEADER | {"schema": 1}, "web", "standby")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schema": "2"}, "web: the standby has schema 2, newer than 1; upgrade rotator"),
        ({"schema": "0"}, "web: the standby belongs to another keyset"),
        ({"keyset": "other"}, "web: the standby belongs to another keyset"),
        ({"epoch": ""}, "web: the standby belongs to another keyset"),
    ],
    ids=repr,
)
def test_a_newer_or_foreign_document_is_refused_in_words(change: dict[str, str], text: str) -> None:
    """A newer schema has its own way out: upgrade."""
    with pytest.raises(DocumentError) as caught:
        check_header(HEADER | change, "web", "standby")
    assert str(caught.value) == text


def test_seconds_are_whole() -> None:
    """Documents hold whole seconds, as text."""
    assert whole_seconds(timedelta(hours=2)) == "7200"
    assert whole_seconds(timedelta(seconds=1.9)) == "1"


def test_a_time_may_be_absent_or_empty() -> None:
    """Both mean that there is none; anything else must be a time."""
    assert optional_time({}, "at") is None
    assert optional_time({"at": ""}, "at") is None
    assert optional_time({"at": "2026-01-01T00:00:00Z"}, "at") == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="isoformat"):
        optional_time({"at": "soon"}, "at")


@pytest.mark.parametrize("value", ["", None, 7, ["a"]], ids=repr)
def test_a_text_must_be_there(value: object) -> None:
    """Also a number is not one."""
    with pytest.raises(ValueError, match="missing"):
        text_of(value)


def test_unknown_fields_are_those_not_listed() -> None:
    """They are kept in their order, and cannot be changed."""
    extra = unknown_fields({"a": 1, "z": 2, "b": 3}, frozenset({"a"}))

    assert list(extra.items()) == [("z", 2), ("b", 3)]
    with pytest.raises(TypeError):
        extra["c"] = 4  # type: ignore[index]
