"""
The wall clock steps under a running daemon: it is woken throughout, nothing leaves early, and work goes on.

Store and daemon share the clock here, so that the two always agree.
"""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clock_shim import ShiftedSite
from tests.support.site import INTERNAL, WEB, wait_for

pytestmark = pytest.mark.slow
LONG = "ROTATOR_TEST_SECONDS" in os.environ
YEAR, DAY = 365 * 86400, 86400
STEPS = [YEAR, -YEAR, -15]
MORE_STEPS = [30 * DAY, -30 * DAY, -3600, 600, -int(time.time()) + 86400]


def seen(site: ShiftedSite) -> str:
    """Return when the keyset was seen last, by the daemon's metrics."""
    _, body = site.get("/metrics", admin=True)
    found = re.search(r'rotator_last_success_timestamp_seconds\{keyset="internal"\} (\S+)', body)
    return found[1] if found else ""


def looks(site: ShiftedSite, seconds: float) -> list[float]:
    """Return the gaps between the daemon's looks at its keyset, for so many seconds; /healthz must stay good."""
    gaps, last, since = [], seen(site), time.monotonic()
    end = since + seconds
    while time.monotonic() < end:
        if (now := seen(site)) != last:
            gaps.append(time.monotonic() - since)
            last, since = now, time.monotonic()
        assert site.get("/healthz", admin=True)[0] == 200
        time.sleep(0.05)
    return gaps


def used(pid: int) -> tuple[float, int]:
    """Return CPU seconds and resident pages of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(fields[21])


def test_a_daemon_is_woken_throughout(tmp_path: Path, shim: Path) -> None:
    """Steps of up to a year and a suspend of hours: each is said once, and costs neither time nor memory."""
    site = ShiftedSite(shim, tmp_path, keysets=INTERNAL, propagation="6s", rotation="24h", life="5s")
    steps = STEPS + MORE_STEPS if LONG else STEPS
    with site.daemon() as daemon:
        wait_for(lambda: site.confirmed("internal"), 20, lambda: site.log[-2000:])
        before, (_, pages) = site.document("keys", "internal"), used(daemon.pid)
        for step in steps:
            for shift in (step, 0):
                cpu = used(daemon.pid)[0]
                site.clock.set(shift)
                gaps = looks(site, 2.2)
                assert gaps, step
                assert max(gaps) < 2, (step, gaps)
                assert used(daemon.pid)[0] - cpu < 1.0
        site.clock.set(0, suspended=8 * 3600)
        wait_for(lambda: site.lines("resumed"), 3)
        assert abs(used(daemon.pid)[1] - pages) * os.sysconf("SC_PAGE_SIZE") < 16 << 20
        assert site.document("keys", "internal") == before
        assert site.faults() == []
    said = [line["seconds"] for line in site.lines("clock_stepped")]
    assert said == [seconds for step in steps for seconds in (step, -step)]
    assert [line["suspended"] for line in site.lines("resumed")] == [8 * 3600]
    alarms = [line["event"] for line in site.lines("alarm", "alarm_cleared")]
    assert alarms == ["alarm", "alarm_cleared"] * len(steps)


@pytest.mark.parametrize("keyset", ["internal", "web"] if LONG else ["internal"])
@pytest.mark.parametrize("shift", [DAY, YEAR] if LONG else [YEAR])
def test_no_key_leaves_early(tmp_path: Path, shim: Path, keyset: str, shift: int) -> None:
    """The clock is ahead for longer than the propagation time, so that it counts as right; then it is not, after all."""
    site = ShiftedSite(shim, tmp_path, keysets=INTERNAL if keyset == "internal" else WEB, propagation="2s", life="5s")
    with site.daemon():
        (old,) = wait_for(lambda: site.keys(keyset, "current"), 20, lambda: site.log[-2000:])
        wait_for(lambda: site.run("rotate-now", keyset).returncode == 0, 20)
        rotated = time.monotonic()
        site.clock.set(shift)
        held_for(lambda: _kids(site, keyset), old["kid"], rotated + 4.5)
        site.clock.set(0)
        held_for(lambda: _kids(site, keyset), old["kid"], rotated + 7)
        wait_for(lambda: old["kid"] not in _kids(site, keyset), 8, lambda: site.log[-3000:])
        wait_for(lambda: not site.faults(), 8, lambda: site.log[-3000:])


def test_a_step_between_two_processes_is_noticed(tmp_path: Path, shim: Path) -> None:
    """A daemon that starts in the middle of a step knows by the monotonic clock that it is one."""
    site = ShiftedSite(shim, tmp_path, keysets=INTERNAL, propagation="5s", rotation="1h", life="60s")
    with site.daemon():
        wait_for(lambda: site.confirmed("internal"), 20, lambda: site.log[-2000:])
    before = site.document("keys", "internal")
    site.clock.set(YEAR)
    with site.daemon(ready=False):
        (fault,) = wait_for(site.faults, 20, lambda: site.log[-2000:])
        assert re.search(r"it is 3153(5999|600[01]) s ahead", fault), fault
        site.clock.set(0)
        wait_for(lambda: not site.faults(), 5, lambda: site.log[-2000:])
        assert site.document("keys", "internal") == before


def _kids(site: ShiftedSite, keyset: str) -> set[str]:
    document = site.document("keys", keyset)
    return {key["kid"] for key in document["keys"]} if document else set()


def held_for(kids: Callable[[], set[str]], kid: str, until: float) -> None:
    """Check until then that *kid* is there."""
    while time.monotonic() < until:
        assert kid in kids(), f"{until - time.monotonic():.1f} s early"
        time.sleep(0.1)
