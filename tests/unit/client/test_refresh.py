"""
When a reader refreshes next: never later than half the propagation time, never more often than is good for the source.
"""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.client.jose.keys import Keys
from rotator.client.refresh import MAX_COOLDOWN, MAX_POLL, MIN_GAP, RefreshSchedule
from rotator.model.policy import Timing
from tests.support.scripted import EPOCH, keys

NOW = 1000.0
DAY = timedelta(days=1)
durations = st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=30))
options = st.none() | durations


def timing(propagation: timedelta) -> Timing:
    """A policy with this propagation time."""
    return Timing(propagation, timedelta(hours=1), timedelta(seconds=1))


def read(
    schedule: RefreshSchedule, found: Keys | None, *, changed: bool = False, may_keep: timedelta | None = None
) -> float:
    """Read as soon as it is due, or at NOW; return when that was."""
    at = max(schedule.due, NOW)
    schedule.begin(at)
    schedule.end(at, found, may_keep, changed=changed)
    return at


@given(propagation=durations, wanted=options, may_keep=options, document=st.booleans())
def test_polls_fit_into_half_the_propagation_time(
    propagation: timedelta, wanted: timedelta | None, may_keep: timedelta | None, document: bool
) -> None:
    """Whatever the caller and the place of a JWKS want, a poll begins within P/2 and 5 minutes of the one before it."""
    schedule = RefreshSchedule(wanted, None)
    found = keys(1, epoch=EPOCH if document else "", timing=timing(propagation))
    at = read(schedule, found, may_keep=may_keep)
    most = min(x for x in (propagation / 2, MAX_POLL, wanted, may_keep) if x is not None).total_seconds()
    if not document and may_keep is None:
        most = min(most, 60)
    pause = schedule.due - at
    assert max(0.79 * most, MIN_GAP) <= pause + 1e-6
    assert pause <= max(most, MIN_GAP) + 1e-6


def test_polls_are_spread() -> None:
    """Services that started together do not poll together for long."""
    pauses = []
    for _ in range(300):
        schedule = RefreshSchedule(None, None)
        read(schedule, keys())
        pauses.append(schedule.due - NOW)
    assert 240 <= min(pauses) < 250
    assert 290 < max(pauses) <= 300
    assert len({round(pause) for pause in pauses}) > 30


@given(propagation=st.timedeltas(min_value=-DAY, max_value=timedelta(seconds=1)), failures=st.integers(0, 5))
def test_no_policy_makes_a_hot_loop(propagation: timedelta, failures: int) -> None:
    """A document with a propagation time of nothing or less is read a few times a second at most."""
    schedule = RefreshSchedule(None, None)
    at = read(schedule, keys(1, timing=timing(propagation)))
    for _ in range(failures):
        at = read(schedule, None)
    schedule.request(fresh=True)
    schedule.hint(at)
    assert schedule.due >= at + MIN_GAP


def test_failures_are_tried_again_soon_and_ever_less_often() -> None:
    """The first retry comes after a second, later ones within half a minute; a poll that is due sooner wins."""
    schedule = RefreshSchedule(None, None)
    read(schedule, keys())
    schedule.request(fresh=False)
    at, pauses = read(schedule, None), []
    for _ in range(40):
        pauses.append(schedule.due - at)
        at = read(schedule, None)
    assert pauses[0] == pytest.approx(1.0)
    assert all(1 <= pause <= 30 for pause in pauses)
    assert max(pauses) > 10
    quick = RefreshSchedule(None, None)
    at = read(quick, keys(1, timing=timing(timedelta(seconds=1))))
    for _ in range(10):
        at = read(quick, None)
        assert quick.due - at <= 0.5


@pytest.mark.parametrize(
    ("wanted", "propagation", "seconds"),
    [(None, 7200, 30), (None, 80, 10), (None, 1, 1), (5, 7200, 5), (600, 7200, 600)],
    ids=["default", "an eighth of P", "never under a second", "as asked", "longer as asked"],
)
def test_searches_wait_for_the_cooldown(wanted: int | None, propagation: int, seconds: float) -> None:
    """The second search is refused until then, and allowed from then on."""
    schedule = RefreshSchedule(None, timedelta(seconds=wanted) if wanted else None)
    read(schedule, keys(1, timing=timing(timedelta(seconds=propagation))))
    assert schedule.search(NOW)
    assert not schedule.search(NOW + seconds - 0.01)
    assert schedule.search(NOW + seconds)


def test_a_hint_allows_one_search_more() -> None:
    """Not two, and not none."""
    schedule = RefreshSchedule(None, None)
    read(schedule, keys())
    assert schedule.search(NOW)
    assert not schedule.search(NOW + 1)
    schedule.hint(NOW + 1, EPOCH, 2)
    assert schedule.search(NOW + 1)
    assert not schedule.search(NOW + 1)


@pytest.mark.parametrize("epoch", [EPOCH, ""], ids=["document", "JWKS"])
def test_hints_that_lead_to_nothing_cost_less_and_less(epoch: str) -> None:
    """An hour of forged hints, each with a search: a refresh or two in half a minute, and a few at first."""
    schedule = RefreshSchedule(None, None)
    found = keys(epoch=epoch)
    read(schedule, found)
    now, end, readings = NOW + 1, NOW + 3601, 0
    while now < end:
        schedule.hint(now, f"forged-{now}", 1)
        schedule.search(now)
        if now >= schedule.due:
            schedule.begin(now)
            schedule.end(now, found, None, changed=False)
            readings += 1
        now += 0.05
    assert 3600 / MAX_COOLDOWN <= readings < 2 * 3600 / MAX_COOLDOWN + 20


def flooded(schedule: RefreshSchedule) -> float:
    """Serve forged hints until they are served seldom; return when the last was."""
    at = read(schedule, keys())
    for number in range(10):
        schedule.hint(at, "forged", number)
        at = read(schedule, keys())
    schedule.hint(at, "forged", 10)
    assert schedule.due > at + 20
    return at


def test_a_change_makes_hints_quick_again() -> None:
    """What was found says that hints are worth their while."""
    schedule = RefreshSchedule(None, None)
    flooded(schedule)
    at = read(schedule, keys(2), changed=True)
    for _ in range(2):
        schedule.hint(at, EPOCH, 2)
        assert schedule.due == pytest.approx(at + MIN_GAP)
        at = read(schedule, keys(2))


def test_quiet_makes_hints_quick_again() -> None:
    """An old flood does not slow a true hint down, nor the second after it."""
    schedule = RefreshSchedule(None, None)
    flooded(schedule)
    quiet = read(schedule, keys()) + 2 * MAX_COOLDOWN + 1
    schedule.hint(quiet, "epoch-0", 3)
    assert schedule.due <= quiet
    schedule.begin(quiet)
    schedule.end(quiet, keys(), None, changed=False)
    schedule.hint(quiet, "epoch-0", 4)
    assert schedule.due == quiet + MIN_GAP


def test_a_store_that_lags_is_read_again_within_seconds_and_not_for_ever() -> None:
    """A hint announced a save that is not there yet: five more refreshes within eight seconds, then the poll."""
    schedule = RefreshSchedule(None, None)
    start = read(schedule, keys())
    schedule.hint(start, EPOCH, 2)
    at = [read(schedule, keys()) - start for _ in range(7)]
    assert at[3] < 3
    assert at[5] < 9
    assert at[6] > 60


def test_a_jwks_is_fetched_again_though_a_change_was_found() -> None:
    """It may be the change before the announced one, as when a rotation is followed by a revocation."""
    schedule = RefreshSchedule(None, None)
    found = keys(0, epoch="")
    start = read(schedule, found)
    schedule.hint(start, EPOCH, 5)
    schedule.begin(start + 1)
    schedule.hint(start + 1.1, EPOCH, 6)  # while the answer to the first is on its way
    schedule.end(start + 1.4, found, None, changed=True)
    at = [read(schedule, found, changed=number == 1) - start for number in range(9)]
    assert at[0] < 1.5
    assert all(later - earlier <= 3 for earlier, later in pairwise(at[:5]))
    assert 6 < at[4] < 10
    assert at[5] > 40


def test_a_hint_of_another_epoch_does_not_end_the_repeats() -> None:
    """Forged, or of another installation with a keyset of the same name on the channel."""
    schedule = RefreshSchedule(None, None)
    start = read(schedule, keys(3))
    schedule.hint(start, EPOCH, 4)
    schedule.hint(start, "another", 1)
    at = [read(schedule, keys(3)) - start for _ in range(4)]
    assert at[-1] < 6
    read(schedule, keys(4), changed=True)
    assert schedule.due > start + 60
    # Alone it causes one refresh, and no repeats for a sequence that will never arrive.
    schedule.hint(schedule.due, "another", 99)
    at = read(schedule, keys(4))
    assert schedule.due > at + 60


def test_out_of_order_hints_do_not_forget_the_latest() -> None:
    """A hint of an earlier save after that of a later one: the later one is still waited for."""
    schedule = RefreshSchedule(None, None)
    start = read(schedule, keys(3))
    schedule.hint(start, EPOCH, 5)
    schedule.hint(start, EPOCH, 4)
    read(schedule, keys(4), changed=True)
    assert schedule.due < start + 2


def test_what_was_asked_for_is_fresh_and_polls_are_not() -> None:
    """Caches are asked for a new answer by a request and by a hint, once each."""
    schedule = RefreshSchedule(None, None)
    assert not schedule.begin(NOW)
    schedule.end(NOW, keys(), None, changed=True)
    for wish in (lambda: schedule.request(fresh=True), lambda: schedule.hint(NOW), lambda: schedule.search(NOW + 500)):
        wish()
        assert schedule.begin(NOW + 400)
        schedule.end(NOW + 400, keys(), None, changed=False)
        assert not schedule.begin(NOW + 400)
        schedule.end(NOW + 400, keys(), None, changed=False)
