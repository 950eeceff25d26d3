"""
How a step of the store's clock is noticed, and what waits because of it.
"""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.lifecycle.clock_steps import JITTER, MAX_DRIFT, ClockState, clock_of, follow
from rotator.model.document import ClockReading
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing
from tests.support.world import START, World, at, policy, seconds

P, SKEW = 10.0, 5.0
TIMING = Timing(seconds(P), seconds(30), seconds(SKEW))
YEAR = 365 * 86400.0
STEPS = [15.0, 600.0, 86400.0, YEAR]


def reading(second: float, *, ahead: float = 0.0, tolerance: float = 0.0) -> ClockReading:
    """Return a reading at the monotonic second *second*, by a clock that is so much ahead of it."""
    moment = (START + seconds(second + ahead)).replace(microsecond=0)
    return ClockReading(moment, moment, tolerance=seconds(tolerance), read_at=second)


@cache
def keyset() -> Keyset:
    """Return a keyset at second 101: k1 is old until 141, k2 signs, k3 is usable from 110 on."""
    world = World(policy())
    world.run(101)
    return world.keyset


def begun(second: float = 101.0) -> ClockState:
    """Return what is known after a first reading."""
    return follow(None, reading(second), keyset(), TIMING)


def live(state: ClockState, begin: float, end: float, ahead: float, keys: Keyset | None = None) -> ClockState:
    """Read the clock once a second."""
    second = begin
    while second <= end:
        state = follow(state, reading(second, ahead=ahead), keys or keyset(), TIMING)
        second += 1
    return state


def test_a_clock_that_runs_as_the_monotonic_one_is_trusted() -> None:
    """For a year, read now and then."""
    state = begun()
    for hour in range(1, 24 * 365, 7):
        state = follow(state, reading(101 + hour * 3600), keyset(), TIMING)
        assert state.stepped is None
        assert not state.dated_by


@pytest.mark.parametrize("rate", [-MAX_DRIFT / 2, MAX_DRIFT / 2])
def test_a_clock_that_drifts_is_followed(rate: float) -> None:
    """Five hundred parts in a million, as much as a kernel slews: after a month that is 21 minutes."""
    state = begun()
    for second in range(0, 30 * 86400, 600):
        state = follow(state, reading(101 + second, ahead=rate * second), None, TIMING)
        assert state.stepped is None


@pytest.mark.parametrize("step", [*STEPS, *(-step for step in STEPS)])
def test_a_step_is_not_trusted_until_the_clock_comes_back(step: float) -> None:
    """Nothing of it remains then."""
    state = live(begun(), 102, 106, step)
    assert state.stepped is not None
    assert state.steady.ahead(reading(106, ahead=step)) == pytest.approx(step, abs=1)
    state = follow(state, reading(107), keyset(), TIMING)
    assert state.stepped is None
    assert not state.steady.ahead(reading(107))


@pytest.mark.parametrize("step", [*STEPS, *(-step for step in STEPS)])
def test_a_new_time_counts_as_right_after_a_propagation_time(step: float) -> None:
    """If the clock made no other step meanwhile; each begins the wait again."""
    state = live(begun(), 102, 111, step)
    assert state.stepped is not None
    state = live(state, 112, 121, step + 60)
    assert state.stepped is not None
    state = follow(state, reading(122, ahead=step + 60), keyset(), TIMING)
    assert state.stepped is None
    assert not state.steady.ahead(reading(122, ahead=step + 60))


def test_after_a_step_forward_a_deadline_takes_the_time_that_it_had_to_go() -> None:
    """The old key 40 s, the next one 9 s, whether the new time is believed meanwhile or not; then they are free."""
    state = live(begun(), 102, 103, YEAR)
    assert state.waiting(keyset(), 103) == {"k1", "k3"}
    state = live(state, 104, 109, YEAR)
    assert state.waiting(keyset(), 109) == {"k1", "k3"}
    state = live(state, 110, 115, YEAR)
    assert state.stepped is None
    assert state.waiting(keyset(), 112) == {"k1"}
    assert state.waiting(keyset(), 140) == {"k1"}
    assert state.waiting(keyset(), 142) == frozenset()
    assert state.over(keyset(), 144) == {"k1", "k3"}


@pytest.mark.parametrize("step", [3.0, 4.9])
def test_a_small_step_is_trusted_and_brings_no_deadline_nearer(step: float) -> None:
    """Clocks may be as far apart as clock_skew."""
    state = follow(begun(), reading(102, ahead=step), keyset(), TIMING)
    assert state.stepped is None
    assert state.waiting(keyset(), 102) == {"k1", "k3"}
    assert not state.steady.ahead(reading(102, ahead=step))


def test_a_deadline_that_was_reached_before_the_step_does_not_wait() -> None:
    """The old key's time was over; only nobody had looked."""
    state = follow(begun(), reading(150, ahead=600), keyset(), TIMING)
    assert state.waiting(keyset(), 150) == frozenset()


def test_a_key_that_another_daemon_dated_by_the_new_time_waits_for_that_alone() -> None:
    """Its deadline is counted from there."""
    keys = keyset()
    (old,) = keys.old
    later = seconds(YEAR)
    moved = replace(old, deactivated_at=old.deactivated_at + later, retire_at=old.retire_at + later)
    state = follow(begun(), reading(102, ahead=YEAR), replace(keys, old=(moved,)), TIMING)
    assert set(state.dated_by) == {"k3"}


@pytest.mark.parametrize("step", [-600.0, -YEAR])
def test_after_a_step_back_a_deadline_takes_no_more_than_it_had_to_go(step: float) -> None:
    """The old key is over when its 40 s have passed, though by the clock it has much longer; with room for rounding."""
    state = live(begun(), 102, 120, step)
    assert state.stepped is None
    assert state.waiting(keyset(), 140) == {"k1"}
    assert state.over(keyset(), 142) == frozenset()
    assert state.over(keyset(), 143.1) == {"k1"}


def test_after_a_step_back_a_key_that_was_not_seen_before_counts_by_the_new_time() -> None:
    """Another daemon may have dated it by that already: by the time before it would be over too early."""
    (old,) = keyset().old
    dated = replace(old, deactivated_at=at(100 - 600), retire_at=at(141 - 600))
    state = follow(None, reading(101), replace(keyset(), old=()), TIMING)
    state = live(state, 102, 120, -600, replace(keyset(), old=(dated,)))
    assert not state.dated_by


@pytest.mark.parametrize("step", [-600.0, -YEAR])
@pytest.mark.parametrize("seen_before", [True, False])
def test_an_old_key_of_the_future_stays_one_retention_from_the_first_trusted_look(
    step: float, *, seen_before: bool
) -> None:
    """It was old by then, whatever its date says: by that it would outlive its tokens as long as the clock was wrong."""
    state = follow(None, reading(101), replace(keyset(), old=()), TIMING) if seen_before else None
    first = 112 if seen_before else 102  # a step that is noticed is trusted after P only
    for second in range(102, 121):
        state = follow(state, reading(second, ahead=step), keyset(), TIMING)
    assert state
    assert state.waiting(keyset(), first + 40) == {"k1"}
    assert state.over(keyset(), first + 42) == frozenset()
    assert state.over(keyset(), first + 43.1) == {"k1"}


def test_an_old_key_that_is_hardly_of_the_future_keeps_its_date() -> None:
    """Two clocks may be that far apart: by clock_skew and a propagation time."""
    assert not follow(None, reading(101, ahead=-12.0), keyset(), TIMING).dated_by
    assert set(follow(None, reading(101, ahead=-13.0), keyset(), TIMING).dated_by) == {"k1"}


def test_a_longer_deadline_counts_by_the_same_clock() -> None:
    """A policy that keeps keys longer moves it later."""
    (old,) = keyset().old
    longer = replace(keyset(), old=(replace(old, retire_at=at(151)),))
    state = live(live(begun(), 102, 103, YEAR), 104, 150, YEAR, longer)
    assert state.waiting(longer, 150) == {"k1"}
    assert state.waiting(longer, 151) == frozenset()


def test_a_key_that_is_gone_or_signs_is_forgotten() -> None:
    """Once it is old, its new deadline counts by the clock that dated that."""
    keys = keyset()
    state = live(begun(), 102, 103, YEAR)
    assert set(live(state, 104, 104, YEAR, replace(keys, old=())).dated_by) == {"k3"}
    assert not follow(state, reading(104, ahead=YEAR), None, TIMING).dated_by
    world = World(policy(), stored=keys, made=3)
    world.ask(101)
    world.run(112, begin=111)
    assert world.current.kid == "k3"
    assert set(live(state, 104, 104, YEAR, world.keyset).dated_by) == {"k1"}


def test_of_two_steps_forward_the_first_counts() -> None:
    """The second one brought nothing nearer that was not held already."""
    state = live(begun(), 102, 114, 600)
    assert state.stepped is None
    state = live(state, 115, 116, 1200)
    assert state.waiting(keyset(), 140) == {"k1"}
    assert state.waiting(keyset(), 142) == frozenset()


def test_what_a_slow_reply_may_explain_is_no_step() -> None:
    """Its tolerance counts as the reading's."""
    state = follow(begun(), reading(110, ahead=-8.0, tolerance=9.0), keyset(), TIMING)
    assert state.stepped is None


def test_a_slow_first_reply_is_made_good_by_a_faster_one() -> None:
    """The clock is not taken for one that stepped, and from then on it is known as precisely as by the faster one."""
    state = follow(None, reading(101, ahead=-8.0, tolerance=9.0), keyset(), TIMING)
    state = follow(state, reading(102, tolerance=1.0), keyset(), TIMING)
    assert (state.stepped, state.dated_by) == (None, {})
    assert state.steady.ahead(reading(103, ahead=8.0, tolerance=1.0)) == 8.0


def test_a_clock_that_creeps_away_is_noticed() -> None:
    """A hundredth too fast: each second by itself is nothing, and ten minutes are worth 594 s."""
    (old,) = keyset().old
    keys = replace(keyset(), old=(replace(old, retire_at=at(701)),))
    state, freed = begun(), 0
    for second in range(102, 800):
        now = reading(second, ahead=(second - 101) * 0.01)
        state = follow(state, now, keys, TIMING)
        if now.earliest >= at(701) and "k1" not in state.waiting(keys, second):
            freed = freed or second
    assert freed == pytest.approx(701, abs=1 + 600 * MAX_DRIFT)


JUMPS = st.lists(st.tuples(st.integers(1, 8), st.sampled_from([0.0, 3.0, 600.0, -600.0, YEAR, -YEAR])), max_size=12)


@given(JUMPS)
def test_no_deadline_is_reached_before_its_time_has_passed(jumps: list[tuple[int, float]]) -> None:
    """
    Whatever the clock does: while it is trusted, either the document's deadline or the wait still stands.

    And none is passed over: a little later each is over by one of the two.
    """
    keys, state, second, ahead = keyset(), begun(), 101, 0.0
    deadlines = {"k1": 141.0, "k3": 110.0}
    for lasts, jump in jumps:
        ahead = ahead + jump if jump else 0.0
        for _ in range(lasts):
            second += 1
            now = reading(second, ahead=ahead)
            state = follow(state, now, keys, TIMING)
            for kid, deadline in deadlines.items():
                passed = now.earliest >= at(deadline)
                waits = kid in state.waiting(keys, second)
                over = kid in state.over(keys, second)
                if state.stepped is None and ((passed and not waits) or over):
                    assert second >= deadline - 1
                if kid == "k1" and second >= deadline + JITTER + 2:
                    assert over or (passed and not waits)


def test_a_steady_clock_agrees_with_its_reading() -> None:
    """On that second, and on any later one."""
    clock = clock_of(reading(7))
    assert clock.shows(7) == (START + timedelta(seconds=7)).timestamp()
    assert clock.shows(17) - clock.shows(7) == 10
