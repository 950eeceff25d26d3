"""
The signing document (`keys/`): the whole `Keyset` (`model/keyset.py`), for signers and HMAC verifiers. Pure.

Fields that this version does not know, in the document and in each key, survive reading and writing.
"""

from datetime import timedelta
from typing import Any

from rotator.documents.header import (
    SCHEMA,
    check_header,
    decode_revoked,
    encode_revocation,
    optional_time,
    sequence_of,
    text_of,
    unknown_fields,
    whole_seconds,
)
from rotator.errors import DocumentError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Fields
from rotator.model.keys import CurrentKey, HmacSecret, Key, KeyPair, Kid, NextKey, OldKey, PublicKey, State, public_key
from rotator.model.keyset import Keyset, RotateRequest
from rotator.model.policy import Timing
from rotator.model.secret import SecretText
from rotator.model.times import format_time, parse_time

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
        "heartbeat",
        "seen_at",
        "rotate_requested",
        "keys",
        "revoked",
        "seal",
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


def encode_keyset(keyset: Keyset) -> Fields:
    """
    Return the fields of the signing document: the lists, and a flat view of them as strings for simple readers.

    The seal is not among them: `Sealing.seal` adds it.
    """
    current, next_key, last_old = keyset.current, keyset.next, keyset.old[0] if keyset.old else None
    fields: dict[str, Any] = {
        **keyset.extra,
        "schema": str(SCHEMA),
        "keyset": keyset.name,
        "epoch": keyset.epoch,
        "sequence": str(keyset.sequence),
        "op_id": keyset.op_id,
        "purge_below": str(keyset.purge_below),
        "propagation_time": whole_seconds(keyset.timing.propagation_time),
        "max_token_lifetime": whole_seconds(keyset.timing.max_token_lifetime),
        "clock_skew": whole_seconds(keyset.timing.clock_skew),
        "algorithm": keyset.algorithm.value,
        "rotates_at": format_time(keyset.rotates_at),
        "seen_at": format_time(keyset.seen_at),
        **({"heartbeat": "true"} if keyset.heartbeat else {}),
        "keys": [_encode_key(key) for key in keyset.keys()],
        "revoked": [encode_revocation(revocation) | {"reason": revocation.reason} for revocation in keyset.revoked],
    }
    if current:
        public = public_key(current)
        # A simple reader never gets an empty key: without old or next, those fields repeat current.
        flat_old, flat_next = last_old or current, next_key or current
        fields |= {
            "kid": current.kid,
            "current": current.material.secret.reveal()
            if isinstance(current.material, HmacSecret)
            else current.material.private.reveal(),
            **({"current_public": public.pem} if public else {}),
            "old_algorithm": flat_old.algorithm.value,
            "old_kid": flat_old.kid,
            "old": _verifier(flat_old),
            "rotated_at": format_time(current.activated_at),
            "old_retires_at": format_time(last_old.retire_at if last_old else None),
        }
        if keyset.symmetric:
            fields |= {
                "next_algorithm": flat_next.algorithm.value,
                "next_kid": flat_next.kid,
                "next": _verifier(flat_next),
            }
    if keyset.rotate_requested:
        request = keyset.rotate_requested
        fields["rotate_requested"] = {"op_id": request.op_id, "at": format_time(request.at), "reason": request.reason}
    return fields


def decode_keyset(fields: Fields, name: str) -> Keyset:
    """
    Return the keyset of a signing document.

    Raises DocumentError if it is damaged, of a newer schema or another keyset's; the message holds nothing of it.
    """
    try:
        check_header(fields, name, "signing document")
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
            sequence=sequence_of(fields),
            op_id=str(fields["op_id"]),
            timing=Timing(
                timedelta(seconds=int(fields["propagation_time"])),
                timedelta(seconds=int(fields["max_token_lifetime"])),
                timedelta(seconds=int(fields["clock_skew"])),
            ),
            purge_below=int(fields["purge_below"]),
            current=currents[0] if currents else None,
            next=nexts[0] if nexts else None,
            old=tuple(key for key in keys if isinstance(key, OldKey)),
            revoked=decode_revoked(fields),
            rotate_requested=RotateRequest(
                str(requested["op_id"]), parse_time(requested["at"]), str(requested.get("reason", ""))
            )
            if requested
            else None,
            rotates_at=optional_time(fields, "rotates_at"),
            heartbeat=fields.get("heartbeat") == "true",
            seen_at=optional_time(fields, "seen_at"),
            extra=unknown_fields(fields, _FLAT),
        )
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DocumentError(f"{name}: the signing document is not rotator's, or damaged") from error


def _verifier(key: Key) -> str:
    public = public_key(key)
    if public:
        return public.pem
    assert isinstance(key.material, HmacSecret)  # noqa: S101 - a key without a public key is a secret
    return key.material.secret.reveal()


def _encode_key(key: Key) -> dict[str, Any]:
    fields: dict[str, Any] = {**key.extra, "kid": key.kid, "algorithm": key.algorithm.value}
    if isinstance(key.material, HmacSecret):
        fields["secret"] = key.material.secret.reveal()
    elif isinstance(key.material, KeyPair):
        fields |= {"private": key.material.private.reveal(), "public": key.material.public.pem}
    else:
        fields["public"] = key.material.pem
    fields["created_at"] = format_time(key.created_at)
    if key.published_at:
        fields["published_at"] = format_time(key.published_at)
    if key.usable_at:
        fields["usable_at"] = format_time(key.usable_at)
    if isinstance(key, NextKey):
        return fields | {"state": key.state.value}
    fields |= {
        "activated_at": format_time(key.activated_at),
        "activated_by": key.activated_by,
        "longest_token": int(key.longest_token.total_seconds()),
    }
    if isinstance(key, CurrentKey):
        return fields | {"state": key.state.value}
    return fields | {
        "state": key.state.value,
        "deactivated_at": format_time(key.deactivated_at),
        "retire_at": format_time(key.retire_at),
    }


def _decode_key(fields: Fields) -> Key:
    algorithm, state = Algorithm(fields["algorithm"]), State(fields["state"])
    text = text_of(fields["secret" if algorithm.symmetric else "public"])
    verifying = HmacSecret(SecretText(text)) if algorithm.symmetric else PublicKey(text)
    common: dict[str, Any] = {
        "kid": Kid(text_of(fields["kid"])),
        "algorithm": algorithm,
        "created_at": parse_time(fields["created_at"]),
        "published_at": optional_time(fields, "published_at"),
        "usable_at": optional_time(fields, "usable_at"),
        "extra": unknown_fields(fields, _OF_KEY),
    }
    if state is State.NEXT:
        return NextKey(material=verifying, **common)
    common |= {
        "activated_at": parse_time(fields["activated_at"]),
        "activated_by": str(fields["activated_by"]),
        "longest_token": timedelta(seconds=int(fields["longest_token"])),
    }
    if state is State.CURRENT:
        if isinstance(verifying, HmacSecret):
            return CurrentKey(material=verifying, **common)
        return CurrentKey(material=KeyPair(SecretText(text_of(fields["private"])), verifying), **common)
    return OldKey(
        material=verifying,
        deactivated_at=parse_time(fields["deactivated_at"]),
        retire_at=parse_time(fields["retire_at"]),
        **common,
    )
