"""
The standby document (`standby/`): the private key of the next key pair, until it is activated, and the seal key. Pure.
"""

from dataclasses import dataclass
from datetime import datetime

from rotator.documents.header import SCHEMA, check_header, optional_time
from rotator.documents.seal import NEVER_SEALED, Sealing
from rotator.errors import DocumentError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Fields
from rotator.model.keys import Kid
from rotator.model.removal import Removal
from rotator.model.secret import SecretText
from rotator.model.times import format_time, parse_time


@dataclass(frozen=True, slots=True)
class Standby:
    """
    The private key of the next key, and what seals the other documents of the keyset.

    `private` is None once the standby was emptied, and always for shared secrets. `removal` is what `rotator remove` left.
    """

    keyset: str
    epoch: str
    kid: Kid
    algorithm: Algorithm
    private: SecretText | None
    created_at: datetime
    sealing: Sealing = NEVER_SEALED
    removal: Removal | None = None


def encode_standby(standby: Standby) -> Fields:
    """
    Return the fields of the standby document; an emptied one keeps the names of keyset and epoch, and the seal key.
    """
    empty, sealing = standby.private is None, standby.sealing
    fields = {
        "schema": str(SCHEMA),
        "keyset": standby.keyset,
        "epoch": standby.epoch,
        "kid": "" if empty else standby.kid,
        "algorithm": standby.algorithm.value,
        "private": standby.private.reveal() if standby.private else "",
        "created_at": format_time(standby.created_at),
    }
    seals = {
        "seal_key": sealing.key.reveal() if sealing.key else "",
        "vouched": sealing.vouched,
        "thawed_at": format_time(sealing.thawed_at),
        "remade_at": format_time(sealing.remade_at),
    }
    removal = {"removal": _encode_removal(standby.removal)} if standby.removal else {}
    return fields | {name: text for name, text in seals.items() if text} | removal


def decode_standby(fields: Fields, name: str) -> Standby:
    """
    Return the standby of *name*; raises DocumentError if it is damaged, of a newer schema or another keyset's.
    """
    try:
        check_header(fields, name, "standby")
        private, sealing = str(fields["private"]), decode_sealing(fields)
        return Standby(
            name,
            str(fields["epoch"]),
            Kid(str(fields["kid"])),
            Algorithm(fields["algorithm"]),
            SecretText(private) if private else None,
            parse_time(fields["created_at"]),
            sealing,
            _decode_removal(fields.get("removal")),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DocumentError(f"{name}: the standby is not rotator's, or damaged") from error


def decode_sealing(fields: Fields) -> Sealing:
    """
    Return what the fields of a standby say about seals, whatever the others are; raises ValueError or TypeError.

    A seal key needs no other proof than that a seal fits.
    """
    seal_key = str(fields.get("seal_key") or "")
    return Sealing(
        SecretText(seal_key) if seal_key else None,
        str(fields.get("vouched") or ""),
        thawed_at=optional_time(fields, "thawed_at"),
        remade_at=optional_time(fields, "remade_at"),
    )


def _encode_removal(removal: Removal) -> Fields:
    return {
        "op_id": removal.op_id,
        "at": format_time(removal.at),
        "reason": removal.reason,
        "done": "true" if removal.done else "",
    }


def _decode_removal(fields: Fields | None) -> Removal | None:
    if not fields:
        return None
    return Removal(str(fields["op_id"]), parse_time(fields["at"]), str(fields["reason"]), done=fields["done"] == "true")
