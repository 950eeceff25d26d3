"""
What each change does to the document.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from rotator.errors import InvariantError
from rotator.lifecycle.changes import (
    Activated,
    AddNext,
    Change,
    Confirmed,
    Create,
    Extended,
    Requested,
    Resaved,
    Retired,
    Revoked,
    Seen,
    Stamp,
    Unconfirmed,
)
from rotator.lifecycle.decisions import Extend, Wait, decide
from rotator.lifecycle.evolve import evolve
from rotator.lifecycle.holds import Evidence
from rotator.model.keys import HmacSecret, KeyPair, Kid
from rotator.model.keyset import Revocation, RotateRequest
from rotator.model.reasons import ActivationReason
from rotator.model.secret import SecretText
from tests.support.world import World, at, policy, seconds


def rotated(algorithm: str = "RS256") -> World:
    """Return a world at second 115 with current, propagated next and one old key."""
    world = World(policy(algorithm))
    world.run(115)
    return world


def denied(kid: str) -> Revocation:
    """Return an entry of the deny-list."""
    return Revocation(Kid(kid), at(110), "stolen", at(900))


FORBIDDEN: dict[str, Callable[[World], Change]] = {
    "an old key retired early": lambda _: Retired((Kid("k1"),)),
    "a kid used again": lambda w: AddNext(replace(w.next_key, kid=Kid("k1"))),
    "next replaced without saying which": lambda w: AddNext(w.key(at(115))),
    "a pair activated without its private key": lambda _: Activated(ActivationReason.SCHEDULED),
    "current revoked with nothing to sign": lambda _: Revoked((Kid("k2"),), "stolen"),
    "a key revoked that is not there": lambda _: Revoked((Kid("nobody"),), "stolen"),
    "a keyset created twice": lambda w: Create("web", "other", w.key(at(115))),
    "a keyset accepted whose current key is revoked": lambda _: Resaved(0, (denied("k2"),)),
    "a keyset accepted without an old key that tokens need": lambda _: Resaved(0, (), (Kid("k1"),)),
    "current revoked without naming who signs next": lambda w: Revoked((Kid("k2"), w.next_key.kid), "stolen"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_forbidden(name: str) -> None:
    """Each forbidden change raises InvariantError."""
    world = rotated()
    change = FORBIDDEN[name](world)

    with pytest.raises(InvariantError):
        evolve(world.keyset, change, world.policy, world.stamp(at(115)))


def test_activation_before_usable_at_is_refused_without_an_excuse() -> None:
    """A key that has not propagated signs only by --unsafe-now or revocation."""
    world = World(policy())
    world.act(at(0))

    with pytest.raises(InvariantError):
        evolve(world.keyset, Activated(ActivationReason.COMMAND, world.private()), world.policy, world.stamp(at(9)))
    world.change(Activated(ActivationReason.UNSAFE, world.private()), at(9))
    assert world.current.kid == "k2"


def test_activation_after_unconfirmed_is_refused() -> None:
    """An unconfirmed next does not sign, however old it is."""
    world = rotated()
    world.change(Unconfirmed(), at(115))

    with pytest.raises(InvariantError):
        evolve(world.keyset, Activated(ActivationReason.SCHEDULED, world.private()), world.policy, world.stamp(at(999)))


def test_activation_keeps_no_private_half_and_asks_for_a_purge() -> None:
    """The demoted key keeps its public key only; every version below this save is to be destroyed."""
    world = World(policy())
    world.run(100)
    old = world.keyset.old[0]

    assert not isinstance(old.material, KeyPair | HmacSecret)
    assert world.keyset.purge_below == 6


def test_hmac_activation_drops_nothing() -> None:
    """A secret stays until it is retired, so an HMAC activation asks for no purge, and its retirement does."""
    world = World(policy("HS256"))
    world.run(100)
    assert world.keyset.purge_below == 0
    world.run(141, 101)
    assert world.keyset.purge_below == world.keyset.sequence


def test_revoked_current_is_followed_by_next_and_denied_for_its_retention() -> None:
    """One save: kid to the deny-list, next to current, material to be destroyed."""
    world = rotated()
    successor = world.next_key
    keyset = world.change(Revoked((Kid("k2"),), "stolen", successor, world.private()), at(115))

    assert world.current.kid == successor.kid
    assert keyset.next is None
    assert keyset.find("k2") is None
    assert [(r.kid, r.until) for r in keyset.revoked] == [("k2", at(115) + seconds(41))]
    assert keyset.purge_below == keyset.sequence


def test_revocations_are_pruned_by_the_next_retirement_after_their_end() -> None:
    """The deny-list does not grow for ever, and loses nothing early."""
    world = rotated()
    world.change(Revoked((Kid("k2"),), "stolen", world.next_key, world.private()), at(115))
    world.run(141, 116)
    assert [r.kid for r in world.keyset.revoked] == ["k2"]
    world.run(300, 142)
    assert world.keyset.revoked == ()


CHANGES: dict[str, Callable[[World], Change]] = {
    "unconfirmed": lambda _: Unconfirmed(),
    "confirmed": lambda _: Confirmed(at(115)),
    "activated": lambda w: Activated(ActivationReason.COMMAND, w.private()),
    "revoked": lambda w: Revoked((Kid("k2"),), "stolen", w.next_key, w.private()),
    "extended": lambda _: Extended(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_longer_policy_comes_into_force_with_any_change(name: str) -> None:
    """Whichever save is first, deadlines of living old keys move with the longer durations, so no change is refused for them."""
    world = rotated()
    before = world.keyset.old[0].retire_at
    world.policy = policy(p=13, skew=3)
    after = evolve(world.keyset, CHANGES[name](world), world.policy, world.stamp(at(115)))

    assert next(key for key in after.old if key.kid == "k1").retire_at == before + seconds(5)


def test_a_save_committed_late_is_counted_from_its_commit() -> None:
    """A pause between reading the clock and the commit moves retire_at, at once and with whatever is saved next."""
    world = World(policy())
    world.run(100)
    activation = replace(world.keyset, op_id=world.current.activated_by)
    evidence = Evidence(committed_at=at(160))

    assert isinstance(decide(activation, world.policy, Evidence(committed_at=at(102)), at(102)), Wait)
    assert isinstance(decide(activation, world.policy, evidence, at(160)), Extend)
    after = evolve(activation, Extended(), world.policy, world.stamp(at(160)), at(160))
    assert after.old[0].retire_at == at(160) + seconds(41)


def test_only_a_creation_begins_a_keyset() -> None:
    """Whatever else is asked of a keyset that does not exist is refused."""
    world = World(policy())

    with pytest.raises(InvariantError, match="must exist"):
        evolve(None, Extended(), world.policy, world.stamp(at(0)))


@pytest.mark.parametrize(
    "change", [Confirmed(at(115)), Unconfirmed(), Activated(ActivationReason.UNSAFE, SecretText("0" * 64))]
)
def test_without_a_next_there_is_none_to_confirm_or_activate(change: Change) -> None:
    """The change is refused, and names what is missing."""
    world = rotated()
    world.keyset = replace(world.keyset, next=None)

    with pytest.raises(InvariantError, match="no next key"):
        evolve(world.keyset, change, world.policy, world.stamp(at(115)))


def test_a_keyset_that_never_signed_has_nothing_to_revoke() -> None:
    """Its next is replaced instead."""
    world = World(policy())
    world.change(world.create(at(0)), at(0))

    with pytest.raises(InvariantError, match="nothing to revoke"):
        evolve(world.keyset, Revoked((Kid("k1"),), "stolen"), world.policy, world.stamp(at(1)))


def test_a_revoked_next_leaves_and_current_stays() -> None:
    """It signed nothing: it is denied for as long as a token of today's policy could live, and a request stays."""
    world = rotated()
    world.ask(120)
    keyset = world.change(Revoked((Kid("k3"),), "stolen"), at(115))

    assert keyset.next is None
    assert world.current.kid == "k2"
    assert [(entry.kid, entry.until) for entry in keyset.revoked] == [("k3", at(115) + seconds(41))]
    assert keyset.rotate_requested is not None


def test_a_revoked_current_ends_the_request_that_was_open() -> None:
    """The rotation that was asked for has happened."""
    world = rotated()
    world.ask(120)
    keyset = world.change(Revoked((Kid("k2"),), "stolen", world.next_key, world.private()), at(115))

    assert keyset.rotate_requested is None


def test_a_revoked_current_may_be_followed_by_a_fresh_key() -> None:
    """Then next stays next."""
    world = rotated()
    fresh = world.key(at(115))
    keyset = world.change(Revoked((Kid("k2"),), "stolen", fresh, world.private()), at(115))

    assert world.current.kid == fresh.kid
    assert keyset.next is not None
    assert keyset.next.kid == "k3"


def test_a_request_is_kept_as_it_was_made() -> None:
    """It changes no key."""
    world = rotated()
    keys = tuple(world.keyset.keys())
    request = RotateRequest("op-x", at(115), "drill")

    keyset = world.change(Requested(request), at(115))

    assert keyset.rotate_requested == request
    assert tuple(keyset.keys()) == keys


def test_the_key_that_signs_under_a_longer_token_life_remembers_it() -> None:
    """And keeps it when the life is shortened again: tokens that long are out."""
    world = rotated()
    world.policy = policy(life=60)
    world.change(Extended(), at(115))
    assert world.current.longest_token == seconds(60)

    world.policy = policy(life=30)
    world.change(Unconfirmed(), at(116))
    assert world.current.longest_token == seconds(60)
    world.run(200, 117)
    assert world.keyset.old[0].longest_token == seconds(60)
    assert world.keyset.old[0].retire_at == at(200) + seconds(71)


def test_a_keyset_in_no_configuration_keeps_the_moment_it_was_due() -> None:
    """Only a policy that rotates sets it."""
    world = rotated()
    due = world.keyset.rotates_at
    world.policy = replace(policy(period=500), rotates=False)
    world.change(Unconfirmed(), at(116))

    assert due == world.keyset.rotates_at == at(200)


def test_the_key_of_a_creation_may_sign_once_it_is_published() -> None:
    """No verifier has a set without it."""
    world = World(policy())
    world.change(world.create(at(0)), at(0))
    world.change(Confirmed(at(1), shared=False), at(1))

    assert world.next_key.usable_at == at(1)


def test_a_first_key_that_replaces_another_propagates() -> None:
    """The one before was served: verifiers may have cached the set with that alone."""
    world = World(policy())
    world.change(world.create(at(0)), at(0))
    world.change(AddNext(world.key(at(1)), world.next_key.kid), at(1))
    world.change(Confirmed(at(2), shared=False), at(2))

    assert world.next_key.usable_at == at(12)


def test_a_first_key_of_a_name_that_was_in_use_propagates() -> None:
    """A keyset of that name was removed or lost: verifiers may have cached its set."""
    world = World(policy())
    stamp = replace(world.stamp(at(0)), version=7)
    world.keyset = evolve(None, world.create(at(0)), world.policy, stamp)
    world.change(Confirmed(at(1), shared=False), at(1))

    assert world.next_key.usable_at == at(11)


def test_published_at_is_rounded_up_to_the_second() -> None:
    """Propagation is never counted from a moment before the confirmation."""
    world = rotated()
    world.change(Unconfirmed(), at(115))
    world.change(Confirmed(at(115.2)), at(116))

    assert (world.next_key.published_at, world.next_key.usable_at) == (at(116), at(126))


def test_the_activation_is_bounded_by_both_ends_of_its_stamp() -> None:
    """Signing begins at the earliest moment, retention at the latest."""
    world = rotated()
    stamp = replace(world.stamp(at(130)), latest=at(131))

    after = evolve(world.keyset, Activated(ActivationReason.COMMAND, world.private()), world.policy, stamp)

    assert after.current is not None
    assert (after.current.activated_at, after.current.activated_by) == (at(130), stamp.op_id)
    assert (after.old[0].deactivated_at, after.old[0].retire_at) == (at(130), at(131) + seconds(41))


def test_what_a_newer_program_wrote_survives_every_state() -> None:
    """Unknown fields of a key go with it from next to current to old."""
    world = rotated()
    extra = {"note": "kept"}
    world.keyset = replace(world.keyset, next=replace(world.next_key, extra=extra))
    world.run(300, 116)

    assert {key.kid: key.extra for key in world.keyset.old}[Kid("k3")] == extra


def test_where_the_counter_restarted_every_save_purges_all_before_it() -> None:
    """A document put back, or copied: `purge_below` was a number of the former counter. After that it stands again."""
    world = World(policy())
    world.run(20)
    world.keyset = replace(world.keyset, purge_below=40)
    assert world.keyset.purge_limit(1) == 1

    first = evolve(world.keyset, Extended(), world.policy, Stamp(at(20), at(20), "op", 2))
    assert first.purge_below == 2
    second = evolve(first, Extended(), world.policy, Stamp(at(20), at(20), "op", 3))
    assert (second.purge_below, second.purge_limit(3)) == (2, 2)


def test_a_heartbeat_leaves_a_foreign_purge_below_to_the_next_save() -> None:
    """It changes nothing but its moment."""
    world = World(policy(heartbeat=True))
    world.run(20)
    world.keyset = replace(world.keyset, purge_below=40)

    assert evolve(world.keyset, Seen(at(20)), world.policy, Stamp(at(20), at(20), "op", 2)).purge_below == 40
    with pytest.raises(InvariantError, match="must exist"):
        evolve(None, Seen(at(20)), world.policy, Stamp(at(20), at(20), "op", 2))


# -- what a person accepts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("above", "sequence"), [(0, 9), (8, 9), (500, 501)])
def test_an_accepted_keyset_is_above_every_sequence_seen(above: int, sequence: int) -> None:
    """And above its own; its epoch and its keys stay, and every other version is to be destroyed."""
    world = rotated()
    before = replace(world.keyset, sequence=8, purge_below=700, rotate_requested=RotateRequest("op", at(1), ""))
    after = evolve(before, Resaved(above), world.policy, replace(world.stamp(at(115)), version=12))

    assert (after.sequence, after.epoch, after.purge_below) == (sequence, before.epoch, 12)
    assert after.rotate_requested is None
    assert tuple(after.keys()) == tuple(before.keys())


def test_what_was_revoked_or_retired_since_does_not_come_back() -> None:
    """The deny-list is that of everything that could be read."""
    world = rotated("HS256")
    retires = world.keyset.old[0].retire_at
    revoked = (denied("k3"), denied("long gone"))
    after = evolve(
        world.keyset, Resaved(9, revoked, (Kid("k1"),)), world.policy, replace(world.stamp(retires), version=5)
    )

    assert [key.kid for key in after.keys()] == ["k2"]
    assert after.revoked == revoked
