"""
Refused logins are counted and held back, so that no holder of a wrong secret locks its AppRole out.
"""

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
import structlog.testing

from rotator.adapters.vault.login.attempts import MAX_REFUSALS, LoginAttempts
from rotator.errors import StoreDeniedError
from rotator.model.times import format_time, parse_time

WRONG = "role-CANARY\nsecret-CANARY"
LONG = 10**7


class Site:
    """
    The file of refusals, and processes that share it one after another.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "login.json"
        self.told = structlog.testing.LogCapture()
        self.log = structlog.wrap_logger(None, processors=[self.told])

    def process(self) -> LoginAttempts:
        """
        Return what a new process begins with.
        """
        return LoginAttempts(self.file, self.log)

    def let_pass(self, seconds: float) -> None:
        """
        Date the last refusal back, as if that time had passed.
        """
        content = json.loads(self.file.read_text())
        content["last"] = format_time(parse_time(content["last"]) - timedelta(seconds=seconds))
        self.file.write_text(json.dumps(content))

    def events(self) -> list[str]:
        """
        Return the names of the log entries.
        """
        return [entry["event"] for entry in self.told.entries]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """
    A site without refusals.
    """
    return Site(tmp_path)


def test_nothing_was_refused_yet(site: Site) -> None:
    """
    The first login may be tried, and an accepted one leaves no file.
    """
    attempts = site.process()
    attempts.check(WRONG, "the files")
    attempts.accepted()
    assert not site.file.exists()


def test_each_refusal_doubles_the_wait_and_the_third_is_the_last(site: Site) -> None:
    """
    Waits of 30 s and 60 s, each in a process of its own; then the same credentials are never tried again.
    """
    attempts = site.process()
    for wait in (30, 60):
        attempts.refused(WRONG)
        for process in (attempts, site.process()):
            with pytest.raises(StoreDeniedError, match=r"in the files at .*; the next try is at"):
                process.check(WRONG, "the files")
        site.let_pass(wait - 2)
        with pytest.raises(StoreDeniedError, match="the next try is at"):
            site.process().check(WRONG, "the files")
        site.let_pass(3)
        attempts = site.process()
        attempts.check(WRONG, "the files")
    attempts.refused(WRONG)
    site.let_pass(LONG)
    with pytest.raises(StoreDeniedError, match=rf"{MAX_REFUSALS} times, .*put a new secret_id there; .*remove .*login"):
        site.process().check(WRONG, "the files")


def test_the_next_try_is_named(site: Site) -> None:
    """
    It is 30 s after the first refusal.
    """
    site.process().refused(WRONG)
    last = parse_time(json.loads(site.file.read_text())["last"])
    with pytest.raises(StoreDeniedError) as raised:
        site.process().check(WRONG, "the files")
    assert str(raised.value).endswith(f"the next try is at {format_time(last + timedelta(seconds=30))}")


def test_changed_credentials_start_again(site: Site) -> None:
    """
    They are tried at once, and their refusals count from one.
    """
    attempts = site.process()
    for _ in range(MAX_REFUSALS):
        attempts.refused(WRONG)
    for process in (attempts, site.process()):
        process.check("role\nanother", "the files")
    attempts.refused("role\nanother")
    assert json.loads(site.file.read_text())["count"] == 1
    site.process().check(WRONG, "the files")


def test_an_accepted_login_resets_the_count(site: Site) -> None:
    """
    For this process and for the next ones.
    """
    attempts = site.process()
    for _ in range(MAX_REFUSALS):
        attempts.refused(WRONG)
    attempts.accepted()
    for process in (attempts, site.process()):
        process.check(WRONG, "the files")
    assert site.events() == []


def test_a_clock_that_was_set_back_holds_nothing_back(site: Site) -> None:
    """
    A refusal in the future is as long ago as one cares to believe.
    """
    site.process().refused(WRONG)
    site.let_pass(-3600)
    site.process().check(WRONG, "the files")


@pytest.mark.parametrize("step", [-3600, 3600])
def test_within_a_process_a_step_of_the_clock_changes_nothing(site: Site, step: int) -> None:
    """
    The wait goes by the monotonic clock there.
    """
    process = site.process()
    process.refused(WRONG)
    site.let_pass(step)
    with pytest.raises(StoreDeniedError, match="the next try is at"):
        process.check(WRONG, "the files")


def test_what_the_file_holds(site: Site) -> None:
    """
    It is its owner's alone and holds no credential; the same credentials look different each time.
    """
    attempts = site.process()
    attempts.refused(WRONG)
    first = json.loads(site.file.read_text())
    attempts.refused(WRONG)
    second = json.loads(site.file.read_text())
    assert stat.S_IMODE(site.file.stat().st_mode) == 0o600
    assert "CANARY" not in site.file.read_text()
    assert (first["count"], second["count"]) == (1, 2)
    assert first["salt"] != second["salt"]
    assert first["digest"] != second["digest"]


@pytest.mark.parametrize(
    "content", ["", "[1]", "3", '{"count": 3}', '{"count": 3, "last": "x", "salt": "", "digest": ""}', "\udcff"]
)
def test_a_damaged_file_is_told_and_allows_a_login(site: Site, content: str) -> None:
    """
    The warning comes once, and the next refusal mends the file.
    """
    site.file.write_bytes(content.encode(errors="surrogateescape"))
    attempts = site.process()
    attempts.check(WRONG, "the files")
    attempts.check(WRONG, "the files")
    assert site.events() == ["login_attempts_unreadable"]
    attempts.refused(WRONG)
    with pytest.raises(StoreDeniedError):
        site.process().check(WRONG, "the files")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """
    The process remembers for itself, and says that it cannot do better.
    """
    site = Site(tmp_path / "missing")
    attempts = site.process()
    attempts.check(WRONG, "the files")
    attempts.refused(WRONG)
    with pytest.raises(StoreDeniedError, match="next try"):
        attempts.check(WRONG, "the files")
    assert site.events() == ["login_attempts_not_saved"]


def test_without_a_file_the_count_ends_with_the_process(site: Site) -> None:
    """
    The error then names no file to remove.
    """
    attempts = LoginAttempts(None, site.log)
    for _ in range(MAX_REFUSALS):
        attempts.refused(WRONG)
    with pytest.raises(StoreDeniedError, match=r"put a new secret_id there$"):
        attempts.check(WRONG, "the files")
    LoginAttempts(None, site.log).check(WRONG, "the files")
    assert site.events() == []
