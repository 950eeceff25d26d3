"""
What a daemon last saw of a keyset, as kept in its state_dir. Pure.
"""

import json

from rotator.documents.public import encode_public
from rotator.model.publication import LastSeen


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def encode_last_seen(remembered: LastSeen) -> bytes:
    """
    Return the content of the file that keeps *remembered*.
    """
    timing = remembered.timing
    return json.dumps(
        {
            "op_id": remembered.op_id,
            "well_known": remembered.well_known,
            "symmetric": remembered.symmetric,
            "propagation_time": int(timing.propagation_time.total_seconds()),
            "max_token_lifetime": int(timing.max_token_lifetime.total_seconds()),
            "clock_skew": int(timing.clock_skew.total_seconds()),
            "public": encode_public(remembered.document),
        }
    ).encode()
