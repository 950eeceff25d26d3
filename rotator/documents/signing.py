"""
Keysets and their stored documents: the only place where a document is a dict. Pure.

Three documents belong to a keyset: the signing document (`keys/`), the public one (`jwks/`) and the standby. Unknown
fields of the signing document, and of each key in it, survive reading and writing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from rotator.documents.jwk import Jwks, jwks_of
from rotator.errors import DocumentError
from rotator.model.keys import (
    Algorithm,
    CurrentKey,
    Extra,
    HmacSecret,
    Key,
    KeyPair,
    Keyset,
    Kid,
    NextKey,
    OldKey,
    PublicHalf,
    Revocation,
    RotateRequest,
    State,
    Timing,
    public_half,
)
from rotator.model.secret import SecretText

SCHEMA = 1
Fields = Mapping[str, Any]

_FLAT = frozenset(
    {
        "schema",
        "keyset",
        "epoch",
        "sequence",
        "op_id",
        "purge_below",
        "propagation_time",
        "max_token_lifetime",
        "clock_skew",
        "algorithm",
        "kid",
        "current",
        "current_public",
        "old_algorithm",
        "old_kid",
        "old",
        "next_algorithm",
        "next_kid",
        "next",
        "rotated_at",
        "rotates_at",
        "old_retires_at",
        "rotate_requested",
        "keys",
        "revoked",
    }
)
_OF_KEY = frozenset(
    {
        "kid",
        "algorithm",
        "state",
        "secret",
        "private",
        "public",
        "created_at",
        "published_at",
        "usable_at",
        "activated_at",
        "activated_by",
        "longest_token",
        "deactivated_at",
        "retire_at",
    }
)


def format_time(at: datetime | None) -> str:
    """
    Return *at* as RFC 3339 in UTC with whole seconds, "" for None.
    """
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """
    Return the moment that an RFC 3339 text names, in UTC; fractions of any length are cut to microseconds.

    Raises ValueError for anything else.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without an offset")
    return at.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class PublicDocument:
    """
    What verifiers read: the exact JWKS that is served, and the deny-list of kids.
    """

    keyset: str
    epoch: str
    sequence: int
    jwks: Jwks
    revoked: tuple[Revocation, ...] = ()


@dataclass(frozen=True, slots=True)
class Standby:
    """
    The private half of `next`; `private` is None in an emptied standby.
    """

    keyset: str
    epoch: str
    kid: Kid
    algorithm: Algorithm
    private: SecretText | None
    created_at: datetime


def public_document(keyset: Keyset) -> PublicDocument:
    """
    Return what is published of *keyset*.
    """
    return PublicDocument(keyset.name, keyset.epoch, keyset.sequence, jwks_of(keyset), keyset.revoked)


def encode_keyset(keyset: Keyset) -> Fields:
    """
    Return the signing document: flat string fields for simple readers, and the lists they are a view of.
    """
    current, following, newest = keyset.current, keyset.next, keyset.old[0] if keyset.old else None
    fields: dict[str, Any] = {
        **keyset.extra,
        "schema": str(SCHEMA),
        "keyset": keyset.name,
        "epoch": keyset.epoch,
        "sequence": str(keyset.sequence),
        "op_id": keyset.op_id,
        "purge_below": str(keyset.purge_below),
        "propagation_time": _seconds(keyset.timing.propagation_time),
        "max_token_lifetime": _seconds(keyset.timing.max_token_lifetime),
        "clock_skew": _seconds(keyset.timing.clock_skew),
        "algorithm": keyset.algorithm.value,
        "rotates_at": format_time(keyset.rotates_at),
        "keys": [_encode_key(key) for key in keyset.keys()],
        "revoked": [_encode_revocation(revocation) | {"reason": revocation.reason} for revocation in keyset.revoked],
    }
    if current:
        verifier = _verifier(current)
        public = public_half(current)
        old, upcoming = newest or current, following or current
        fields |= {
            "kid": current.kid,
            "current": current.material.secret.reveal()
            if isinstance(current.material, HmacSecret)
            else current.material.private.reveal(),
            **({"current_public": public.pem} if public else {}),
            "old_algorithm": old.algorithm.value,
            "old_kid": old.kid,
            "old": _verifier(newest) if newest else verifier,
            "rotated_at": format_time(current.activated_at),
            "old_retires_at": format_time(newest.retire_at if newest else None),
        }
        if keyset.symmetric:
            fields |= {
                "next_algorithm": upcoming.algorithm.value,
                "next_kid": upcoming.kid,
                "next": _verifier(upcoming),
            }
    if keyset.rotate_requested:
        request = keyset.rotate_requested
        fields["rotate_requested"] = {"op_id": request.op_id, "at": format_time(request.at), "reason": request.reason}
    return fields


def decode_keyset(fields: Fields, name: str) -> Keyset:
    """
    Return the keyset of a signing document.

    Raises DocumentError when it is not the document of *name*, or of a schema newer than ours.
    """
    try:
        _check_header(fields, name, "signing document")
        keys = [_decode_key(key) for key in fields["keys"]]
        currents = [key for key in keys if isinstance(key, CurrentKey)]
        nexts = [key for key in keys if isinstance(key, NextKey)]
        if (
            len(currents) > 1
            or len(nexts) > 1
            or not (currents or nexts)
            or len({key.kid for key in keys}) != len(keys)
        ):
            raise DocumentError(f"{name}: the signing document does not hold one current key")
        requested = fields.get("rotate_requested") or None
        return Keyset(
            name=name,
            epoch=str(fields["epoch"]),
            sequence=int(fields["sequence"]),
            op_id=str(fields["op_id"]),
            timing=Timing(
                timedelta(seconds=int(fields["propagation_time"])),
                timedelta(seconds=int(fields["max_token_lifetime"])),
                timedelta(seconds=int(fields["clock_skew"])),
            ),
            purge_below=int(fields["purge_below"]),
            current=currents[0] if currents else None,
            next=nexts[0] if nexts else None,
            old=tuple(
                sorted(
                    (key for key in keys if isinstance(key, OldKey)), key=lambda key: key.deactivated_at, reverse=True
                )
            ),
            revoked=_decode_revoked(fields),
            rotate_requested=RotateRequest(
                str(requested["op_id"]), parse_time(requested["at"]), str(requested.get("reason", ""))
            )
            if requested
            else None,
            rotates_at=_optional_time(fields, "rotates_at"),
            extra=_unknown(fields, _FLAT),
        )
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DocumentError(f"{name}: the signing document is not rotator's, or damaged") from error


def encode_public(document: PublicDocument) -> Fields:
    """
    Return the public document, without the reasons of revocations.
    """
    return {
        "schema": str(SCHEMA),
        "keyset": document.keyset,
        "epoch": document.epoch,
        "sequence": str(document.sequence),
        "jwks": document.jwks,
        "revoked": [_encode_revocation(revocation) for revocation in document.revoked],
    }


def decode_public(fields: Fields, name: str) -> PublicDocument:
    """
    Return the public document of *name*; raises DocumentError when it is another's.
    """
    try:
        _check_header(fields, name, "public document")
        return PublicDocument(
            name, str(fields["epoch"]), int(fields["sequence"]), Jwks(str(fields["jwks"])), _decode_revoked(fields)
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DocumentError(f"{name}: the public document is not rotator's, or damaged") from error


def encode_standby(standby: Standby) -> Fields:
    """
    Return the standby document; emptied, it keeps only whose it is.
    """
    empty = standby.private is None
    return {
        "schema": str(SCHEMA),
        "keyset": standby.keyset,
        "epoch": standby.epoch,
        "kid": "" if empty else standby.kid,
        "algorithm": standby.algorithm.value,
        "private": standby.private.reveal() if standby.private else "",
        "created_at": format_time(standby.created_at),
    }


def decode_standby(fields: Fields, name: str) -> Standby:
    """
    Return the standby of *name*; raises DocumentError when it is another's.
    """
    try:
        _check_header(fields, name, "standby")
        private = str(fields["private"])
        return Standby(
            name,
            str(fields["epoch"]),
            Kid(str(fields["kid"])),
            Algorithm(fields["algorithm"]),
            SecretText(private) if private else None,
            parse_time(fields["created_at"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DocumentError(f"{name}: the standby is not rotator's, or damaged") from error


def _check_header(fields: Fields, name: str, what: str) -> None:
    schema = int(fields["schema"])
    if schema > SCHEMA:
        raise DocumentError(f"{name}: the {what} has schema {schema}, newer than {SCHEMA}; upgrade rotator")
    if schema < 1 or fields["keyset"] != name or not fields["epoch"]:
        raise DocumentError(f"{name}: the {what} belongs to another keyset")


def _seconds(duration: timedelta) -> str:
    return str(int(duration.total_seconds()))


def _optional_time(fields: Fields, name: str) -> datetime | None:
    return parse_time(fields[name]) if fields.get(name) else None


def _unknown(fields: Fields, known: frozenset[str]) -> Extra:
    return MappingProxyType({name: value for name, value in fields.items() if name not in known})


def _verifier(key: Key) -> str:
    public = public_half(key)
    if public:
        return public.pem
    assert isinstance(key.material, HmacSecret)  # noqa: S101 - a key without a public half is a secret
    return key.material.secret.reveal()


def _encode_key(key: Key) -> dict[str, Any]:
    fields: dict[str, Any] = {**key.extra, "kid": key.kid, "algorithm": key.algorithm.value}
    match key.material:
        case HmacSecret(secret=secret):
            fields["secret"] = secret.reveal()
        case KeyPair(private=private, public=public):
            fields |= {"private": private.reveal(), "public": public.pem}
        case PublicHalf(pem=pem):
            fields["public"] = pem
    fields["created_at"] = format_time(key.created_at)
    if key.published_at:
        fields["published_at"] = format_time(key.published_at)
    if key.usable_at:
        fields["usable_at"] = format_time(key.usable_at)
    if isinstance(key, NextKey):
        return fields | {"state": State.NEXT.value}
    fields |= {
        "activated_at": format_time(key.activated_at),
        "activated_by": key.activated_by,
        "longest_token": int(key.longest_token.total_seconds()),
    }
    if isinstance(key, CurrentKey):
        return fields | {"state": State.CURRENT.value}
    return fields | {
        "state": State.OLD.value,
        "deactivated_at": format_time(key.deactivated_at),
        "retire_at": format_time(key.retire_at),
    }


def _decode_key(fields: Fields) -> Key:
    algorithm, state = Algorithm(fields["algorithm"]), State(fields["state"])
    half: HmacSecret | PublicHalf
    whole: HmacSecret | KeyPair
    if algorithm.symmetric:
        half = whole = HmacSecret(SecretText(_text(fields["secret"])))
    else:
        half = PublicHalf(_text(fields["public"]))
        whole = KeyPair(SecretText(_text(fields["private"]) if state is State.CURRENT else ""), half)
    common: dict[str, Any] = {
        "kid": Kid(_text(fields["kid"])),
        "algorithm": algorithm,
        "created_at": parse_time(fields["created_at"]),
        "published_at": _optional_time(fields, "published_at"),
        "usable_at": _optional_time(fields, "usable_at"),
        "extra": _unknown(fields, _OF_KEY),
    }
    if state is State.NEXT:
        return NextKey(material=half, **common)
    common |= {
        "activated_at": parse_time(fields["activated_at"]),
        "activated_by": str(fields["activated_by"]),
        "longest_token": timedelta(seconds=int(fields["longest_token"])),
    }
    if state is State.CURRENT:
        return CurrentKey(material=whole, **common)
    return OldKey(
        material=half,
        deactivated_at=parse_time(fields["deactivated_at"]),
        retire_at=parse_time(fields["retire_at"]),
        **common,
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text is missing")
    return value


def _encode_revocation(revocation: Revocation) -> dict[str, str]:
    return {
        "kid": revocation.kid,
        "revoked_at": format_time(revocation.revoked_at),
        "until": format_time(revocation.until),
    }


def _decode_revoked(fields: Fields) -> tuple[Revocation, ...]:
    return tuple(
        Revocation(
            Kid(str(entry["kid"])),
            parse_time(entry["revoked_at"]),
            str(entry.get("reason", "")),
            parse_time(entry["until"]),
        )
        for entry in fields.get("revoked") or ()
    )
