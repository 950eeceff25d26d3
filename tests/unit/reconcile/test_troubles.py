"""
Which alarm an error raises, and from when on no service can sign.
"""

from dataclasses import replace

import pytest

from rotator.errors import (
    DocumentError,
    EditedError,
    FrozenError,
    InvariantError,
    LaggingError,
    LostReplyError,
    StoreDeniedError,
    StoreUnavailableError,
)
from rotator.model.reasons import AlarmReason
from rotator.model.times import format_time
from rotator.reconcile.tracker import Tracker
from rotator.reconcile.troubles import FROZEN, OUTAGE, TROUBLE, reason_of, signing_ends
from tests.support.process import Place
from tests.support.world import START, at, policy, seconds

RULES = policy("HS256", p=8, life=20)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LaggingError("x"), AlarmReason.LAGGING),
        (StoreUnavailableError("x"), AlarmReason.UNAVAILABLE),
        (LostReplyError("x"), AlarmReason.UNAVAILABLE),
        (StoreDeniedError("x"), AlarmReason.DENIED),
        (FrozenError("x"), AlarmReason.FROZEN),
        (EditedError("x"), AlarmReason.EDITED),
        (DocumentError("x"), AlarmReason.FROZEN),
        (InvariantError("x"), AlarmReason.INVARIANT),
        (RuntimeError("x"), AlarmReason.INTERNAL),
    ],
)
def test_each_error_has_one_reason(error: Exception, reason: AlarmReason) -> None:
    """A store that shows the past did answer: it is not unavailable."""
    assert reason_of(error) is reason
    assert reason in TROUBLE


def test_what_only_a_person_mends_is_looked_at_soon() -> None:
    """And what may mend itself, ever more gently."""
    assert {AlarmReason.FROZEN, AlarmReason.EDITED, AlarmReason.LAGGING} == FROZEN
    assert {AlarmReason.UNAVAILABLE, AlarmReason.DENIED} == OUTAGE


@pytest.mark.parametrize("reason", TROUBLE)
def test_services_sign_for_a_propagation_time_after_the_last_good_look(reason: AlarmReason) -> None:
    """Unless they read on: what the daemon is denied, or trips over, says nothing of them."""
    place = Place(RULES)
    place.live(20, every=5)
    ends = signing_ends(place.tracker, reason, None, at(900))
    readable = reason in {AlarmReason.DENIED, AlarmReason.INVARIANT, AlarmReason.INTERNAL}
    assert ends == ("" if readable else "; no service can sign from 2026-01-01T00:00:23Z on")


def test_signers_that_go_by_a_heartbeat_stop_a_propagation_time_after_it() -> None:
    """However often the daemon has looked since."""
    place = Place(replace(RULES, heartbeat=True))
    place.live(20, every=5)
    status = place.tracker.status
    assert status is not None
    beat = status.keyset.seen_at
    assert beat is not None
    place.tracker.status = replace(status, clock=replace(status.clock, earliest=at(30)))
    ends = signing_ends(place.tracker, AlarmReason.FROZEN, None, at(900))
    assert ends == f"; no service can sign from {format_time(beat + seconds(8))} on"


def test_without_a_good_look_what_is_remembered_bounds_it() -> None:
    """The moment stays that of the first look; of a keyset never seen nothing is said."""
    tracker = Tracker("web", RULES)
    assert signing_ends(tracker, AlarmReason.UNAVAILABLE, None, START) == ""
    for now in (at(5), at(50)):
        ends = signing_ends(tracker, AlarmReason.FROZEN, RULES.timing, now)
        assert ends == "; no service can sign from 2026-01-01T00:00:13Z on, at the latest"
