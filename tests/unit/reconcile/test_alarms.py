"""
Alarms: raised once, replaced in place, cleared with their condition.
"""

import threading

from rotator.model.reasons import AlarmReason
from rotator.reconcile.alarms import Alarm, Alarms
from tests.support.process import RecordingLog

FROZEN, CLOCK, OVERDUE = AlarmReason.FROZEN, AlarmReason.CLOCK, AlarmReason.OVERDUE


def test_a_new_alarm_is_logged_once() -> None:
    """With keyset, reason and detail; again only after it was cleared."""
    log = RecordingLog()
    alarms = Alarms(log)
    alarms.raise_("web", CLOCK, "by 3 s")
    alarms.raise_("web", CLOCK, "by 4 s")

    assert log.events == [("error", "alarm", {"keyset": "web", "reason": CLOCK.value, "detail": "by 3 s"})]
    alarms.clear("web", CLOCK)
    alarms.raise_("web", CLOCK)
    assert log.names() == ["alarm", "alarm_cleared", "alarm"]


def test_the_latest_detail_is_the_one_that_is_active() -> None:
    """What is wrong now, and the way out of that."""
    alarms = Alarms(RecordingLog())
    alarms.raise_("web", CLOCK, "by 3 s")
    alarms.raise_("web", CLOCK, "by 4 s")

    assert alarms.active() == (Alarm("web", CLOCK, "by 4 s"),)


def test_alarms_of_keysets_and_reasons_are_apart() -> None:
    """Ordered by keyset, then reason; clearing one leaves the others."""
    alarms = Alarms(RecordingLog())
    for keyset, reason in (("web", OVERDUE), ("api", FROZEN), ("web", CLOCK)):
        alarms.raise_(keyset, reason)
    assert [(alarm.keyset, alarm.reason) for alarm in alarms.active()] == [
        ("api", FROZEN),
        ("web", CLOCK),
        ("web", OVERDUE),
    ]

    alarms.clear("web", FROZEN, OVERDUE)
    assert [(alarm.keyset, alarm.reason) for alarm in alarms.active()] == [("api", FROZEN), ("web", CLOCK)]


def test_clearing_what_is_not_active_says_nothing() -> None:
    """It happens after every pass."""
    log = RecordingLog()
    Alarms(log).clear("web", *AlarmReason)

    assert log.events == []


def test_an_alarm_raised_by_many_threads_is_logged_once() -> None:
    """Workers share them."""
    log = RecordingLog()
    alarms = Alarms(log)
    start = threading.Barrier(8)

    def strike() -> None:
        start.wait(10)
        alarms.raise_("web", FROZEN)

    threads = [threading.Thread(target=strike) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert log.names() == ["alarm"]


def test_an_alarm_reads_as_one_line() -> None:
    """With the keyset it concerns, if it is not the daemon's."""
    assert str(Alarm("web", CLOCK, "by 3 s")) == "web: clock not trusted: by 3 s"
    assert str(Alarm("", AlarmReason.CONFIG_REFUSED, "why")) == "configuration refused: why"


def test_active_alarms_go_on_under_another_configuration_without_a_word() -> None:
    """Those of its keysets and of the daemon; of a keyset that is no longer looked after there is none."""
    before, log = Alarms(RecordingLog()), RecordingLog()
    for keyset in ("web", "gone", ""):
        before.raise_(keyset, CLOCK, "by 3 s")
    alarms = Alarms(log)
    alarms.take_over(before, ["web", "new"])
    alarms.raise_("web", CLOCK, "by 4 s")

    assert alarms.active() == (Alarm("", CLOCK, "by 3 s"), Alarm("web", CLOCK, "by 4 s"))
    assert log.events == []
