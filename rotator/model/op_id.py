"""
The op_id of a save: a UUID that tells when it was made.
"""

import uuid

UUID_VERSION = 7


def milliseconds_of(op_id: str) -> int | None:
    """
    Return when an op_id was made, in milliseconds since 1970 by its keygen's clock; None for one that does not say.
    """
    try:
        value = uuid.UUID(op_id)
    except ValueError:
        return None
    return value.int >> 80 if value.version == UUID_VERSION else None
