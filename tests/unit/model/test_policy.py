"""
Policies: the inequalities that make one possible, and both ways out of each that does not hold.
"""

import dataclasses
from datetime import timedelta

import pytest

from rotator.model.algorithms import Algorithm
from rotator.model.policy import Policy, Readers, Timing, max_age

TIMING = Timing(timedelta(hours=2), timedelta(days=7), timedelta(minutes=1))
RETENTION = timedelta(days=7, hours=2, minutes=1)


def policy(
    period: timedelta, algorithm: Algorithm = Algorithm.RS256, timing: Timing = TIMING, readers: Readers = Readers.FLAT
) -> Policy:
    """Return a policy that rotates after *period*."""
    return Policy(algorithm=algorithm, rotation_period=period, timing=timing, readers=readers)


def test_retention_is_the_sum_of_the_three_durations() -> None:
    """The last signer notices, its last token lives, and its clock is late."""
    assert TIMING.retention == RETENTION


def test_the_longer_of_each_duration_is_safe_for_both() -> None:
    """Each duration by itself, whichever of the two policies has it."""
    other = Timing(timedelta(hours=3), timedelta(days=1), timedelta(minutes=2))

    assert TIMING.longest(other) == Timing(timedelta(hours=3), timedelta(days=7), timedelta(minutes=2))
    assert TIMING.longest(other) == other.longest(TIMING)


def test_only_readers_of_the_flat_fields_know_one_old_secret() -> None:
    """Key pairs have a JWKS that holds any number of old keys; `keys[]` does, too."""
    month = timedelta(days=30)

    assert policy(month, Algorithm.HS256).one_old_key
    assert not policy(month, Algorithm.HS256, readers=Readers.KEYS).one_old_key
    assert not policy(month, Algorithm.RS256).one_old_key


def test_a_possible_policy_has_no_fault() -> None:
    """Also on the edge: a period just above propagation, and for flat readers one of exactly the retention."""
    assert policy(TIMING.propagation_time + timedelta(seconds=1)).faults() == []
    assert policy(RETENTION, Algorithm.HS256).faults() == []
    assert policy(timedelta(days=3), Algorithm.HS256, readers=Readers.KEYS).faults() == []


def test_a_period_within_propagation_time_is_impossible() -> None:
    """The next key would be due before anyone noticed it; the text has both ways out."""
    assert policy(timedelta(hours=2)).faults() == [
        (
            "rotation_period (2h) must be longer than propagation_time (2h); "
            "raise rotation_period above 2h or lower propagation_time below 2h"
        )
    ]


def test_flat_readers_need_a_period_of_the_retention() -> None:
    """Else a second secret would become old while the first still verifies tokens; three ways out."""
    (fault,) = policy(timedelta(days=3), Algorithm.HS256).faults()

    assert "retention (10201m = propagation_time + max_token_lifetime + clock_skew) exceeds" in fault
    assert "raise rotation_period to at least 10201m or lower max_token_lifetime to at most 4199m" in fault
    assert 'readers = "keys"' in fault


def test_no_way_out_is_named_that_leads_nowhere() -> None:
    """If no token lifetime is short enough, the message speaks of the two other durations."""
    timing = Timing(timedelta(hours=1), timedelta(hours=1), timedelta(hours=2))
    (fault,) = policy(timedelta(hours=3), Algorithm.HS256, timing).faults()

    assert "or lower propagation_time and clock_skew" in fault
    assert "max_token_lifetime to at most" not in fault


def test_durations_below_a_second_are_impossible() -> None:
    """Documents hold whole seconds; all faults come at once."""
    timing = Timing(timedelta(0), timedelta(milliseconds=999), timedelta(0))

    assert policy(timedelta(days=1), timing=timing).faults() == [
        "propagation_time must be at least 1s",
        "max_token_lifetime must be at least 1s",
    ]


@pytest.mark.parametrize(
    ("propagation", "poll", "age"),
    [
        (timedelta(seconds=1), timedelta(seconds=0.125), 0),
        (timedelta(seconds=30), timedelta(seconds=3.75), 7),
        (timedelta(minutes=20), timedelta(minutes=2.5), 300),
        (timedelta(hours=2), timedelta(minutes=5), 300),
    ],
)
def test_reading_and_caching_fit_into_propagation_time(propagation: timedelta, poll: timedelta, age: int) -> None:
    """An eighth and a quarter of it, five minutes at most; ages are whole seconds, rounded down."""
    timing = dataclasses.replace(TIMING, propagation_time=propagation)

    assert policy(timedelta(days=30), timing=timing).poll_interval == poll
    assert max_age(timing) == age
