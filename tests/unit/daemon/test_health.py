"""
How the daemon fares: what readiness, metrics and systemd are told after passes over a file store.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.cli.context import Context
from rotator.cli.output import StderrLog
from rotator.daemon.health import Health, Readiness
from rotator.model.keys import Kid
from rotator.model.reasons import AlarmReason
from rotator.reconcile.alarms import Alarm
from rotator.wiring import Engine, wire_engine
from tests.support.command_line import CommandLine, hmac_keyset, with_old
from tests.support.publications import publication

INTERNAL = '[keysets.internal]\nalgorithm = "HS256"\n'


@pytest.fixture
def rotator(tmp_path: Path) -> CommandLine:
    """
    A configuration with one keyset.
    """
    return CommandLine(tmp_path, INTERNAL)


@pytest.fixture
def engine(rotator: CommandLine) -> Iterator[Engine]:
    """
    Its engine, which has made no pass yet.
    """
    made = wire_engine(Context(str(rotator.config)).settings(), StderrLog())
    yield made
    made.close()


@pytest.fixture
def health(engine: Engine) -> Health:
    """
    Its health, with a beat every second.
    """
    return Health(engine, 1.0)


def reconcile(engine: Engine) -> None:
    """Make one pass over every keyset."""
    with ThreadPoolExecutor(1) as workers:
        engine.queue.run_once(workers)


def test_before_the_first_pass_nothing_is_ready(health: Health) -> None:
    """Nor served; the samples have the keyset with nothing in it."""
    assert health.readiness() == Readiness(False, {"internal": "not looked at yet"})
    assert not health.serving()
    (sample,) = health.keysets()
    assert (sample.name, sample.sequence, sample.states) == ("internal", 0, {"next": 0, "current": 0, "old": 0})
    assert (sample.created, sample.rotates_at, sample.last_success) == ({}, None, None)


def test_after_a_pass_all_is_well(engine: Engine, health: Health, rotator: CommandLine) -> None:
    """The sample is what is stored."""
    reconcile(engine)
    assert health.readiness() == Readiness(True, {"internal": "ok"})
    assert health.serving()
    keyset = rotator.keyset("internal")
    (sample,) = health.keysets()
    assert (sample.sequence, sample.rotates_at) == (keyset.sequence, keyset.rotates_at)
    assert sample.states == {"next": 1, "current": 1, "old": 0}
    assert dict(sample.created) == {key.state.value: key.created_at for key in keyset.keys()}
    assert sample.last_success is not None
    assert not sample.notify_pending


def test_a_keyset_that_does_not_go_on_is_stalled(engine: Engine, health: Health, rotator: CommandLine) -> None:
    """Its alarm is among the active ones, and in the line for systemd."""
    reconcile(engine)
    (rotator.folder / "store" / "keys" / "internal.json").unlink()
    reconcile(engine)
    found = health.readiness()
    (alarm,) = health.active()
    assert alarm.reason is AlarmReason.FROZEN
    assert (found.ready, found.keysets, found.alarms) == (False, {"internal": "stalled"}, (alarm,))
    assert found.summary.startswith("0 of 1 keysets ok; internal: frozen: ")


def test_a_rotation_that_is_overdue_is_told(engine: Engine, health: Health, rotator: CommandLine) -> None:
    """Here its next key propagates still."""
    rotator.put(hmac_keyset(age=timedelta(days=31), usable_in=timedelta(hours=1)))
    reconcile(engine)
    assert health.readiness().keysets == {"internal": "rotation overdue"}


def test_a_daemon_lives_while_its_waking_job_runs(engine: Engine) -> None:
    """Five missed beats are a stall; a very short period still has some seconds."""
    assert Health(engine, 0.001).alive()
    stalled = Health(engine, 1.0)
    stalled._beat_at -= 6
    assert not stalled.alive()
    stalled.beat()
    assert stalled.alive()


@pytest.mark.parametrize(("ago", "line"), [(1799, "ok"), (1801, "last seen 1801 s ago")])
def test_how_long_a_keyset_may_go_unseen_follows_its_propagation_time(
    engine: Engine, health: Health, ago: float, line: str
) -> None:
    """P is 2 h, so half an hour: the store may be away, and what is known grows old."""
    reconcile(engine)
    (tracker,) = engine.queue.trackers
    assert tracker.status is not None
    tracker.status = replace(tracker.status, seen_at=tracker.status.seen_at - ago)
    assert health.readiness().keysets == {"internal": line}


def test_a_keyset_with_a_short_propagation_time_may_go_two_seconds_unseen(engine: Engine, health: Health) -> None:
    """A quarter of it would be less than a busy machine can promise."""
    reconcile(engine)
    (tracker,) = engine.queue.trackers
    timing = replace(tracker.policy.timing, propagation_time=timedelta(seconds=1))
    tracker.policy = replace(tracker.policy, timing=timing)
    assert tracker.status is not None
    tracker.status = replace(tracker.status, seen_at=tracker.status.seen_at - 1)
    assert health.readiness().keysets == {"internal": "ok"}
    tracker.status = replace(tracker.status, seen_at=tracker.status.seen_at - 2)
    assert health.readiness().keysets == {"internal": "last seen 3 s ago"}


def test_of_several_troubles_the_line_says_the_first(engine: Engine, health: Health) -> None:
    """Unseen before overdue, overdue before stalled: what is not seen says nothing of the others."""
    reconcile(engine)
    (tracker,) = engine.queue.trackers
    assert tracker.status is not None
    engine.alarms.raise_("internal", AlarmReason.OVERDUE)
    assert health.readiness().keysets == {"internal": "stalled"}
    tracker.status = replace(tracker.status, overdue=True)
    assert health.readiness().keysets == {"internal": "rotation overdue"}
    tracker.status = replace(tracker.status, seen_at=tracker.status.seen_at - 1801)
    assert health.readiness().keysets == {"internal": "last seen 1801 s ago"}


def test_an_alarm_that_does_not_stall_leaves_a_keyset_ready(engine: Engine, health: Health) -> None:
    """A person should look at it, and traffic goes on."""
    reconcile(engine)
    engine.alarms.raise_("internal", AlarmReason.PUBLISH_FAILED, "disk full")
    found = health.readiness()
    assert (found.ready, [alarm.reason for alarm in found.alarms]) == (True, [AlarmReason.PUBLISH_FAILED])
    assert found.summary == "1 of 1 keysets ok; internal: publisher failed: disk full"


def test_a_keyset_served_as_it_was_last_seen_is_served(engine: Engine, health: Health) -> None:
    """It is not ready for that, but the daemon has begun."""
    engine.cache.put(publication("internal"))
    assert health.serving()
    assert not health.readiness().ready


def test_the_sample_counts_what_this_process_did(engine: Engine, health: Health, rotator: CommandLine) -> None:
    """The oldest of several old keys, activations, and what is still to be announced."""
    keyset = with_old(hmac_keyset(), timedelta(hours=1))
    (older,) = keyset.old
    earlier, later = older.created_at - timedelta(days=3), older.deactivated_at + timedelta(seconds=1)
    oldest = replace(older, kid=Kid("e" * 32), created_at=earlier, deactivated_at=later)
    rotator.put(replace(keyset, old=(oldest, older)))
    reconcile(engine)
    (tracker,) = engine.queue.trackers
    assert tracker.status is not None
    tracker.status = replace(tracker.status, rotations=3, notify_pending=True)
    (sample,) = health.keysets()
    assert sample.states == {"next": 1, "current": 1, "old": 2}
    assert sample.created["old"] == oldest.created_at
    assert (sample.rotations, sample.notify_pending) == (3, True)


def test_files_have_no_token_that_expires(health: Health) -> None:
    """Only Vault's does."""
    assert health.token_expires_at() is None


def test_the_summary_is_one_short_line() -> None:
    """Systemd shows it in one."""
    alarm = Alarm("web", AlarmReason.FROZEN, "line\nbreak " + "x" * 900)
    summary = Readiness(False, {"web": "stalled", "api": "ok"}, (alarm,)).summary
    assert summary.startswith("1 of 2 keysets ok; web: frozen: line break xxx")
    assert len(summary) == 400
