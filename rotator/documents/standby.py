"""
The standby document (`standby/`): the private key of the next key pair, until it is activated. Pure.
"""

from dataclasses import dataclass
from datetime import datetime

from rotator.documents.header import SCHEMA, check_header
from rotator.errors import DocumentError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Fields
from rotator.model.keys import Kid
from rotator.model.secret import SecretText
from rotator.model.times import format_time, parse_time


@dataclass(frozen=True, slots=True)
class Standby:
    """
    The private key of the next key; None once the standby was emptied.
    """

    keyset: str
    epoch: str
    kid: Kid
    algorithm: Algorithm
    private: SecretText | None
    created_at: datetime


def encode_standby(standby: Standby) -> Fields:
    """
    Return the fields of the standby document; an emptied one keeps only the names of keyset and epoch.
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
    Return the standby of *name*; raises DocumentError if it is damaged, of a newer schema or another keyset's.
    """
    try:
        check_header(fields, name, "standby")
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
