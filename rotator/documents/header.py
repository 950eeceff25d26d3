"""
What all stored documents have in common: the header, and fields that several of them hold. Pure.
"""

from datetime import datetime, timedelta
from types import MappingProxyType

from rotator.errors import DocumentError
from rotator.model.document import Fields
from rotator.model.keys import Extra, Kid
from rotator.model.keyset import Revocation
from rotator.model.times import format_time, parse_time

SCHEMA = 1
# JSON readers hold whole numbers up to here; no keyset is ever saved this often.
MAX_SEQUENCE = 2**53
# Up to here a keyset is saved above what another hand showed; from here on readers take a lower sequence, too.
MAX_OUTRUN = 10**15


def check_header(fields: Fields, name: str, what: str) -> None:
    """
    Raise DocumentError when *fields* is not rotator's document of *name*; *what* names the kind of document.
    """
    schema = int(fields["schema"])
    if schema > SCHEMA:
        raise DocumentError(f"{name}: the {what} has schema {schema}, newer than {SCHEMA}; upgrade rotator", newer=True)
    if schema < 1 or fields["keyset"] != name or not fields["epoch"]:
        raise DocumentError(f"{name}: the {what} belongs to another keyset")


def sequence_of(fields: Fields) -> int:
    """
    Return the sequence in *fields*; raises ValueError for one that no saves lead to.
    """
    sequence = int(fields["sequence"])
    if not 0 <= sequence < MAX_SEQUENCE:
        raise ValueError("the sequence is out of range")
    return sequence


def whole_seconds(duration: timedelta) -> str:
    """
    Return *duration* in whole seconds, as text.
    """
    return str(int(duration.total_seconds()))


def optional_time(fields: Fields, name: str) -> datetime | None:
    """
    Return the moment in the field *name*, None if the field is absent or empty.
    """
    return parse_time(fields[name]) if fields.get(name) else None


def unknown_fields(fields: Fields, known: frozenset[str]) -> Extra:
    """
    Return the fields that are not *known*, so that those of a later rotator survive reading and writing.
    """
    return MappingProxyType({name: value for name, value in fields.items() if name not in known})


def text_of(value: object) -> str:
    """
    Return *value* if it is a text with at least one character; raises ValueError otherwise.
    """
    if not isinstance(value, str) or not value:
        raise ValueError("a text is missing")
    return value


def encode_revocation(revocation: Revocation) -> dict[str, str]:
    """
    Return one entry of the deny-list, without its reason.
    """
    return {
        "kid": revocation.kid,
        "revoked_at": format_time(revocation.revoked_at),
        "until": format_time(revocation.until),
    }


def decode_revoked(fields: Fields) -> tuple[Revocation, ...]:
    """
    Return the deny-list of a document; an entry of the public document has no reason.
    """
    return tuple(
        Revocation(
            Kid(str(entry["kid"])),
            parse_time(entry["revoked_at"]),
            str(entry.get("reason", "")),
            parse_time(entry["until"]),
        )
        for entry in fields.get("revoked") or ()
    )
