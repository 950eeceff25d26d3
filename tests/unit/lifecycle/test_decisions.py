"""
The life of a key as named histories: what is decided when, and what is held.
"""

from dataclasses import dataclass, replace

import pytest

from rotator.commands.status import KeysetReport
from rotator.lifecycle.decisions import Wait, decide
from rotator.lifecycle.holds import Evidence, activation_hold, due_at, overdue
from rotator.lifecycle.timeline import timeline
from rotator.model.policy import Policy
from rotator.model.reasons import HoldReason
from tests.support.world import KEYS, START, World, at, policy, seconds


@dataclass(frozen=True)
class History:
    """A policy, when it is looked at, and the steps that must follow."""

    policy: Policy
    looks: tuple[tuple[float, float], ...]
    steps: list[tuple[int, str]]
    shared: bool = False


HISTORIES = {
    "a new asymmetric keyset waits for confirmation but not for propagation": History(
        policy(), ((0, 5),), [(0, "Generate"), (0, "Confirm"), (0, "Activate"), (0, "Generate"), (0, "Confirm")]
    ),
    "a new keyset in a set that others use waits for propagation too": History(
        policy(), ((0, 9),), [(0, "Generate"), (0, "Confirm")], shared=True
    ),
    "a shared keyset activates once propagated": History(
        policy(),
        ((0, 10),),
        [(0, "Generate"), (0, "Confirm"), (10, "Activate"), (10, "Generate"), (10, "Confirm")],
        shared=True,
    ),
    "a new HMAC keyset signs at once": History(policy("HS256"), ((0, 9),), [(0, "Generate"), (0, "Confirm")]),
    "rotation, a new next at once, then retirement of the old": History(
        policy(),
        ((0, 141),),
        [
            (0, "Generate"),
            (0, "Confirm"),
            (0, "Activate"),
            (0, "Generate"),
            (0, "Confirm"),
            (100, "Activate"),
            (100, "Generate"),
            (100, "Confirm"),
            (141, "Retire"),
        ],
    ),
    "late by many periods rotates once": History(
        policy(),
        ((0, 1), (950, 951)),
        [
            (0, "Generate"),
            (0, "Confirm"),
            (0, "Activate"),
            (0, "Generate"),
            (0, "Confirm"),
            (950, "Activate"),
            (950, "Generate"),
            (950, "Confirm"),
        ],
    ),
    "retire comes before activate when both are due": History(
        policy(period=41),
        ((0, 41), (90, 90)),
        [
            (0, "Generate"),
            (0, "Confirm"),
            (0, "Activate"),
            (0, "Generate"),
            (0, "Confirm"),
            (41, "Activate"),
            (41, "Generate"),
            (41, "Confirm"),
            (90, "Retire"),
            (90, "Activate"),
            (90, "Generate"),
            (90, "Confirm"),
        ],
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_history(name: str) -> None:
    """Each named history takes exactly the steps its table says."""
    history = HISTORIES[name]
    world = World(history.policy, shared=history.shared)

    for begin, end in history.looks:
        world.run(end, begin)

    assert history.steps == world.steps


def settled(algorithm: str = "RS256", **more: object) -> World:
    """Return a world whose keyset has a current and a propagated next, at second 20."""
    world = World(policy(algorithm, **more))  # type: ignore[arg-type]
    world.run(20)
    return world


def test_untrusted_clock_creates_activates_and_retires_nothing() -> None:
    """While the clocks disagree nothing is created, activated or retired; the reason is said when it is due."""
    world = settled()
    world.evidence = Evidence(clock_trusted=False)

    assert world.act(at(1000)).held is HoldReason.CLOCK
    assert decide(None, world.policy, world.evidence, at(0)) == Wait(None, HoldReason.CLOCK)


def test_activation_is_held_until_propagated() -> None:
    """A due rotation waits for usable_at, and says so."""
    world = World(policy())
    world.act(at(0))
    world.ask(1)

    wait = world.act(at(9))
    assert (wait.held, wait.until) == (HoldReason.PROPAGATING, at(10))


def test_failed_confirmation_holds_and_is_put_off() -> None:
    """After a failed confirmation nothing is confirmed before confirm_after."""
    world = World(policy())
    world.act(at(0))
    world.keyset = replace(world.keyset, next=replace(world.next_key, published_at=None, usable_at=None))
    world.evidence = Evidence(confirm_after=at(5))

    assert world.act(at(4)) == Wait(at(5))
    world.act(at(5))
    assert world.steps[-1] == (5, "Confirm")


def test_second_old_hmac_key_waits_for_the_first() -> None:
    """Readers of the flat fields know one old secret, so a due activation waits while it is needed."""
    world = settled("HS256")
    world.ask(20)
    world.run(30, 21)
    world.ask(31)

    assert world.act(at(40)).held is HoldReason.OLD_NEEDED
    assert len(world.keyset.old) == 1


def test_readers_of_keys_need_not_wait() -> None:
    """With readers = "keys" several old secrets may be alive."""
    world = settled("HS256", readers=KEYS)
    for moment in (20, 40):
        world.ask(moment)
        world.run(moment + 10, moment)

    assert len(world.keyset.old) == 2


def test_request_is_activated_once_safe_and_cleared() -> None:
    """A request waits for `at`, is done by the first daemon that may, and does not come back."""
    world = settled()
    world.ask(50)
    world.run(60, 20)

    assert [step for step in world.steps if step[1] == "Activate"] == [(0, "Activate"), (50, "Activate")]
    assert world.keyset.rotate_requested is None


def test_publisher_that_lacked_next_for_long_starts_propagation_anew() -> None:
    """Older than P/4 the confirmation is forgotten, younger it is only repaired."""
    world = World(policy())
    world.act(at(0))
    world.evidence = Evidence(missing_from="file")

    assert isinstance(world.act(at(2)), Wait)
    world.act(at(3))
    assert world.steps[-2:] == [(3, "Unconfirm"), (3, "Confirm")]
    assert world.next_key.usable_at == at(13)


def test_lost_standby_replaces_next() -> None:
    """A next whose private key is lost is withdrawn and made anew, after two sights only."""
    world = settled()
    world.evidence = Evidence(standby_doubted=True)
    assert world.act(at(100)).held is HoldReason.STANDBY_LOST
    lost = world.next_key.kid

    world.evidence = Evidence(standby_doubted=True, standby_lost=True)
    decision = decide(world.keyset, world.policy, world.evidence, at(101))
    assert getattr(decision, "replaces", None) == lost


def test_longer_policy_is_saved_at_once_and_moves_deadlines_later() -> None:
    """Extend raises each duration, usable_at, longest_token and retire_at; never shortens one."""
    world = World(policy())
    world.run(105)
    before = world.keyset
    world.policy = policy(p=20, life=10, skew=1)
    world.act(at(105))

    after = world.keyset
    assert world.steps[-1] == (105, "Extend")
    assert after.timing == replace(before.timing, propagation_time=seconds(20))
    assert after.old[0].retire_at == before.old[0].retire_at + seconds(10)
    assert world.next_key.usable_at == at(120)


def test_shorter_policy_rides_and_shortens_no_promise() -> None:
    """A shorter max_token_lifetime saves nothing by itself, and the current key keeps its longest token."""
    world = settled()
    world.policy = policy(life=5)
    steps = list(world.steps)
    world.run(99, 21)
    assert steps == world.steps

    world.run(100, 100)
    assert world.keyset.timing.max_token_lifetime == seconds(5)
    assert world.keyset.old[0].retire_at == at(100) + seconds(41)


def test_legal_hold_retires_nothing() -> None:
    """With retain = true old keys stay, and rotation goes on."""
    world = World(policy("HS256", period=50, retain=True))
    world.run(200)

    assert len(world.keyset.old) == 4


def test_a_keyset_out_of_the_configuration_is_retired_never_rotated() -> None:
    """Without `rotates` there is no due time and no generation; retirement goes on."""
    world = World(policy())
    world.run(110)
    world.policy = replace(world.policy, rotates=False)
    world.run(400, 111)

    assert due_at(world.keyset, world.policy) is None
    assert world.steps[-1] == (141, "Retire")


def test_overdue_counts_from_a_propagation_time_after_due() -> None:
    """A rotation is overdue, not merely due, a propagation time later."""
    world = settled()

    assert overdue(world.keyset, world.policy, at(110)) == seconds(0)
    assert overdue(world.keyset, world.policy, at(111)) == seconds(1)


def test_rotate_now_is_safe_with_a_propagated_next() -> None:
    """The same rule answers the command: safe after usable_at, before that it names the moment."""
    world = World(policy())
    world.act(at(0))

    hold = activation_hold(world.keyset, world.policy, Evidence(), at(5))
    assert hold is not None
    assert (hold.reason, hold.until) == (HoldReason.PROPAGATING, at(10))
    assert activation_hold(world.keyset, world.policy, Evidence(), at(10)) is None


@pytest.mark.parametrize("algorithm", ["RS256", "HS256"])
def test_timeline_foretells_what_happens(algorithm: str) -> None:
    """Replayed into the future, the same rules give the steps that are then taken, at the same moments."""
    world = settled(algorithm)
    before = len(world.steps)
    foretold = [
        (int((m.at - START).total_seconds()), m.step)
        for m in timeline(world.keyset, world.policy, at(20), seconds(230))
    ]
    world.run(250, 21)

    assert foretold == [(moment, step.lower()) for moment, step in world.steps[before:]]
    assert len(foretold) > 6


def test_status_tells_the_next_steps_only() -> None:
    """Tokens of ten days under keys of two minutes: thousands of steps lie ahead, and nobody waits for their reckoning."""
    world = settled("HS256", period=120, life=864_000, readers=KEYS)

    foretold = KeysetReport.of(world.keyset, world.policy, at(20)).timeline

    assert [entry.step for entry in foretold[:3]] == ["activate", "generate", "confirm"]
    assert len(foretold) == 8
