"""
From one keyset to the next: what each change does to the document, and the guard that no change may pass by. Pure.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from rotator.errors import InvariantError
from rotator.lifecycle.changes import (
    Activated,
    AddNext,
    Change,
    Confirmed,
    Create,
    Extended,
    Requested,
    Retired,
    Revoked,
    Stamp,
    Unconfirmed,
)
from rotator.lifecycle.guard import guard, retention_of
from rotator.lifecycle.holds import demoted_late
from rotator.model.keys import CurrentKey, HmacSecret, KeyPair, NextKey, OldKey, PublicKey
from rotator.model.keyset import Keyset, Revocation
from rotator.model.policy import Policy, Timing
from rotator.model.secret import SecretText
from rotator.model.times import round_up


def evolve(
    keyset: Keyset | None, change: Change, policy: Policy, stamp: Stamp, committed_at: datetime | None = None
) -> Keyset:
    """
    Return the keyset after *change*, as it is to be saved.

    A longer policy than the stored one comes into force with any save, a shorter one with any but Extended; neither shortens
    a deadline that was recorded. *committed_at* is when the store committed *keyset*. Raises InvariantError where the change would break the promise.
    """
    if isinstance(change, Create):
        after = Keyset(
            name=change.name,
            epoch=change.epoch,
            sequence=0,
            op_id="",
            timing=policy.timing,
            current=change.first,
            next=change.next,
        )
    else:
        if keyset is None:
            raise InvariantError("a keyset must exist before it can change")
        keyset = _count_from_commit(keyset, committed_at)
        after = _prolonged(_changed(keyset, change, policy, stamp), keyset.timing.longest(policy.timing))
    timing = after.timing.longest(policy.timing) if isinstance(change, Extended) else policy.timing
    after = replace(
        after,
        timing=timing,
        sequence=after.sequence + 1,
        op_id=stamp.op_id,
        rotates_at=after.current.activated_at + policy.rotation_period
        if after.current and policy.rotates
        else after.rotates_at,
    )
    if after.current and after.current.longest_token < timing.max_token_lifetime:
        after = replace(after, current=replace(after.current, longest_token=timing.max_token_lifetime))
    if keyset is not None and _drops_material(keyset, after):
        after = replace(after, purge_below=stamp.version)
    guard(keyset, after, change, stamp)
    return after


def _changed(keyset: Keyset, change: Change, policy: Policy, stamp: Stamp) -> Keyset:
    match change:
        case AddNext(key=key):
            return replace(keyset, next=key)
        case Confirmed(published_at=published_at, shared=shared):
            following = _next(keyset)
            wait = keyset.timing.longest(policy.timing).propagation_time
            if keyset.current is None and not shared:
                wait = timedelta(0)
            at = round_up(published_at)
            return replace(keyset, next=replace(following, published_at=at, usable_at=at + wait))
        case Unconfirmed():
            return replace(keyset, next=replace(_next(keyset), published_at=None, usable_at=None))
        case Activated(private=private):
            after = _activated(keyset, _next(keyset), private, policy, stamp)
            return replace(after, rotate_requested=None)
        case Retired(kids=kids):
            return replace(
                keyset,
                old=tuple(key for key in keyset.old if key.kid not in kids),
                revoked=tuple(revocation for revocation in keyset.revoked if stamp.earliest < revocation.until),
            )
        case Extended():
            return keyset
        case Revoked():
            return _revoked(keyset, change, policy, stamp)
        case Requested(request=request):
            return replace(keyset, rotate_requested=request)
        case Create():
            raise InvariantError("a keyset that exists is not created again")
        case _:
            assert_never(change)


def _next(keyset: Keyset) -> NextKey:
    if keyset.next is None:
        raise InvariantError("there is no next key")
    return keyset.next


def _activated(keyset: Keyset, key: NextKey, private: SecretText | None, policy: Policy, stamp: Stamp) -> Keyset:
    current, timing = keyset.current, keyset.timing.longest(policy.timing)
    old = keyset.old
    if current:
        deactivated = OldKey(
            kid=current.kid,
            algorithm=current.algorithm,
            material=current.material.public if isinstance(current.material, KeyPair) else current.material,
            created_at=current.created_at,
            published_at=current.published_at,
            usable_at=current.usable_at,
            activated_at=current.activated_at,
            activated_by=current.activated_by,
            longest_token=max(current.longest_token, keyset.timing.max_token_lifetime),
            deactivated_at=stamp.earliest,
            retire_at=stamp.latest,
            extra=current.extra,
        )
        old = (replace(deactivated, retire_at=stamp.latest + retention_of(deactivated, timing)), *old)
    return replace(keyset, current=promoted(key, private, policy, stamp), next=None, old=old)


def promoted(key: NextKey, private: SecretText | None, policy: Policy, stamp: Stamp) -> CurrentKey:
    """
    Return *key* as the one that signs from now on.
    """
    material: HmacSecret | KeyPair
    if isinstance(key.material, PublicKey):
        if private is None:
            raise InvariantError("a key pair without its private half cannot sign")
        material = KeyPair(private, key.material)
    else:
        material = key.material
    return CurrentKey(
        kid=key.kid,
        algorithm=key.algorithm,
        material=material,
        created_at=key.created_at,
        published_at=key.published_at,
        usable_at=key.usable_at,
        activated_at=stamp.earliest,
        activated_by=stamp.op_id,
        longest_token=policy.timing.max_token_lifetime,
        extra=key.extra,
    )


def _prolonged(keyset: Keyset, timing: Timing) -> Keyset:
    """
    Move recorded deadlines later where *timing* promises more than they do.
    """
    following = keyset.next
    if (
        following
        and following.published_at
        and following.usable_at
        and (keyset.current or following.usable_at > following.published_at)
    ):
        later = max(following.usable_at, following.published_at + timing.propagation_time)
        following = replace(following, usable_at=later)
    old = tuple(
        replace(key, retire_at=max(key.retire_at, key.deactivated_at + retention_of(key, timing))) for key in keyset.old
    )
    return replace(keyset, next=following, old=old)


def _count_from_commit(keyset: Keyset, committed_at: datetime | None) -> Keyset:
    """
    Count the retention of a key that became old late from the commit that made it old.
    """
    late = demoted_late(keyset, committed_at)
    if late is None or committed_at is None:
        return keyset
    retire_at = round_up(committed_at) + retention_of(late, keyset.timing)
    return replace(
        keyset, old=tuple(replace(key, retire_at=retire_at) if key.kid == late.kid else key for key in keyset.old)
    )


def _revoked(keyset: Keyset, change: Revoked, policy: Policy, stamp: Stamp) -> Keyset:
    current = keyset.current
    if current is None:
        raise InvariantError("a keyset that never had a current key has nothing to revoke")
    timing = keyset.timing.longest(policy.timing)
    revoked = list(keyset.revoked)
    for kid in change.kids:
        key = keyset.find(kid)
        if key is None:
            raise InvariantError("a key that is not in the keyset cannot be revoked")
        longest = (
            timing.max_token_lifetime if isinstance(key, NextKey) else max(key.longest_token, timing.max_token_lifetime)
        )
        until = stamp.latest + timing.propagation_time + longest + timing.clock_skew
        revoked.append(Revocation(kid, stamp.earliest, change.reason, until))
    following = None if keyset.next and keyset.next.kid in change.kids else keyset.next
    if current.kid in change.kids:
        if change.successor is None:
            raise InvariantError("there must be a key to sign before current leaves")
        if following and following.kid == change.successor.kid:
            following = None
        current = promoted(change.successor, change.private, policy, stamp)
    return replace(
        keyset,
        current=current,
        next=following,
        old=tuple(key for key in keyset.old if key.kid not in change.kids),
        revoked=tuple(revoked),
        rotate_requested=keyset.rotate_requested if current is keyset.current else None,
    )


def _drops_material(before: Keyset, after: Keyset) -> bool:
    secret_before = {key.kid for key in before.keys() if isinstance(key.material, HmacSecret | KeyPair)}
    return not secret_before <= {
        key.kid for key in after.keys() if isinstance(key.material, HmacSecret | KeyPair)
    } or any(after.find(key.kid) is None for key in before.keys())
