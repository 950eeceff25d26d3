"""
The op_id of a save: a UUID version 7 (RFC 9562 section 5.7), which tells when it was made.
"""

import uuid

UUID_VERSION = 7


def milliseconds_of(op_id: str) -> int | None:
    """
    Return when *op_id* was made, in milliseconds since 1970 by the clock of the machine that made it.

    None if it does not say: callers may give any text as op_id.
    """
    try:
        value = uuid.UUID(op_id)
    except ValueError:
        return None
    return value.int >> 80 if value.version == UUID_VERSION else None
