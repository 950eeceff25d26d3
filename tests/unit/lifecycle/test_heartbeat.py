"""
When a keyset is saved only to show that it is alive: begun at once, ended when no daemon beats any more.
"""

from dataclasses import replace
from itertools import pairwise

import pytest

from rotator.lifecycle.changes import Activated, Extended, Seen
from rotator.lifecycle.decisions import Extend, Heartbeat, Wait, decide
from rotator.lifecycle.heartbeat import beats_at, must_switch
from rotator.lifecycle.holds import Evidence, demoted_late
from rotator.model.reasons import ActivationReason
from tests.support.world import World, at, policy, seconds

BEATS = Evidence(heartbeat_share=0.8)


def beating(algorithm: str = "HS256") -> World:
    """Return a world with a heartbeat; P is 10 s."""
    world = World(policy(algorithm, heartbeat=True), evidence=BEATS)
    world.run(20, every=0.5)
    return world


def test_without_the_option_nothing_beats() -> None:
    """Every save says when it was made all the same."""
    world = World(policy("HS256"), evidence=BEATS)
    world.run(20)

    assert not world.keyset.heartbeat
    assert world.keyset.seen_at is not None
    assert "Heartbeat" not in {step for _, step in world.steps}
    assert beats_at(world.keyset, world.policy, BEATS, at(20)) is None


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
def test_it_beats_within_every_quarter_of_p(algorithm: str) -> None:
    """Between any two saves lie at most 2.5 s; looks are every half second."""
    world = World(policy(algorithm, heartbeat=True), evidence=BEATS)
    saves = []
    for half in range(120):
        world.act(at(half / 2))
        saves.append(world.keyset.seen_at)

    seen = sorted({moment for moment in saves if moment})
    assert all(later - earlier <= seconds(2.5) for earlier, later in pairwise(seen))
    assert len(seen) >= 24


def test_a_heartbeat_keeps_everything_but_its_moment() -> None:
    """Sequence and op_id too: consumers have nothing to read again."""
    world = beating()
    before = world.keyset
    after = world.change(Seen(at(21.9)), at(21.9))

    assert after == replace(before, seen_at=at(21.9))
    assert after.sequence == before.sequence


def test_a_heartbeat_brings_no_duration_into_force() -> None:
    """That is another save, which consumers are told of."""
    world = beating()
    world.policy = policy("HS256", life=99, heartbeat=True)
    assert world.change(Seen(at(21)), at(21)).timing == policy("HS256").timing
    assert decide(world.keyset, world.policy, BEATS, at(21)) == Extend()


def test_switched_on_it_begins_at_once() -> None:
    """With a save that consumers are told of."""
    world = World(policy("HS256"), evidence=BEATS)
    world.run(20)
    world.policy = policy("HS256", heartbeat=True)
    assert decide(world.keyset, world.policy, BEATS, at(20)) == Extend()

    before = world.keyset.sequence
    assert world.change(Extended(), at(20)).heartbeat
    assert world.keyset.sequence == before + 1
    assert not must_switch(world.keyset, world.policy, at(20))


def test_switched_off_it_ends_once_no_daemon_beats_any_more() -> None:
    """After P/2: signers have not stopped yet, and a daemon that still beats is not fought with."""
    world = beating()
    world.policy = policy("HS256")
    seen_at = world.keyset.seen_at
    assert seen_at is not None
    assert isinstance(decide(world.keyset, world.policy, BEATS, seen_at + seconds(4.9)), Wait)

    world.change(Seen(seen_at + seconds(4.9)), seen_at + seconds(4.9))
    assert isinstance(decide(world.keyset, world.policy, BEATS, seen_at + seconds(9.8)), Wait)
    assert decide(world.keyset, world.policy, BEATS, seen_at + seconds(9.9)) == Extend()
    assert not world.change(Extended(), seen_at + seconds(9.9)).heartbeat


def test_a_document_that_does_not_say_when_it_was_saved_is_saved_again() -> None:
    """With the option on, or to end a heartbeat that nobody can judge."""
    world = beating()
    world.keyset = replace(world.keyset, seen_at=None)

    for chosen in (world.policy, policy("HS256")):
        assert decide(world.keyset, chosen, BEATS, at(20)) == Extend()


def test_a_moment_from_a_clock_that_was_ahead_is_replaced_at_once() -> None:
    """Signers would take it for fresh until then. What clocks may differ by is no reason."""
    world = beating()
    world.keyset = replace(world.keyset, seen_at=at(90))
    assert decide(world.keyset, world.policy, BEATS, at(20)) == Heartbeat(at(20))
    assert decide(world.keyset, world.policy, BEATS, at(89)) == Wait(at(92))


def test_a_clock_that_is_not_trusted_ends_no_heartbeat() -> None:
    """The alarm may stand for long, and signing must not end with it; nothing else is done meanwhile."""
    world = beating()
    untrusted = replace(BEATS, clock_trusted=False)

    assert decide(world.keyset, world.policy, untrusted, at(90)) == Heartbeat(at(90))
    world.change(Seen(at(90)), at(99))
    assert world.keyset.seen_at == at(90)
    assert isinstance(decide(world.keyset, world.policy, untrusted, at(90)), Wait)


def test_a_late_demotion_is_not_seen_in_the_commit_of_a_heartbeat() -> None:
    """It keeps the op_id of the activation, and is committed much later."""
    world = beating()
    activated = world.change(Activated(ActivationReason.UNSAFE), at(21))
    assert demoted_late(activated, at(26)) is not None

    beaten = world.change(Seen(at(60)), at(60))
    assert beaten.op_id == activated.op_id
    assert demoted_late(beaten, at(60)) is None
