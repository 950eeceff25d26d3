"""
What a person brings back or accepts (`rotator restore`, `rotator thaw`), without what must not come back. Pure.
"""

from dataclasses import replace

from rotator.lifecycle.changes import Resaved
from rotator.model.keyset import Keyset


def resaved(keyset: Keyset, change: Resaved) -> Keyset:
    """
    Return *keyset* without what must not come back. Its current key stays: the guard refuses one that is revoked.
    """
    out = {revocation.kid for revocation in change.revoked} | {*change.retired}
    return replace(
        keyset,
        sequence=max(keyset.sequence, change.above),
        next=None if keyset.next and keyset.next.kid in out else keyset.next,
        old=tuple(key for key in keyset.old if key.kid not in out),
        revoked=change.revoked,
        rotate_requested=None,
    )
