"""
The guard: every invariant has a transition that breaks it and no other, and a line in the guarantees.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rotator.errors import InvariantError
from rotator.lifecycle import guard as guard_module
from rotator.lifecycle.changes import (
    Activated,
    AddNext,
    Change,
    Confirmed,
    Create,
    Extended,
    Retired,
    Revoked,
    Seen,
    Stamp,
    Unconfirmed,
)
from rotator.lifecycle.evolve import evolve
from rotator.lifecycle.guard import INVARIANTS, Invariant, Transition, guard, rule_of
from rotator.model.keys import CurrentKey, HmacSecret, KeyPair, Kid, NextKey, OldKey, PublicKey
from rotator.model.keyset import Revocation
from rotator.model.reasons import ActivationReason
from rotator.model.secret import SecretText
from tests.support.world import World, at, policy, seconds

GUARANTEES = Path(__file__).parents[3] / "docs" / "guarantees.md"
NOW = at(115)


def rotated(algorithm: str = "RS256") -> World:
    """Return a world at second 115 with an old key k1, a current k2 and a propagated next k3."""
    world = World(policy(algorithm))
    world.run(115)
    assert [key.kid for key in world.keyset.keys()] == ["k2", "k3", "k1"]
    return world


def step(world: World, change: Change, now: float = 115, **members: object) -> Transition:
    """Return a transition that saves *members* and is good but for them."""
    before = world.keyset
    after = replace(before, sequence=before.sequence + 1, **members)  # type: ignore[arg-type]
    return Transition(before, after, change, Stamp(at(now), at(now), "op", after.sequence))


def activation(world: World, now: float = 115) -> tuple[CurrentKey, OldKey]:
    """Return next as the key that signs, and current as the old one."""
    change = Activated(ActivationReason.UNSAFE, world.private())
    after = evolve(world.keyset, change, world.policy, world.stamp(at(now)))
    assert after.current
    return after.current, after.old[0]


def revocation(kid: str) -> Revocation:
    """Return an entry of the deny-list."""
    return Revocation(Kid(kid), NOW, "stolen", at(900))


def created(change: Change, sequence: int = 1) -> Transition:
    """Return how a keyset begins."""
    after = replace(World(policy()).change(World(policy()).create(at(0)), at(0)), sequence=sequence)
    return Transition(None, after, change, Stamp(at(0), at(0), "op", 1))


def begins_without_creation() -> Transition:
    """A change of a keyset that does not exist."""
    return created(Extended())


def begins_late() -> Transition:
    """A new keyset at sequence 2."""
    return created(World(policy()).create(at(0)), sequence=2)


def sequence_stands() -> Transition:
    """A save that keeps the sequence."""
    good = step(rotated(), Extended())
    return replace(good, after=replace(good.after, sequence=good.after.sequence - 1))


def sequence_jumps() -> Transition:
    """A save that skips a sequence."""
    good = step(rotated(), Extended())
    return replace(good, after=replace(good.after, sequence=good.after.sequence + 1))


def another_epoch() -> Transition:
    """A save into another life of the keyset."""
    return step(rotated(), Extended(), epoch="another")


def another_name() -> Transition:
    """A save of one keyset over another."""
    return step(rotated(), Extended(), name="another")


def one_kid_twice() -> Transition:
    """The same old key twice."""
    world = rotated()
    return step(world, Extended(), old=world.keyset.old * 2)


def a_denied_kid_again() -> Transition:
    """A new next under a kid that this very save takes from the deny-list."""
    world = rotated()
    world.keyset = replace(world.keyset, next=None, revoked=(revocation("k0"),))
    key = replace(world.key(NOW), kid=Kid("k0"))
    return step(world, AddNext(key), next=key, revoked=())


def another_key_under_a_kid_in_use() -> Transition:
    """Another key in the place of next, and under its kid."""
    world = rotated()
    key = replace(world.key(NOW), kid=world.next_key.kid)
    return step(world, AddNext(key, replaces=key.kid), next=key)


def another_secret_under_a_kid_in_use() -> Transition:
    """Another shared secret under the kid of an old one."""
    world = rotated("HS256")
    (old,) = world.keyset.old
    return step(world, Extended(), old=(replace(old, material=HmacSecret(SecretText("1" * 64))),))


def a_secret_among_pairs() -> Transition:
    """A shared secret that follows key pairs."""
    world = rotated()
    world.keyset = replace(world.keyset, next=None)
    key = replace(World(policy("HS256")).key(NOW), kid=Kid("k9"))
    return step(world, AddNext(key), next=key)


def denied_and_current() -> Transition:
    """A current key that is on the deny-list."""
    return step(rotated(), Extended(), revoked=(revocation("k2"),))


def denied_and_old() -> Transition:
    """An old key that is on the deny-list."""
    return step(rotated(), Extended(), revoked=(revocation("k1"),))


def nothing_signs() -> Transition:
    """A revocation of current without a successor."""
    return step(rotated(), Revoked((Kid("k2"),), "stolen"), current=None, revoked=(revocation("k2"),))


def signs_before_it_propagated() -> Transition:
    """An activation a second before `usable_at`."""
    world = World(policy())
    world.run(100)
    current, old = activation(world, 109)
    change = Activated(ActivationReason.SCHEDULED, world.private())
    return step(world, change, 109, current=current, next=None, old=(old, *world.keyset.old))


def signs_unconfirmed() -> Transition:
    """An activation of a next whose publication was never confirmed, however old it is."""
    world = rotated()
    world.change(Unconfirmed(), NOW)
    current, old = activation(world, 900)
    change = Activated(ActivationReason.COMMAND, world.private())
    return step(world, change, 900, current=current, next=None, old=(old, *world.keyset.old))


def signs_from_nowhere() -> Transition:
    """An activation of a key that is not next."""
    world = rotated()
    current, old = activation(world)
    stranger = replace(current, kid=Kid("k9"))
    change = Activated(ActivationReason.UNSAFE, world.private())
    return step(world, change, current=stranger, old=(old, *world.keyset.old))


def signs_by_the_way() -> Transition:
    """A change of durations that activates next."""
    world = rotated()
    current, old = activation(world)
    return step(world, Extended(), current=current, next=None, old=(old, *world.keyset.old))


def retention_cut() -> Transition:
    """A demotion that keeps the old key a second too short."""
    world = rotated()
    current, old = activation(world)
    short = replace(old, retire_at=old.retire_at - seconds(1))
    change = Activated(ActivationReason.SCHEDULED, world.private())
    return step(world, change, current=current, next=None, old=(short, *world.keyset.old))


def retention_outgrown() -> Transition:
    """Longer durations that leave a recorded deadline as it was."""
    return step(rotated(), Extended(), timing=policy(p=20).timing)


def old_leaves_early() -> Transition:
    """A retirement a second before `retire_at`."""
    return step(rotated(), Retired((Kid("k1"),)), 140, old=())


def old_leaves_unasked() -> Transition:
    """An old key whose time is over, dropped by another change than its retirement."""
    return step(rotated(), Extended(), 900, old=())


def next_leaves_unnamed() -> Transition:
    """A next replaced by a change that does not name it."""
    world = rotated()
    key = world.key(NOW)
    return step(world, AddNext(key), next=key)


def current_leaves() -> Transition:
    """An activation that does not keep what signed until then."""
    world = rotated()
    current, _ = activation(world)
    change = Activated(ActivationReason.SCHEDULED, world.private())
    return step(world, change, current=current, next=None)


def old_signs_again() -> Transition:
    """A revocation of current that is followed by an old key."""
    world = rotated()
    (old,) = world.keyset.old
    assert isinstance(old.material, PublicKey)
    again = replace(world.current, kid=old.kid, material=KeyPair(SecretText("0" * 64), old.material))
    change = Revoked((Kid("k2"),), "stolen")
    return step(world, change, current=again, old=(), revoked=(revocation("k2"),))


def old_waits_again() -> Transition:
    """An old key that becomes next."""
    world = rotated()
    (old,) = world.keyset.old
    world.keyset = replace(world.keyset, next=None)
    again = NextKey(kid=old.kid, algorithm=old.algorithm, material=old.material, created_at=old.created_at)
    return step(world, Extended(), next=again, old=())


def retires_earlier() -> Transition:
    """A recorded `retire_at` moved earlier, though its retention is whole still."""
    world = rotated()
    (old,) = world.keyset.old
    world.keyset = replace(world.keyset, old=(replace(old, retire_at=old.retire_at + seconds(60)),))
    return step(world, Extended(), old=(old,))


def usable_earlier() -> Transition:
    """A recorded `usable_at` moved earlier."""
    world = rotated()
    key = replace(world.next_key, usable_at=at(112))
    world.keyset = replace(world.keyset, next=replace(key, usable_at=at(113)))
    return step(world, Extended(), next=key)


def purge_forgotten() -> Transition:
    """A save that lowers the version below which all is destroyed."""
    world = rotated()
    return step(world, Extended(), purge_below=world.keyset.purge_below - 1)


def purge_forgotten_elsewhere() -> Transition:
    """A save that keeps the number of a counter that restarted."""
    return step(moved(), Extended())


def purge_too_low_elsewhere() -> Transition:
    """A save that leaves the versions of the new counter as they are."""
    return step(moved(), Extended(), purge_below=3)


def moved() -> World:
    """Return a world whose document came from a store that had counted further."""
    world = rotated()
    world.keyset = replace(world.keyset, purge_below=99)
    return world


def heartbeat_counts() -> Transition:
    """A heartbeat that adds one to the sequence: consumers would read again."""
    return step(rotated(), Seen(NOW), seen_at=NOW)


def heartbeat_extends() -> Transition:
    """A heartbeat that carries longer durations."""
    good = step(rotated(), Seen(NOW), seen_at=NOW, timing=policy(life=31).timing)
    return replace(good, after=replace(good.after, sequence=good.after.sequence - 1))


BROKEN: dict[str, tuple[Callable[[], Transition], ...]] = {
    "a_keyset_begins_with_a_creation": (begins_without_creation, begins_late),
    "the_sequence_grows_by_one": (sequence_stands, sequence_jumps, another_epoch, another_name),
    "a_heartbeat_changes_nothing": (heartbeat_counts, heartbeat_extends),
    "each_kid_names_one_key": (one_kid_twice,),
    "kids_are_never_reused": (
        a_denied_kid_again,
        another_key_under_a_kid_in_use,
        another_secret_under_a_kid_in_use,
    ),
    "keys_are_of_one_kind": (a_secret_among_pairs,),
    "revoked_keys_are_out": (denied_and_current, denied_and_old),
    "a_key_signs": (nothing_signs,),
    "only_a_propagated_next_begins_to_sign": (
        signs_before_it_propagated,
        signs_unconfirmed,
        signs_from_nowhere,
        signs_by_the_way,
    ),
    "retention_is_whole": (retention_cut, retention_outgrown),
    "keys_leave_in_time": (old_leaves_early, old_leaves_unasked, next_leaves_unnamed, current_leaves),
    "old_keys_stay_old": (old_signs_again, old_waits_again),
    "deadlines_only_move_later": (retires_earlier, usable_earlier),
    "a_purge_is_not_forgotten": (purge_forgotten, purge_forgotten_elsewhere, purge_too_low_elsewhere),
}
CASES = [(name, made) for name, makers in BROKEN.items() for made in makers]


def invariant_of(name: str) -> Invariant:
    """Return the invariant of that name."""
    return next(invariant for invariant in INVARIANTS if name_of(invariant) == name)


def name_of(invariant: Invariant) -> str:
    """Return the name of *invariant*."""
    return str(getattr(invariant, "__name__", ""))


@pytest.mark.parametrize(("name", "made"), CASES, ids=[f"{name}-{made.__name__}" for name, made in CASES])
def test_a_transition_that_breaks_one_rule_is_refused_with_it(name: str, made: Callable[[], Transition]) -> None:
    """Each of them breaks this invariant and no other, and the refusal says the rule and the keyset."""
    transition = made()

    assert [name_of(invariant) for invariant in INVARIANTS if not invariant(transition)] == [name]
    with pytest.raises(InvariantError) as caught:
        guard(transition)
    assert rule_of(invariant_of(name)) in str(caught.value)
    assert str(caught.value).startswith(f"{transition.after.name}: ")


def test_every_invariant_is_broken_here() -> None:
    """A new invariant needs a transition that breaks it; and every predicate of the module is asked."""
    predicates = [
        name
        for name, value in vars(guard_module).items()
        if callable(value) and getattr(value, "__annotations__", None) == PREDICATE
    ]

    assert [name_of(invariant) for invariant in INVARIANTS] == list(BROKEN)
    assert sorted(predicates) == sorted(BROKEN)


PREDICATE = {"transition": Transition, "return": bool}


def test_the_guarantees_list_every_invariant_and_nothing_else() -> None:
    """The section "Invariants" of docs/guarantees.md and the guard say the same, in the same order."""
    section = GUARANTEES.read_text().partition("\n## Invariants\n")[2].partition("\n## ")[0]
    bullets = [line.removeprefix("- ") for line in section.splitlines() if line.startswith("- ")]

    assert bullets == [rule_of(invariant) for invariant in INVARIANTS]


def test_no_rule_refuses_what_a_life_is_made_of() -> None:
    """From the creation to a revocation every change passes, the excused ones too."""
    world = World(policy())
    world.change(world.create(at(0)), at(0))
    first, second, third = (replace(world.key(at(0)), kid=Kid(f"k{number}")) for number in (2, 3, 4))
    fourth = replace(world.key(at(143)), kid=Kid("k5"))
    life: tuple[tuple[float, Change], ...] = (
        (0, Confirmed(at(0), shared=False)),
        (0, Activated(ActivationReason.FIRST, world.private())),
        (0, AddNext(first)),
        (0, Confirmed(at(0))),
        (1, Unconfirmed()),
        (1, Confirmed(at(1))),
        (100, Activated(ActivationReason.SCHEDULED, world.private())),
        (141, Retired((Kid("k1"),))),
        (141, AddNext(second)),
        (141, AddNext(third, replaces=second.kid)),
        (142, Activated(ActivationReason.UNSAFE, world.private())),
        (142, Extended()),
        (142, Seen(at(142))),
        (143, Revoked((third.kid, first.kid), "stolen", fourth, world.private())),
    )
    for now, change in life:
        world.change(change, at(now))

    assert world.current.kid == "k5"
    assert [entry.kid for entry in world.keyset.revoked] == ["k4", "k2"]


def test_the_gone_the_kept_and_the_new_are_told_apart_by_kid() -> None:
    """A creation has new keys only."""
    world = rotated()
    after = world.change(AddNext(world.key(NOW), replaces=Kid("k3")), NOW)
    transition = step(world, Retired((Kid("k1"),)), 141, old=())

    assert [key.kid for key in transition.gone] == ["k1"]
    assert [(old.kid, new.kid) for old, new in transition.kept] == [("k2", "k2"), (after.next and after.next.kid,) * 2]
    assert transition.new == ()
    beginning = created(Create("web", "epoch", world.key(NOW)))
    assert (beginning.gone, beginning.kept) == ((), ())
    assert [key.kid for key in beginning.new] == ["k1"]


def test_a_key_may_leave_by_the_clock_that_dated_it() -> None:
    """A clock that was set back shows less than has passed; only the keys that the change names are excused."""
    world = rotated()
    guard(step(world, Retired((Kid("k1"),), frozenset({Kid("k1")})), 140, old=()))
    with pytest.raises(InvariantError, match="A key leaves when its retention is over"):
        guard(step(world, Retired((Kid("k1"),), frozenset({Kid("k2")})), 140, old=()))
