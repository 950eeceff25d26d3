"""
The life of a key as named histories: what is decided when, and what is held.
"""

import re
from dataclasses import dataclass, replace

import pytest

from rotator.lifecycle import decisions
from rotator.lifecycle.decisions import (
    Activate,
    Confirm,
    Converge,
    Extend,
    Generate,
    Heartbeat,
    Retire,
    Unconfirm,
    Wait,
    decide,
)
from rotator.lifecycle.holds import Evidence, activation_hold, due_at, overdue
from rotator.model.keys import Kid
from rotator.model.policy import Policy
from rotator.model.reasons import ActivationReason, HoldReason
from tests.support.world import KEYS, World, at, policy, seconds


@dataclass(frozen=True)
class History:
    """A policy, when it is reconciled, and the steps that must follow."""

    policy: Policy
    passes: tuple[tuple[float, float], ...]
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

    for begin, end in history.passes:
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

    assert due_at(world.keyset, world.policy, at(0)) is None
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


# -- the ten rules at the head of the module, in their order ----------------------------------------------------------


def test_rule_1_creates_a_keyset_only_under_a_trusted_clock() -> None:
    """A keyset that does not exist is created; its times would be wrong under another clock."""
    assert decide(None, policy(), Evidence(), at(0)) == Generate()
    assert decide(None, policy(), Evidence(clock_trusted=False), at(0)) == Wait(None, HoldReason.CLOCK)


def test_rule_2_forgets_a_confirmation_before_it_repairs() -> None:
    """A publisher without next goes before convergence, which would hide the gap; only from P/4 after confirmation on."""
    world = settled()
    gap = Evidence(converged=False, missing_from="file")

    assert decide(world.keyset, world.policy, gap, at(2.5)) == Converge()
    assert decide(world.keyset, world.policy, gap, at(3)) == Unconfirm()
    assert decide(world.keyset, world.policy, replace(gap, missing_from=""), at(3)) == Converge()
    unconfirmed = replace(world.keyset, next=replace(world.next_key, published_at=None, usable_at=None))
    assert decide(unconfirmed, world.policy, gap, at(90)) == Converge()


def test_rule_3_converges_before_anything_that_is_saved() -> None:
    """Longer durations, retirement and a missing next wait for it."""
    world = World(policy())
    world.run(100)
    behind = Evidence(converged=False)

    assert decide(replace(world.keyset, next=None), policy(p=20), behind, at(500)) == Converge()


def test_rule_4_extends_before_it_retires() -> None:
    """A longer duration moves the deadline that would be over; so does a late commit."""
    world = World(policy())
    world.run(100)
    activating = replace(world.keyset, op_id=world.current.activated_by)

    assert decide(world.keyset, policy(life=60), Evidence(), at(141)) == Extend()
    assert decide(activating, world.policy, Evidence(committed_at=at(104)), at(141)) == Extend()
    assert decide(world.keyset, policy(life=10), Evidence(), at(141)) == Retire((Kid("k1"),))


def test_rule_5_retires_before_it_activates_or_generates() -> None:
    """So that readers of the flat fields have room; not under a clock that is not trusted."""
    world = World(policy())
    world.run(100)
    nothing_next = replace(world.keyset, next=None)

    assert decide(world.keyset, world.policy, Evidence(), at(200)) == Retire((Kid("k1"),))
    assert decide(nothing_next, world.policy, Evidence(), at(200)) == Retire((Kid("k1"),))
    assert decide(nothing_next, world.policy, Evidence(clock_trusted=False), at(200)).held is HoldReason.CLOCK  # type: ignore[union-attr]


def test_a_clock_that_is_not_trusted_dates_nothing() -> None:
    """Neither a new key nor its publication: both would bear that clock's time, and deadlines only move later."""
    world = settled()
    untrusted = Evidence(clock_trusted=False)
    unpublished = replace(world.keyset, next=replace(world.next_key, published_at=None, usable_at=None))

    for keyset in (replace(world.keyset, next=None), unpublished):
        assert isinstance(decide(keyset, world.policy, untrusted, at(30)), Wait)
    lost = replace(untrusted, standby_lost=True)
    assert isinstance(decide(world.keyset, world.policy, lost, at(30)), Wait)


def test_dates_of_a_clock_that_was_wrong_are_overtaken() -> None:
    """When it is right again, a `next` from the future is replaced, and a current key from the future is due."""
    world = settled()
    future = at(9999)
    for dates in ({"created_at": future}, {"published_at": future, "usable_at": at(10009)}):
        keyset = replace(world.keyset, next=replace(world.next_key, **dates))  # type: ignore[arg-type]
        assert decide(keyset, world.policy, Evidence(), at(30)) == Generate(replaces=world.next_key.kid)
        assert decide(keyset, replace(world.policy, rotates=False), Evidence(), at(30)).held is None  # type: ignore[union-attr]
    keyset = replace(world.keyset, current=replace(world.current, activated_at=future))
    assert decide(keyset, world.policy, Evidence(), at(30)) == Activate(ActivationReason.SCHEDULED)
    soon = replace(world.keyset, current=replace(world.current, activated_at=at(41)))
    assert decide(soon, world.policy, Evidence(), at(30)) == Wait(at(141))


def test_a_hold_names_its_end_beside_the_next_deadline() -> None:
    """A rotation that waits for an old secret says until when, though something else comes before."""
    world = settled("HS256")
    world.run(101, begin=21)
    world.ask(102)
    world.keyset = replace(world.keyset, next=replace(world.next_key, usable_at=at(101)))

    wait = decide(world.keyset, world.policy, Evidence(confirm_after=at(103)), at(102))
    assert wait == Wait(at(103), HoldReason.UNCONFIRMED)
    wait = decide(world.keyset, world.policy, Evidence(), at(103))
    assert wait == Wait(at(141), HoldReason.OLD_NEEDED, at(141))


def test_rule_6_makes_a_next_that_is_missing_or_lost() -> None:
    """A lost one is named, so that the guard lets it go; a keyset that does not rotate needs none."""
    world = settled()
    lost, idle = Evidence(standby_lost=True), replace(world.policy, rotates=False)
    nothing_next = replace(world.keyset, next=None)

    assert decide(nothing_next, world.policy, Evidence(), at(20)) == Generate()
    assert decide(world.keyset, world.policy, lost, at(20)) == Generate(replaces=world.next_key.kid)
    assert decide(nothing_next, idle, Evidence(), at(20)) == Wait(None)
    assert decide(world.keyset, idle, lost, at(20)) == Wait(None)


def test_rule_7_confirms_what_was_not_confirmed_yet() -> None:
    """Unless the last attempt failed just now: then it waits for the end of the back-off."""
    world = settled()
    unconfirmed = replace(world.keyset, next=replace(world.next_key, published_at=None, usable_at=None))

    assert decide(unconfirmed, world.policy, Evidence(), at(20)) == Confirm()
    assert decide(unconfirmed, world.policy, Evidence(confirm_after=at(22)), at(20)) == Wait(at(22))
    assert decide(world.keyset, world.policy, Evidence(), at(20)) == Wait(at(100))


def test_rule_8_activates_what_is_due_and_held_by_nothing() -> None:
    """On schedule, on request with the operator's op_id and note, or as the first key."""
    world = settled()
    assert decide(world.keyset, world.policy, Evidence(), at(100)) == Activate(ActivationReason.SCHEDULED)
    doubted = Evidence(standby_doubted=True)
    assert decide(world.keyset, world.policy, doubted, at(100)) == Wait(None, HoldReason.STANDBY_LOST)

    world.ask(50, "op-x")
    assert decide(world.keyset, world.policy, Evidence(), at(50)) == Activate(
        ActivationReason.REQUESTED, "op-x", "test"
    )
    first = replace(world.keyset, current=None, rotate_requested=None)
    assert decide(first, world.policy, Evidence(), at(20)) == Activate(ActivationReason.FIRST)


def test_rule_9_saves_what_signers_would_soon_doubt() -> None:
    """After the last save, a share of P/4 (2.5 s here); whether something is held or not, and whatever the clock is."""
    world = World(policy(heartbeat=True), evidence=Evidence(heartbeat_share=0.8))
    world.run(20)
    seen_at = world.keyset.seen_at
    assert seen_at is not None
    evidence = replace(world.evidence, confirm_after=at(900))
    for now in (seen_at + seconds(2), at(500)):
        for trusted in (True, False):
            doubted = replace(evidence, clock_trusted=trusted)
            assert decide(world.keyset, world.policy, doubted, now) == Heartbeat(now)
    wait = decide(world.keyset, world.policy, evidence, seen_at + seconds(1.9))
    assert wait == Wait(seen_at + seconds(2))

    silent = replace(evidence, heartbeat_share=None)
    assert isinstance(decide(world.keyset, world.policy, silent, at(99)), Wait)


def test_rule_10_waits_for_the_nearest_deadline() -> None:
    """The end of propagation, the moment due, a retirement: the first that lies ahead."""
    world = World(policy())
    world.run(100)

    assert decide(world.keyset, world.policy, Evidence(), at(101)) == Wait(at(110))
    assert decide(world.keyset, world.policy, Evidence(), at(110)) == Wait(at(141))
    world.run(141, 141)
    assert decide(world.keyset, world.policy, Evidence(), at(141)) == Wait(at(200))
    assert decide(replace(world.keyset, next=None), replace(world.policy, rotates=False), Evidence(), at(141)) == Wait(
        None
    )


def test_every_rule_at_the_head_of_the_module_has_its_test() -> None:
    """Nine of them, each with a test named for it."""
    rules = re.findall(r"^(\d+)\. ", decisions.__doc__ or "", re.MULTILINE)
    tests = [name.split("_")[2] for name in globals() if name.startswith("test_rule_")]

    assert rules == [str(number) for number in range(1, 11)]
    assert tests == rules
