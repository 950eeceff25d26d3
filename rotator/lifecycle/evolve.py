"""
From one keyset to the next: what each change does to the document. Pure.

`decide` and `evolve` together are the Decider pattern: the one names a step, the other applies it, and neither reads a
clock, a store or randomness. Every result passes the `guard`.
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
    Outrun,
    Requested,
    Resaved,
    Retired,
    Revoked,
    Seen,
    Stamp,
    Unconfirmed,
    Update,
)
from rotator.lifecycle.guard import Transition, guard
from rotator.lifecycle.holds import demoted_late
from rotator.lifecycle.resaved import resaved
from rotator.model.keys import CurrentKey, HmacSecret, KeyPair, NextKey, OldKey, PublicKey
from rotator.model.keyset import Keyset, Revocation
from rotator.model.policy import Policy, Timing
from rotator.model.secret import SecretText
from rotator.model.times import round_up


def evolve(
    keyset: Keyset | None, change: Change, policy: Policy, stamp: Stamp, committed_at: datetime | None = None
) -> Keyset:
    """
    Return the keyset after *change*, as it is to be saved; *committed_at* is when the store committed *keyset*.

    Every save but a heartbeat brings the durations of *policy* into force, except that Extended never shortens one. No
    recorded deadline moves earlier. Raises InvariantError if the change would break a promise.
    """
    if isinstance(change, Create):
        if keyset is not None:
            raise InvariantError("a keyset that exists is not created again")
        after = _saved(_created(change, policy, stamp), change, policy, stamp)
        after = replace(after, purge_below=stamp.version if stamp.version > 1 else 0)
    elif keyset is None:
        raise InvariantError("a keyset must exist before it can change")
    elif isinstance(change, Seen):
        after = replace(keyset, seen_at=change.at)
    else:
        after = _updated(_count_from_commit(keyset, committed_at), change, policy, stamp)
    guard(Transition(keyset, after, change, stamp))
    return after


def _updated(keyset: Keyset, change: Update, policy: Policy, stamp: Stamp) -> Keyset:
    """
    Return the keyset after *change*. What it dropped is to be destroyed in every version below this save.

    So is everything below it if the store's counter restarted: `purge_below` was a number of the former counter.
    """
    after = _prolonged(_changed(keyset, change, policy, stamp), keyset.timing.longest(policy.timing))
    after = _saved(after, change, policy, stamp)
    if isinstance(change, Resaved) or _drops_material(keyset, after) or keyset.purge_below >= stamp.version:
        after = replace(after, purge_below=stamp.version)
    return after


def _created(change: Create, policy: Policy, stamp: Stamp) -> Keyset:
    return Keyset(
        name=change.name,
        epoch=change.epoch,
        sequence=0,
        op_id="",
        timing=policy.timing,
        current=_promoted(change.first, change.private, policy, stamp) if change.first else None,
        next=change.next,
    )


def _changed(keyset: Keyset, change: Update, policy: Policy, stamp: Stamp) -> Keyset:
    match change:
        case AddNext(key=key):
            return replace(keyset, next=key)
        case Confirmed():
            return _confirmed(keyset, change, policy)
        case Unconfirmed():
            return replace(keyset, next=replace(_next(keyset), published_at=None, usable_at=None))
        case Activated(private=private):
            return _activated(keyset, _next(keyset), private, policy, stamp)
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
        case Outrun(above=above):
            return replace(keyset, sequence=max(keyset.sequence, above))
        case Resaved():
            return resaved(keyset, change)
        case _:
            assert_never(change)


def _next(keyset: Keyset) -> NextKey:
    if keyset.next is None:
        raise InvariantError("there is no next key")
    return keyset.next


def _confirmed(keyset: Keyset, change: Confirmed, policy: Policy) -> Keyset:
    """
    Record the publication of `next`, not before its creation: two nodes of a store may have two clocks.

    The key of a keyset's creation need not propagate, unless verifiers may have cached a set without it: that which it
    shares, an earlier one of this keyset, or one of a keyset that had its name.
    """
    wait = keyset.timing.longest(policy.timing).propagation_time
    untouched = keyset.sequence == 1 and not keyset.purge_below
    if keyset.current is None and untouched and not change.shared:
        wait = timedelta(0)
    published_at = round_up(max(change.published_at, _next(keyset).created_at))
    return replace(keyset, next=replace(_next(keyset), published_at=published_at, usable_at=published_at + wait))


def _activated(keyset: Keyset, key: NextKey, private: SecretText | None, policy: Policy, stamp: Stamp) -> Keyset:
    old = keyset.old
    if keyset.current:
        old = (_demoted(keyset.current, keyset.timing, keyset.timing.longest(policy.timing), stamp), *old)
    current = _promoted(key, private, policy, stamp)
    return replace(keyset, current=current, next=None, old=old, rotate_requested=None)


def _promoted(key: NextKey, private: SecretText | None, policy: Policy, stamp: Stamp) -> CurrentKey:
    """
    Return *key* as the one that signs from now on.
    """
    material: HmacSecret | KeyPair
    if isinstance(key.material, PublicKey):
        if private is None:
            raise InvariantError("a key pair without its private key cannot sign")
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


def _demoted(key: CurrentKey, stored: Timing, timing: Timing, stamp: Stamp) -> OldKey:
    """
    Return *key* as one that only verifies, without its private key, until no token that it signed can be alive.
    """
    longest_token = max(key.longest_token, stored.max_token_lifetime)
    return OldKey(
        kid=key.kid,
        algorithm=key.algorithm,
        material=key.material.public if isinstance(key.material, KeyPair) else key.material,
        created_at=key.created_at,
        published_at=key.published_at,
        usable_at=key.usable_at,
        activated_at=key.activated_at,
        activated_by=key.activated_by,
        longest_token=longest_token,
        deactivated_at=stamp.earliest,
        retire_at=stamp.latest + timing.retention_of(longest_token),
        extra=key.extra,
    )


def _revoked(keyset: Keyset, change: Revoked, policy: Policy, stamp: Stamp) -> Keyset:
    current, next_key = keyset.current, keyset.next
    if current is None:
        raise InvariantError("a keyset that never had a current key has nothing to revoke")
    if next_key and next_key.kid in change.kids:
        next_key = None
    if current.kid in change.kids:
        if change.successor is None:
            raise InvariantError("there must be a key to sign before current leaves")
        if next_key and next_key.kid == change.successor.kid:
            next_key = None
        current = _promoted(change.successor, change.private, policy, stamp)
    return replace(
        keyset,
        current=current,
        next=next_key,
        old=tuple(key for key in keyset.old if key.kid not in change.kids),
        revoked=(*keyset.revoked, *_revocations(keyset, change, policy, stamp)),
        rotate_requested=keyset.rotate_requested if current is keyset.current else None,
    )


def _revocations(keyset: Keyset, change: Revoked, policy: Policy, stamp: Stamp) -> list[Revocation]:
    """
    Return an entry of the deny-list for each revoked key, until no token signed with it can be alive.
    """
    timing = keyset.timing.longest(policy.timing)
    found = []
    for kid in change.kids:
        key = keyset.find(kid)
        if key is None:
            raise InvariantError("a key that is not in the keyset cannot be revoked")
        signed = timedelta(0) if isinstance(key, NextKey) else key.longest_token
        until = stamp.latest + timing.retention_of(max(signed, timing.max_token_lifetime))
        found.append(Revocation(kid, stamp.earliest, change.reason, until))
    return found


def _prolonged(keyset: Keyset, timing: Timing) -> Keyset:
    """
    Move recorded deadlines later if *timing* promises more than they do.
    """
    next_key = keyset.next
    if (
        next_key
        and next_key.published_at
        and next_key.usable_at
        and (keyset.current or next_key.usable_at > next_key.published_at)
    ):
        later = max(next_key.usable_at, next_key.published_at + timing.propagation_time)
        next_key = replace(next_key, usable_at=later)
    old = tuple(
        replace(key, retire_at=max(key.retire_at, key.deactivated_at + timing.retention_of(key.longest_token)))
        for key in keyset.old
    )
    return replace(keyset, next=next_key, old=old)


def _count_from_commit(keyset: Keyset, committed_at: datetime | None) -> Keyset:
    """
    Count the retention of a key that was demoted late from the commit that demoted it.
    """
    late = demoted_late(keyset, committed_at)
    if late is None or committed_at is None:
        return keyset
    retire_at = round_up(committed_at) + keyset.timing.retention_of(late.longest_token)
    return replace(
        keyset, old=tuple(replace(key, retire_at=retire_at) if key.kid == late.kid else key for key in keyset.old)
    )


def _saved(after: Keyset, change: Change, policy: Policy, stamp: Stamp) -> Keyset:
    """
    Return *after* with what every save but a heartbeat sets: the durations in force, sequence, op_id and times.
    """
    timing = after.timing.longest(policy.timing) if isinstance(change, Extended) else policy.timing
    current, rotates_at = after.current, after.rotates_at
    if current and policy.rotates:
        rotates_at = current.activated_at + policy.rotation_period
    if current and current.longest_token < timing.max_token_lifetime:
        current = replace(current, longest_token=timing.max_token_lifetime)
    return replace(
        after,
        timing=timing,
        sequence=after.sequence + 1,
        op_id=stamp.op_id,
        current=current,
        rotates_at=rotates_at,
        heartbeat=policy.heartbeat,
        seen_at=stamp.earliest,
    )


def _drops_material(before: Keyset, after: Keyset) -> bool:
    """
    Return whether *after* lacks a secret or private key of *before*, or a whole key: a retired one leaves no trace.
    """
    return not _secret_kids(before) <= _secret_kids(after) or any(after.find(key.kid) is None for key in before.keys())


def _secret_kids(keyset: Keyset) -> set[str]:
    return {key.kid for key in keyset.keys() if isinstance(key.material, HmacSecret | KeyPair)}
