"""
The invariants that no change may break. Pure.
"""

from datetime import timedelta

from rotator.errors import InvariantError
from rotator.lifecycle.changes import Activated, AddNext, Change, Create, Retired, Revoked, Stamp
from rotator.model.keys import NextKey, OldKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing
from rotator.model.reasons import Reason


def retention_of(key: OldKey, timing: Timing) -> timedelta:
    """
    Return how long *key* stays after its deactivation: the retention of *timing*, with the longest token the key signed.
    """
    return timing.propagation_time + key.longest_token + timing.clock_skew


def guard(before: Keyset | None, after: Keyset, change: Change, stamp: Stamp) -> None:
    """
    Raise InvariantError where *after* breaks a promise that *before* made; asked of every change before it is saved.
    """
    kids = [key.kid for key in after.keys()]
    if len(set(kids)) != len(kids):
        raise InvariantError("a kid would be used twice")
    if set(kids) & {revocation.kid for revocation in after.revoked}:
        raise InvariantError("a revoked kid would stay in the keyset")
    if any(key.retire_at < key.deactivated_at + retention_of(key, after.timing) for key in after.old):
        raise InvariantError("an old key would leave before the last token it signed has expired")
    if before is None:
        if not isinstance(change, Create) or after.sequence != 1:
            raise InvariantError("a keyset would come from nothing")
        return
    if (after.name, after.epoch, after.sequence) != (before.name, before.epoch, before.sequence + 1):
        raise InvariantError("the sequence would not grow by one")
    if after.purge_below < before.purge_below:
        raise InvariantError("a purge would be forgotten")
    _guard_signing(before, after, change, stamp)
    _guard_leaving(before, after, change, stamp)


def _guard_signing(before: Keyset, after: Keyset, change: Change, stamp: Stamp) -> None:
    if after.current is None:
        if before.current is not None:
            raise InvariantError("no key would sign")
        return
    if before.current and before.current.kid == after.current.kid:
        return
    excused = isinstance(change, Revoked) or (isinstance(change, Activated) and change.reason is Reason.UNSAFE)
    following = before.next
    if excused:
        return
    if not isinstance(change, Activated) or following is None or following.kid != after.current.kid:
        raise InvariantError("a key would sign that was not next")
    if following.published_at is None or following.usable_at is None or stamp.earliest < following.usable_at:
        raise InvariantError("a key would sign before its publication has propagated")


def _guard_leaving(before: Keyset, after: Keyset, change: Change, stamp: Stamp) -> None:
    denied = {revocation.kid for revocation in after.revoked}
    for key in before.keys():
        kept = after.find(key.kid)
        if kept is None:
            withdrawn = isinstance(key, NextKey) and isinstance(change, AddNext) and change.replaces == key.kid
            retired = isinstance(key, OldKey) and isinstance(change, Retired) and stamp.earliest >= key.retire_at
            if key.kid not in denied and not withdrawn and not retired:
                raise InvariantError("a key would leave before its time")
        elif isinstance(key, OldKey) and (not isinstance(kept, OldKey) or kept.retire_at < key.retire_at):
            raise InvariantError("the deadline of an old key would move earlier")
        elif (
            isinstance(key, NextKey)
            and isinstance(kept, NextKey)
            and key.usable_at
            and kept.usable_at
            and kept.usable_at < key.usable_at
        ):
            raise InvariantError("the deadline of next would move earlier")
    new = {key.kid for key in after.keys()} - {key.kid for key in before.keys()}
    if any(before.knows(kid) for kid in new):
        raise InvariantError("a kid would be used again")
