"""
The removal of a keyset, as its standby document keeps it: only the daemon and operators can write there.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Removal:
    """
    A person removes a keyset for good (`rotator remove`).

    Nothing signs with its keys from *at* on, so that the last live token can be reckoned. *done*: its keys are given up,
    and the standby is its gravestone, which tells every daemon to forget it.
    """

    op_id: str
    at: datetime
    reason: str = ""
    done: bool = False
