"""
Events: how a position is written and read, and which events move it.
"""

from datetime import timedelta

import pytest

from rotator.model.event import EventType, covers, position
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing


def test_a_position_is_epoch_and_sequence() -> None:
    """So a keyset made anew under an old name is not taken for the one announced."""
    day = timedelta(days=1)

    assert position(Keyset(name="web", epoch="e", sequence=7, op_id="op", timing=Timing(day, day, day))) == "e:7"


def test_events_without_a_save_do_not_move_the_position() -> None:
    """A rotation that is held or overdue changed nothing that consumers could read."""
    assert {kind for kind in EventType if not kind.tells_of_save} == {EventType.HELD, EventType.OVERDUE}


WEB = Keyset(name="web", epoch="e", sequence=7, op_id="op", timing=Timing(*[timedelta(days=1)] * 3))


@pytest.mark.parametrize("announced", ["e:7", "e:8", "e:999999999999999999"])
def test_a_position_covers_what_was_saved_before(announced: str) -> None:
    """It was announced, or something later was."""
    assert covers(announced, WEB)


@pytest.mark.parametrize(
    "announced",
    [
        "",
        "e",
        "e:",
        "e:6",
        "f:9",
        ":9",
        "e:7:9",
        "e:-9",
        "e: 9",
        "e:9.0",
        "e:9\n",
        "e:٩",
        "e:1" + "0" * 18,
        "e:" + "9" * 5000,
    ],
)
def test_what_is_no_position_covers_nothing(announced: str) -> None:
    """Anyone may have written it: no text raises, not even a number of more digits than Python reads."""
    assert not covers(announced, WEB)
