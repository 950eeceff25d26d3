"""
What a daemon last saw of a keyset, as kept in its state_dir. Pure.
"""

import json
from datetime import timedelta

from rotator.documents.header import optional_time
from rotator.documents.jwk import parse_jwks
from rotator.documents.public import decode_public, encode_public
from rotator.documents.seal import SEAL
from rotator.errors import DocumentError, KeyMaterialError
from rotator.model.document import Fields
from rotator.model.policy import Timing
from rotator.model.publication import LastSeen
from rotator.model.times import format_time, parse_time

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, KeyMaterialError)


def last_seen_fields(seen: LastSeen) -> Fields:
    """
    Return *seen* as fields, without those that are empty.
    """
    timing = seen.timing
    later = {
        "version": seen.version,
        "digest": seen.digest,
        "stay_until": {kid: format_time(moment) for kid, moment in seen.stay_until.items()},
        "thawed_at": format_time(seen.thawed_at),
        SEAL: seen.seal,
    }
    return {
        "op_id": seen.op_id,
        "well_known": seen.well_known,
        "symmetric": seen.symmetric,
        "propagation_time": int(timing.propagation_time.total_seconds()),
        "max_token_lifetime": int(timing.max_token_lifetime.total_seconds()),
        "clock_skew": int(timing.clock_skew.total_seconds()),
        "public": encode_public(seen.document),
    } | {name: value for name, value in later.items() if value}


def encode_last_seen(seen: LastSeen) -> bytes:
    """
    Return the content of the file that keeps *seen*.
    """
    return json.dumps(last_seen_fields(seen)).encode()


def decode_last_seen(data: bytes, name: str) -> LastSeen:
    """
    Return what the file of the keyset *name* keeps; raises DocumentError if it is damaged or another keyset's.
    """
    try:
        fields = json.loads(data)
        document = decode_public(fields["public"], name)
        parse_jwks(document.jwks)
        return LastSeen(
            epoch=document.epoch,
            sequence=document.sequence,
            op_id=str(fields["op_id"]),
            well_known=_flag(fields["well_known"]),
            symmetric=_flag(fields["symmetric"]),
            timing=Timing(
                timedelta(seconds=fields["propagation_time"]),
                timedelta(seconds=fields["max_token_lifetime"]),
                timedelta(seconds=fields["clock_skew"]),
            ),
            document=document,
            version=int(fields.get("version", 0)),
            digest=str(fields.get("digest", "")),
            stay_until={str(kid): parse_time(text) for kid, text in fields.get("stay_until", {}).items()},
            thawed_at=optional_time(fields, "thawed_at"),
            seal=str(fields.get(SEAL, "")),
        )
    except _DAMAGE as error:
        raise DocumentError(f"{name}: what was last seen is not rotator's, or damaged") from error


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value
