"""
The guard: no change is saved that breaks one of these invariants. Pure.

Each invariant is a function of a `Transition` that returns whether it holds. The first line of its docstring is the
rule, and stands in docs/guarantees.md. `evolve` asks all of them about every change, whichever decision or command
made it; a violation is a fault of the program, and the document stays as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from rotator.errors import InvariantError
from rotator.lifecycle.changes import Activated, AddNext, Change, Create, Outrun, Resaved, Retired, Revoked, Seen, Stamp
from rotator.model.keys import HmacSecret, Key, KeyPair, NextKey, OldKey, PublicKey
from rotator.model.keyset import Keyset
from rotator.model.reasons import ActivationReason


@dataclass(frozen=True, slots=True)
class Transition:
    """
    A change about to be saved: the keyset *before* (None if it is created) and *after*.
    """

    before: Keyset | None
    after: Keyset
    change: Change
    stamp: Stamp

    @property
    def gone(self) -> tuple[Key, ...]:
        """
        The keys that leave.
        """
        return tuple(key for key in self.before.keys() if not self.after.find(key.kid)) if self.before else ()

    @property
    def kept(self) -> tuple[tuple[Key, Key], ...]:
        """
        The keys that stay, each as it was and as it will be.
        """
        pairs = ((key, self.after.find(key.kid)) for key in self.before.keys()) if self.before else ()
        return tuple((old, new) for old, new in pairs if new is not None)

    @property
    def new(self) -> tuple[Key, ...]:
        """
        The keys that join.
        """
        return tuple(key for key in self.after.keys() if self.before is None or not self.before.find(key.kid))


def each_kid_names_one_key(transition: Transition) -> bool:
    """
    No two keys of a keyset have the same kid.
    """
    kids = [key.kid for key in transition.after.keys()]
    return len(set(kids)) == len(kids)


def kids_are_never_reused(transition: Transition) -> bool:
    """
    No key joins a keyset under a kid that is in the keyset or on its deny-list.
    """
    before = transition.before
    if before is None:
        return True
    same = all(_verifier(old) == _verifier(new) for old, new in transition.kept)
    return same and not any(before.knows(key.kid) for key in transition.new)


def _verifier(key: Key) -> PublicKey | HmacSecret:
    """
    Return what verifies tokens of *key*: it stays the same in every state.
    """
    return key.material.public if isinstance(key.material, KeyPair) else key.material


def keys_are_of_one_kind(transition: Transition) -> bool:
    """
    The keys of a keyset are all shared secrets, or all key pairs.
    """
    return len({key.algorithm.symmetric for key in transition.after.keys()}) <= 1


def revoked_keys_are_out(transition: Transition) -> bool:
    """
    No key of a keyset is on its deny-list.
    """
    revoked = {revocation.kid for revocation in transition.after.revoked}
    return not any(key.kid in revoked for key in transition.after.keys())


def a_keyset_begins_with_a_creation(transition: Transition) -> bool:
    """
    A keyset begins with a creation, at sequence 1.
    """
    return transition.before is not None or (isinstance(transition.change, Create) and transition.after.sequence == 1)


def the_sequence_grows_by_one(transition: Transition) -> bool:
    """
    Every save but a heartbeat adds one to the sequence, or more to pass one that was shown, and keeps name and epoch.
    """
    before, after, change = transition.before, transition.after, transition.change
    if before is None or isinstance(change, Seen):
        return True
    follows = max(before.sequence, change.above if isinstance(change, Resaved | Outrun) else 0) + 1
    return (after.name, after.epoch, after.sequence) == (before.name, before.epoch, follows)


def a_heartbeat_changes_nothing(transition: Transition) -> bool:
    """
    A heartbeat changes `seen_at` and nothing else.
    """
    before, after = transition.before, transition.after
    if before is None or not isinstance(transition.change, Seen):
        return True
    return replace(after, seen_at=before.seen_at) == before


def a_purge_is_not_forgotten(transition: Transition) -> bool:
    """
    The version below which all material is destroyed never falls, unless the store's counter restarted.

    Then it is the version of this save, which destroys every version before.
    """
    before, after = transition.before, transition.after
    if before is None or isinstance(transition.change, Seen):
        return True
    version = transition.stamp.version
    if before.purge_below >= version:
        return after.purge_below == version
    return after.purge_below >= before.purge_below


def a_key_signs(transition: Transition) -> bool:
    """
    From the first activation on there is always a current key.
    """
    before = transition.before
    return before is None or before.current is None or transition.after.current is not None


def only_a_propagated_next_begins_to_sign(transition: Transition) -> bool:
    """
    Only `next` begins to sign, one propagation time after its confirmed publication or later.

    Excused are a keyset's creation (an imported key, a first HMAC secret), the successor of a revoked key, and
    `rotate-now --unsafe-now`. A first key of a set that no verifier has cached has its `usable_at` at its publication.
    """
    before, current, change = transition.before, transition.after.current, transition.change
    if before is None or current is None or (before.current and before.current.kid == current.kid):
        return True
    if isinstance(change, Revoked):
        return True
    if not isinstance(change, Activated) or before.next is None or before.next.kid != current.kid:
        return False
    if change.reason is ActivationReason.UNSAFE:
        return True
    published_at, usable_at = before.next.published_at, before.next.usable_at
    return published_at is not None and usable_at is not None and transition.stamp.earliest >= usable_at


def retention_is_whole(transition: Transition) -> bool:
    """
    An old key stays for `propagation_time` + `longest_token` + `clock_skew` after its deactivation, or longer.
    """
    timing = transition.after.timing
    return all(
        key.retire_at >= key.deactivated_at + timing.retention_of(key.longest_token) for key in transition.after.old
    )


def keys_leave_in_time(transition: Transition) -> bool:
    """
    A key leaves when its retention is over, when it is revoked, or when it is a `next` that can never sign.

    After a step of the clock, the retention goes on by the clock that dated it: the change names keys for which that is
    further than the clock shows now.
    """
    revoked = {revocation.kid for revocation in transition.after.revoked}
    return all(key.kid in revoked or _may_leave(key, transition) for key in transition.gone)


def _may_leave(key: Key, transition: Transition) -> bool:
    change = transition.change
    if isinstance(key, NextKey):
        return isinstance(change, AddNext) and change.replaces == key.kid
    if not isinstance(key, OldKey) or not isinstance(change, Retired | Resaved):
        return False
    return transition.stamp.earliest >= key.retire_at or (isinstance(change, Retired) and key.kid in change.over)


def old_keys_stay_old(transition: Transition) -> bool:
    """
    An old key never signs again.
    """
    return all(isinstance(new, OldKey) for old, new in transition.kept if isinstance(old, OldKey))


def deadlines_only_move_later(transition: Transition) -> bool:
    """
    A recorded `usable_at` or `retire_at` never moves earlier.
    """
    for old, new in transition.kept:
        before, after = _deadline(old), _deadline(new)
        if type(old) is type(new) and before and after and after < before:
            return False
    return True


def _deadline(key: Key) -> datetime | None:
    match key:
        case OldKey(retire_at=retire_at):
            return retire_at
        case NextKey(usable_at=usable_at):
            return usable_at
    return None


Invariant = Callable[[Transition], bool]
INVARIANTS: tuple[Invariant, ...] = (
    a_keyset_begins_with_a_creation,
    the_sequence_grows_by_one,
    a_heartbeat_changes_nothing,
    each_kid_names_one_key,
    kids_are_never_reused,
    keys_are_of_one_kind,
    revoked_keys_are_out,
    a_key_signs,
    only_a_propagated_next_begins_to_sign,
    retention_is_whole,
    keys_leave_in_time,
    old_keys_stay_old,
    deadlines_only_move_later,
    a_purge_is_not_forgotten,
)


def rule_of(invariant: Invariant) -> str:
    """
    Return the rule that *invariant* holds: the first line of its docstring.
    """
    return (invariant.__doc__ or "").strip().splitlines()[0]


def guard(transition: Transition) -> None:
    """
    Raise InvariantError, with its rule, for the first invariant that *transition* breaks.
    """
    for invariant in INVARIANTS:
        if not invariant(transition):
            raise InvariantError(f"{transition.after.name}: refused, for it would break a rule: {rule_of(invariant)}")
