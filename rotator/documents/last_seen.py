"""
What a daemon last saw of a keyset, as kept in its state_dir. Pure.
"""

import json
from datetime import timedelta

from rotator.documents.jwk import parse_jwks
from rotator.documents.public import decode_public, encode_public
from rotator.errors import DocumentError, KeyMaterialError
from rotator.model.policy import Timing
from rotator.model.publication import LastSeen

_DAMAGE = (ValueError, KeyError, TypeError, OverflowError, RecursionError, KeyMaterialError)


def encode_last_seen(seen: LastSeen) -> bytes:
    """
    Return the content of the file that keeps *seen*.
    """
    timing = seen.timing
    return json.dumps(
        {
            "op_id": seen.op_id,
            "well_known": seen.well_known,
            "symmetric": seen.symmetric,
            "propagation_time": int(timing.propagation_time.total_seconds()),
            "max_token_lifetime": int(timing.max_token_lifetime.total_seconds()),
            "clock_skew": int(timing.clock_skew.total_seconds()),
            "public": encode_public(seen.document),
        }
    ).encode()


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
        )
    except _DAMAGE as error:
        raise DocumentError(f"{name}: what was last seen is not rotator's, or damaged") from error


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value
