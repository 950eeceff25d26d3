"""
Reasons: which alarms mean that rotation has stopped.
"""

from rotator.model.reasons import AlarmReason


def test_only_what_stops_rotation_makes_a_keyset_unready() -> None:
    """A held rotation goes on by itself; a frozen keyset does not."""
    assert {reason for reason in AlarmReason if reason.stalls} == {
        AlarmReason.FROZEN,
        AlarmReason.EDITED,
        AlarmReason.DENIED,
        AlarmReason.UNAVAILABLE,
        AlarmReason.OVERDUE,
        AlarmReason.INVARIANT,
        AlarmReason.HANGS,
        AlarmReason.INTERNAL,
    }
