"""
When a rotation is due, what holds it, and which keys are over.
"""

from dataclasses import replace

import pytest

from rotator.lifecycle.holds import (
    GOOD,
    Evidence,
    Hold,
    activation_hold,
    demoted_late,
    due_at,
    may_confirm,
    misdated,
    overdue,
    retirable,
    still_needed,
)
from rotator.model.keys import Kid
from rotator.model.reasons import HoldReason
from tests.support.world import KEYS, World, at, policy, seconds


def propagated(algorithm: str = "RS256", **more: object) -> World:
    """Return a world at second 20, whose next was usable from second 10 on."""
    world = World(policy(algorithm, **more))  # type: ignore[arg-type]
    world.run(20)
    return world


def rotated(algorithm: str = "RS256", **more: object) -> World:
    """Return a world at second 100, when k1 became old."""
    world = World(policy(algorithm, **more))  # type: ignore[arg-type]
    world.run(100)
    return world


def test_a_propagated_next_is_held_by_nothing() -> None:
    """From `usable_at` on, on that very second."""
    world = propagated()

    assert activation_hold(world.keyset, world.policy, GOOD, at(10)) is None
    assert activation_hold(world.keyset, world.policy, GOOD, at(9)) == Hold(HoldReason.PROPAGATING, at(10))


HELD = {
    "clock": (Evidence(clock_trusted=False), HoldReason.CLOCK),
    "standby doubted": (Evidence(standby_doubted=True), HoldReason.STANDBY_LOST),
    "standby lost": (Evidence(standby_lost=True), HoldReason.STANDBY_LOST),
    "confirmation failed": (Evidence(confirm_after=at(21)), HoldReason.UNCONFIRMED),
}


@pytest.mark.parametrize("name", HELD)
def test_what_a_process_saw_holds_a_propagated_next(name: str) -> None:
    """No moment is known from which it may sign."""
    world = propagated()
    evidence, reason = HELD[name]

    assert activation_hold(world.keyset, world.policy, evidence, at(20)) == Hold(reason)


def test_without_a_next_there_is_nothing_to_activate() -> None:
    """And no moment is known either."""
    world = propagated()
    keyset = replace(world.keyset, next=None)

    assert activation_hold(keyset, world.policy, GOOD, at(20)) == Hold(HoldReason.NO_NEXT)


def test_an_unconfirmed_next_is_held() -> None:
    """However old it is."""
    world = propagated()
    keyset = replace(world.keyset, next=replace(world.next_key, published_at=None, usable_at=None))

    assert activation_hold(keyset, world.policy, GOOD, at(9999)) == Hold(HoldReason.UNCONFIRMED)


def test_the_clock_comes_before_every_other_reason() -> None:
    """Each of the others is read off it."""
    world = propagated()
    evidence = Evidence(clock_trusted=False, standby_doubted=True, confirm_after=at(99))

    assert activation_hold(replace(world.keyset, next=None), world.policy, evidence, at(0)) == Hold(HoldReason.CLOCK)


def test_a_flat_secret_that_is_needed_holds_until_it_retires() -> None:
    """A second old secret would push it out of the flat fields."""
    world = rotated("HS256")
    (old,) = world.keyset.old

    assert activation_hold(world.keyset, world.policy, GOOD, at(140)) == Hold(HoldReason.OLD_NEEDED, old.retire_at)
    assert activation_hold(world.keyset, world.policy, GOOD, at(141)) is None


def test_the_old_key_that_is_needed_longest_counts() -> None:
    """Of several old secrets, as a change of `readers` leaves them."""
    world = rotated("HS256", readers=KEYS)
    (old,) = world.keyset.old
    keyset = replace(world.keyset, old=(old, replace(old, retire_at=at(500))))

    needed = still_needed(keyset, policy("HS256"), GOOD, at(120))

    assert needed is not None
    assert needed.retire_at == at(500)
    assert still_needed(keyset, policy("HS256"), GOOD, at(500)) is None


@pytest.mark.parametrize("rules", [policy("HS256", readers=KEYS), policy("RS256")])
def test_readers_of_all_old_keys_lose_none(rules: object) -> None:
    """Readers of `keys[]` and of a JWKS see every old key, so none holds a rotation."""
    world = rotated("HS256", readers=KEYS)

    assert still_needed(world.keyset, rules, GOOD, at(101)) is None  # type: ignore[arg-type]


def test_the_back_off_after_a_failed_confirmation_ends_on_its_second() -> None:
    """Without a failure there is none."""
    assert may_confirm(GOOD, at(0))
    assert not may_confirm(Evidence(confirm_after=at(5)), at(4))
    assert may_confirm(Evidence(confirm_after=at(5)), at(5))


def test_a_rotation_is_due_a_period_after_the_last_activation() -> None:
    """Counted from `activated_at`."""
    world = propagated()

    assert due_at(world.keyset, world.policy, at(0)) == world.current.activated_at + seconds(100)


@pytest.mark.parametrize(("asked", "due"), [(50, 50), (150, 100)])
def test_a_request_brings_a_rotation_forward_and_never_back(asked: float, due: float) -> None:
    """The earlier of the two counts."""
    world = propagated()
    world.ask(asked)

    assert due_at(world.keyset, world.policy, at(0)) == at(due)


def test_a_first_key_is_due_as_soon_as_it_may_sign() -> None:
    """From its creation while it is not confirmed; never without a next."""
    world = World(policy(), shared=True)
    world.change(world.create(at(0)), at(0))
    assert due_at(world.keyset, world.policy, at(0)) == at(0)

    world.act(at(3))
    assert due_at(world.keyset, world.policy, at(0)) == at(13)
    assert due_at(replace(world.keyset, next=None), world.policy, at(0)) is None


def test_a_key_that_signs_since_the_future_is_due_once_its_successor_may_sign() -> None:
    """A clock that was wrong dated it. A propagation time later its rotation is overdue, whatever holds it."""
    world = propagated()
    assert world.next_key.usable_at
    ready = world.next_key.usable_at
    wrong = replace(world.keyset, current=replace(world.current, activated_at=ready + seconds(9999)))

    assert due_at(wrong, world.policy, ready + seconds(5)) == ready
    assert due_at(replace(wrong, next=None), world.policy, ready) == ready
    assert overdue(wrong, world.policy, ready + seconds(10)) == seconds(0)
    assert overdue(wrong, world.policy, ready + seconds(11)) == seconds(1)


def test_a_keyset_that_does_not_rotate_is_never_due() -> None:
    """Nor overdue."""
    world = propagated()
    frozen = replace(world.policy, rotates=False)

    assert due_at(world.keyset, frozen, at(0)) is None
    assert overdue(world.keyset, frozen, at(9999)) == seconds(0)


def test_overdue_counts_from_a_propagation_time_after_due() -> None:
    """A rotation that is due may take that long."""
    world = propagated()

    assert overdue(world.keyset, world.policy, at(110)) == seconds(0)
    assert overdue(world.keyset, world.policy, at(113)) == seconds(3)


@pytest.mark.parametrize(("algorithm", "safe"), [("RS256", 30), ("HS256", 141)])
def test_a_request_is_overdue_from_when_it_is_safe(algorithm: str, safe: float) -> None:
    """While it rightly waits, for a `next` that propagates or an old secret that is needed, it is not late."""
    world = rotated(algorithm)
    world.keyset = replace(world.keyset, next=replace(world.next_key, published_at=at(20), usable_at=at(30)))
    world.ask(25)

    assert overdue(world.keyset, world.policy, at(safe + 10)) == seconds(0)
    assert overdue(world.keyset, world.policy, at(safe + 11)) == seconds(1)


def test_a_request_without_a_next_is_overdue_from_when_it_was_made() -> None:
    """No hold names a moment."""
    world = rotated()
    world.ask(120)
    world.keyset = replace(world.keyset, next=None)

    assert overdue(world.keyset, world.policy, at(130)) == seconds(0)
    assert overdue(world.keyset, world.policy, at(131)) == seconds(1)


def test_a_request_does_not_excuse_a_scheduled_rotation() -> None:
    """It is late from its own date on, whatever the hold of the request says."""
    world = propagated()
    world.keyset = replace(world.keyset, next=replace(world.next_key, usable_at=at(500)))
    world.ask(25)

    assert overdue(world.keyset, world.policy, at(111)) == seconds(1)


WAITING = Evidence(waiting=frozenset({Kid("k1"), Kid("k2"), Kid("k3")}))


def test_a_deadline_that_a_step_brought_nearer_still_holds() -> None:
    """An old key stays, a flat secret is still needed, and a `next` still propagates; no moment is known."""
    pair, secret = rotated(), rotated("HS256")

    assert retirable(pair.keyset, pair.policy, WAITING, at(9999)) == ()
    assert activation_hold(pair.keyset, pair.policy, WAITING, at(9999)) == Hold(HoldReason.PROPAGATING)
    evidence = Evidence(waiting=frozenset({secret.keyset.old[0].kid}))
    assert activation_hold(secret.keyset, secret.policy, evidence, at(9999)) == Hold(HoldReason.OLD_NEEDED)


def test_a_date_far_in_the_future_is_that_of_a_wrong_clock() -> None:
    """Further than one clock may be ahead of another, and than a daemon may take to notice."""
    world = propagated()

    assert not misdated(None, world.keyset, at(0))
    assert not misdated(at(11), world.keyset, at(0))
    assert misdated(at(12), world.keyset, at(0))


def test_old_keys_retire_on_their_second_and_not_under_a_legal_hold() -> None:
    """Their retention is over then."""
    world = rotated()

    assert retirable(world.keyset, world.policy, GOOD, at(140)) == ()
    assert retirable(world.keyset, world.policy, GOOD, at(141)) == ("k1",)
    assert retirable(world.keyset, replace(world.policy, retain=True), GOOD, at(141)) == ()


def demoting() -> World:
    """Return a world as the activating save left it."""
    world = World(policy())
    world.run(99)
    world.act(at(100))
    world.keyset = replace(world.keyset, op_id=world.current.activated_by)
    return world


def test_a_commit_later_than_a_quarter_of_the_propagation_time_is_late() -> None:
    """P is 10 s, so 2.5 s after what the document says is on time still."""
    world = demoting()

    assert demoted_late(world.keyset, at(102.5)) is None
    assert demoted_late(world.keyset, at(103)) == world.keyset.old[0]


def test_only_the_save_that_demoted_can_have_done_so_late() -> None:
    """Nothing is known of a later save's predecessor, of an unknown commit, or of a keyset where nothing signs."""
    world = demoting()

    assert demoted_late(replace(world.keyset, op_id="another"), at(900)) is None
    assert demoted_late(world.keyset, None) is None
    assert demoted_late(replace(world.keyset, current=None), at(900)) is None
    earlier = replace(world.keyset.old[0], deactivated_at=at(50))
    assert demoted_late(replace(world.keyset, old=(earlier,)), at(900)) is None
