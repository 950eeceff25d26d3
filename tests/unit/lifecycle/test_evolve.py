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
    Retired,
    Revoked,
    Unconfirmed,
)
from rotator.lifecycle.decisions import Extend, Wait, decide
from rotator.lifecycle.evolve import evolve
from rotator.lifecycle.holds import Evidence
from rotator.model.keys import HmacSecret, KeyPair, Kid
from rotator.model.reasons import ActivationReason
from tests.support.world import World, at, policy, seconds


def rotated(algorithm: str = "RS256") -> World:
    """Return a world at second 115 with current, propagated next and one old key."""
    world = World(policy(algorithm))
    world.run(115)
    return world


FORBIDDEN: dict[str, Callable[[World], Change]] = {
    "an old key retired early": lambda _: Retired((Kid("k1"),)),
    "a kid used again": lambda w: AddNext(replace(w.next_key, kid=Kid("k1"))),
    "next replaced without saying which": lambda w: AddNext(w.key(at(115))),
    "a pair activated without its private key": lambda _: Activated(ActivationReason.SCHEDULED),
    "current revoked with nothing to sign": lambda _: Revoked((Kid("k2"),), "stolen"),
    "a key revoked that is not there": lambda _: Revoked((Kid("nobody"),), "stolen"),
    "a keyset created twice": lambda w: Create("web", "other", w.key(at(115))),
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
