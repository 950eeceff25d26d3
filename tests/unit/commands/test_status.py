"""
The values that `rotator status` prints.
"""

from dataclasses import replace
from datetime import timedelta

from rotator.commands.status import KeyReport, KeysetReport
from rotator.lifecycle.holds import Hold
from rotator.model.keys import Kid, State
from rotator.model.keyset import Keyset, Revocation, RotateRequest
from rotator.model.reasons import HoldReason
from tests.support.world import KEYS, World, at, policy, seconds


def made(until: float) -> tuple[World, Keyset]:
    """A keyset (period 100, propagation 10, tokens 30, skew 1) that was reconciled every second until then."""
    world = World(policy())
    world.run(until)
    return world, world.keyset


def test_a_report_says_from_when_a_rotation_is_safe() -> None:
    """While next propagates the hold names its moment; afterwards there is no hold."""
    world, keyset = made(5)
    usable = world.next_key.usable_at
    assert usable

    early = KeysetReport.of(keyset, world.policy, at(5))
    late = KeysetReport.of(keyset, world.policy, usable)

    assert early.hold == Hold(HoldReason.PROPAGATING, usable)
    assert late.hold is None


def test_a_hold_is_shown_as_held_only_once_a_rotation_is_due() -> None:
    """A next key that propagates holds nothing while the current one is young."""
    world, keyset = made(5)
    asked = replace(keyset, rotate_requested=RotateRequest("op-x", at(5), ""))

    young = KeysetReport.of(keyset, world.policy, at(5))
    due = KeysetReport.of(asked, world.policy, at(5))

    assert young.held is None
    assert due.held == young.hold is not None
    assert (due.requested, young.requested) == ("op-x", "")


def test_overdue_begins_a_propagation_time_after_the_moment_due() -> None:
    """At that moment the report says nothing, a second later one second."""
    world, keyset = made(5)
    due = KeysetReport.of(keyset, world.policy, at(5)).rotates_at
    assert due

    assert KeysetReport.of(keyset, world.policy, due + seconds(10)).overdue == timedelta(0)
    assert KeysetReport.of(keyset, world.policy, due + seconds(11)).overdue == seconds(1)


def test_each_key_has_its_state_its_age_and_its_moment() -> None:
    """Current since it signs, next from when it is usable, old until it retires."""
    world, keyset = made(120)
    (old,) = keyset.old

    report = KeysetReport.of(keyset, world.policy, at(125))

    assert [(key.kid, key.state, key.at) for key in report.keys] == [
        (world.current.kid, State.CURRENT, world.current.activated_at),
        (world.next_key.kid, State.NEXT, world.next_key.usable_at),
        (old.kid, State.OLD, old.retire_at),
    ]
    assert [key.age for key in report.keys] == [at(125) - key.created_at for key in keyset.keys()]


def test_an_unconfirmed_next_has_no_moment() -> None:
    """Nobody can say when it will be usable."""
    world = World(policy())
    assert KeyReport.of(world.key(at(0)), at(3)).at is None


def test_a_report_holds_no_key_material() -> None:
    """Not in any field, however deep."""
    world = World(policy("HS256", period=200))
    world.run(30)
    revoked = replace(world.keyset, revoked=(Revocation(Kid("bad"), at(1), "stolen", at(90)),))

    text = repr(KeysetReport.of(revoked, world.policy, at(30)))

    assert "bad" in text
    assert "SecretText" not in text
    assert "material" not in text


def test_status_tells_the_next_steps_only() -> None:
    """Tokens of ten days under keys of two minutes: thousands of steps lie ahead, and no reader waits for all of them."""
    world = World(policy("HS256", period=120, life=864_000, readers=KEYS))
    world.run(20)

    foretold = KeysetReport.of(world.keyset, world.policy, at(20)).timeline

    assert [entry.step for entry in foretold[:3]] == ["activate", "generate", "confirm"]
    assert len(foretold) == 8
