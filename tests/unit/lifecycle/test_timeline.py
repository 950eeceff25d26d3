"""
The future of a keyset, as the decisions would have it.
"""

from dataclasses import replace
from itertools import islice

import pytest

from rotator.lifecycle.changes import Unconfirmed
from rotator.lifecycle.timeline import Milestone, timeline
from rotator.model.keys import Kid
from tests.support.world import START, World, at, policy, seconds


def settled(algorithm: str = "RS256") -> World:
    """Return a world at second 20: current, and a propagated next."""
    world = World(policy(algorithm))
    world.run(20)
    return world


def foretold(world: World, now: float, horizon: float) -> list[tuple[int, str, str]]:
    """Return moments, steps and kids."""
    found = timeline(world.keyset, world.policy, at(now), seconds(horizon))
    return [(int((m.at - START).total_seconds()), m.step, m.kid) for m in found]


def test_a_milestone_names_the_key_it_concerns() -> None:
    """Keys that are not made yet are "new" ones."""
    assert foretold(settled(), 20, 130) == [
        (100, "activate", "k2"),
        (100, "generate", "new-1"),
        (100, "confirm", "new-1"),
        (141, "retire", "k1"),
    ]


@pytest.mark.parametrize("algorithm", ["RS256", "HS256"])
def test_what_is_foretold_is_what_happens(algorithm: str) -> None:
    """The same rules give the steps that are then taken, at the same moments."""
    world = settled(algorithm)
    before = len(world.steps)
    expected = [(moment, step) for moment, step, _ in foretold(world, 20, 230)]
    world.run(250, 21)

    assert expected == [(moment, step.lower()) for moment, step in world.steps[before:]]


def test_nothing_is_foretold_beyond_the_horizon() -> None:
    """Its last moment is part of it."""
    assert foretold(settled(), 20, 79) == []
    assert [step for _, step, _ in foretold(settled(), 20, 80)] == ["activate", "generate", "confirm"]


def test_longer_durations_come_first() -> None:
    """They are saved at once; the key that waits is confirmed and activated under them."""
    world = settled()
    world.change(Unconfirmed(), at(20))
    world.policy = policy(p=20)

    assert foretold(world, 20, 80) == [
        (20, "extend", ""),
        (20, "confirm", "k2"),
        (100, "activate", "k2"),
        (100, "generate", "new-1"),
        (100, "confirm", "new-1"),
    ]


def test_where_nothing_is_planned_the_timeline_ends() -> None:
    """A keyset out of the configuration rotates no more."""
    world = settled()
    world.policy = replace(world.policy, rotates=False)

    assert foretold(world, 20, 10_000) == []


def test_it_is_reckoned_only_as_far_as_it_is_read() -> None:
    """Of thousands of steps the first costs no more than itself."""
    world = settled()

    (first,) = islice(timeline(world.keyset, world.policy, at(20), seconds(10**9)), 1)

    assert first == Milestone(at(100), "activate", Kid("k2"))
