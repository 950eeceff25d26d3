"""
Events: how a position is written, and which events move it.
"""

from datetime import timedelta

from rotator.model.event import EventType, position
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing


def test_a_position_is_epoch_and_sequence() -> None:
    """So a keyset made anew under an old name is not taken for the one announced."""
    day = timedelta(days=1)

    assert position(Keyset(name="web", epoch="e", sequence=7, op_id="op", timing=Timing(day, day, day))) == "e:7"


def test_events_without_a_save_do_not_move_the_position() -> None:
    """A rotation that is held or overdue changed nothing that consumers could read."""
    assert {kind for kind in EventType if not kind.tells_of_save} == {EventType.HELD, EventType.OVERDUE}
