"""
What is remembered of the store's clock over a restart, and over a reboot.
"""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.adapters.files.clock_memory import WRITE_EVERY, ClockFiles
from rotator.lifecycle.clock_steps import ClockState, SteadyClock, clock_of
from rotator.model.document import ClockReading
from rotator.model.keys import Kid
from tests.support.world import at, seconds

K1 = Kid("k1")


def reading(second: float, ahead: float = 0.0) -> ClockReading:
    """Return a reading at the monotonic second *second*, by a clock that is so much ahead."""
    return ClockReading(at(second + ahead), at(second + ahead), timedelta(0), seconds(1), read_at=second)


def calm(second: float = 100, ahead: float = 0.0) -> ClockState:
    """Return what is known of a clock that did not step."""
    return ClockState(clock_of(reading(second, ahead)))


def with_old(second: float) -> ClockState:
    """Return what is known of a clock that did not step, of a keyset with an old key."""
    return ClockState(clock_of(reading(second)), known=frozenset({K1}))


def stepped(second: float = 100) -> ClockState:
    """Return what is known of one that stepped by 600 s."""
    steady = clock_of(reading(second))
    return ClockState(steady, clock_of(reading(second + 1, 600)), {K1: steady}, frozenset({K1}))


def files(folder: Path, boot: str = "boot-1", *, writable: bool = True) -> ClockFiles:
    """Return the memory of one process."""
    return ClockFiles(folder / "state", boot_id=boot, writable=writable)


def test_a_host_that_never_ran_remembers_nothing(tmp_path: Path) -> None:
    """Nor does one that cannot read its folder."""
    assert files(tmp_path).recall("web", reading(100)) is None


def test_how_the_clock_ran_is_there_after_a_restart(tmp_path: Path) -> None:
    """For every keyset, whichever was looked at."""
    files(tmp_path).remember("web", calm())
    found = files(tmp_path).recall("internal", reading(200))
    assert found == calm()


def test_a_step_is_there_after_a_restart(tmp_path: Path) -> None:
    """With the clocks by which keys count, for the keyset that it concerns."""
    files(tmp_path).remember("web", calm())
    files(tmp_path).remember("web", stepped())
    assert files(tmp_path).recall("web", reading(200)) == stepped()
    assert files(tmp_path).recall("internal", reading(200)) == calm()


def test_a_step_that_is_over_is_forgotten(tmp_path: Path) -> None:
    """By this process or by a later one."""
    first = files(tmp_path)
    first.remember("web", stepped())
    first.remember("web", calm())
    assert not (tmp_path / "state/clocks/web.json").exists()
    first.remember("web", stepped())
    files(tmp_path).remember("web", calm())
    assert not (tmp_path / "state/clocks/web.json").exists()
    first.remember("web", stepped(200))
    assert files(tmp_path).recall("web", reading(300)) == stepped(200)


def test_which_old_keys_were_there_is_known_after_a_restart(tmp_path: Path) -> None:
    """So that a step back while nothing runs keeps none of them longer. What was kept is kept up, and goes with the keys."""
    memory, file = files(tmp_path), tmp_path / "state/clocks/web.json"
    memory.remember("web", with_old(100))
    assert files(tmp_path).recall("web", reading(200)) == with_old(100)
    first = file.stat().st_mtime_ns
    memory.remember("web", with_old(100 + WRITE_EVERY - 1))
    assert file.stat().st_mtime_ns == first
    memory.remember("web", with_old(100 + WRITE_EVERY))
    assert files(tmp_path).recall("web", reading(9999)) == with_old(100 + WRITE_EVERY)
    memory.remember("web", calm(4000))
    assert not file.exists()


def test_a_clock_that_runs_as_before_is_written_once_an_hour(tmp_path: Path) -> None:
    """And at once if it does not: that is the new time, which counts as right."""
    memory, file = files(tmp_path), tmp_path / "state/clock.json"
    memory.remember("web", calm())
    first = file.stat().st_mtime_ns
    memory.remember("web", calm(100 + WRITE_EVERY - 1))
    memory.remember("internal", calm(101))
    assert file.stat().st_mtime_ns == first
    memory.remember("web", calm(100 + WRITE_EVERY))
    assert files(tmp_path).recall("web", reading(9999)) == calm(100 + WRITE_EVERY)
    memory.remember("web", calm(4000, 600))
    assert files(tmp_path).recall("web", reading(9999)) == calm(4000, 600)
    memory.remember("web", stepped(4001))
    assert files(tmp_path).recall("internal", reading(9999)) == calm(4000, 600)


def test_two_nodes_with_two_clocks_are_not_written_at_each_look(tmp_path: Path) -> None:
    """One write in ten seconds, whichever answered."""
    memory, file = files(tmp_path), tmp_path / "state/clock.json"
    memory.remember("web", calm(100))
    first = file.read_bytes()
    memory.remember("web", calm(105, 30))
    assert file.read_bytes() == first
    memory.remember("web", calm(110, 30))
    assert file.read_bytes() != first


@pytest.mark.parametrize("boot", ["boot-2", ""])
def test_after_a_reboot_a_clock_that_went_back_is_noticed(tmp_path: Path, boot: str) -> None:
    """The monotonic clock began again, so nothing is known but what was shown last."""
    files(tmp_path).remember("web", calm(1000))
    found = files(tmp_path, boot).recall("web", reading(5, ahead=900))
    assert found is not None
    assert found.steady.ahead(reading(5, ahead=900)) == -95
    found = files(tmp_path, boot).recall("web", reading(5, ahead=99999))
    assert found == ClockState(clock_of(reading(5, ahead=99999)))


def test_seconds_that_this_boot_has_not_reached_are_those_of_another(tmp_path: Path) -> None:
    """As in a container with a clock of its own."""
    files(tmp_path).remember("web", calm(1000))
    assert files(tmp_path).recall("web", reading(5, ahead=99999)) == ClockState(clock_of(reading(5, ahead=99999)))


def test_after_a_reboot_keys_count_on_from_where_they_were(tmp_path: Path) -> None:
    """As if the machine had been off for no time: no key leaves early."""
    files(tmp_path).remember("web", stepped(100))
    found = files(tmp_path, "boot-2").recall("web", reading(5, ahead=9000))
    assert found is not None
    assert found.dated_by == {K1: SteadyClock(at(101).timestamp(), 5, 1)}
    assert (found.stepped, found.known) == (None, {K1})


DAMAGE = {
    "empty": b"",
    "another's": b"[1]",
    "no numbers": json.dumps(
        {"boot_id": "boot-1", "steady": ["x", 1, 1], "stepped": None, "dated_by": {}, "known": []}
    ).encode(),
    "not finite": b'{"boot_id":"boot-1","steady":[NaN,1,1],"stepped":null,"dated_by":{},"known":[]}',
    "too big": b'{"boot_id":"boot-1","steady":[1e300,1,1],"stepped":null,"dated_by":{},"known":[]}',
    "two numbers": b'{"boot_id":"boot-1","steady":[1,1],"stepped":null,"dated_by":{},"known":[]}',
    "clocks in a list": b'{"boot_id":"boot-1","steady":[1,1,1],"stepped":null,"dated_by":[1],"known":[]}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_nothing(tmp_path: Path, name: str) -> None:
    """And the next write makes it good."""
    memory = files(tmp_path)
    memory.remember("web", calm())
    (tmp_path / "state/clock.json").write_bytes(DAMAGE[name])
    assert files(tmp_path).recall("web", reading(100)) is None
    files(tmp_path).remember("web", calm())
    assert files(tmp_path).recall("web", reading(100)) == calm()


def test_a_file_that_others_may_have_written_is_nothing(tmp_path: Path) -> None:
    """By it a key would leave early."""
    file = tmp_path / "state/clock.json"
    files(tmp_path).remember("web", calm())
    file.chmod(0o666)
    assert files(tmp_path).recall("web", reading(100)) is None
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert files(tmp_path).recall("web", reading(100)) is None


def test_a_folder_that_cannot_be_written_costs_the_memory_only(tmp_path: Path) -> None:
    """Nothing is raised."""
    (tmp_path / "state").write_text("a file")
    files(tmp_path).remember("web", calm())
    files(tmp_path).remember("web", stepped())
    assert files(tmp_path).recall("web", reading(100)) is None


def test_a_command_keeps_nothing(tmp_path: Path) -> None:
    """It reads what the daemon of this host keeps."""
    files(tmp_path).remember("web", calm())
    command = files(tmp_path, writable=False)
    command.remember("web", stepped())
    assert command.recall("web", reading(200)) == calm()


def test_this_boot_has_a_name(tmp_path: Path) -> None:
    """On Linux; what is kept says which it was."""
    ClockFiles(tmp_path).remember("web", calm())
    boot = json.loads((tmp_path / "clock.json").read_text())["boot_id"]
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
