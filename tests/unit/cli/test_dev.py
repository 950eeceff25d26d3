"""
`rotator dev`: its options; what it runs is in tests/unit/dev.
"""

import re

import pytest

from tests.support.command_line import CommandLine


@pytest.mark.parametrize(
    ("life", "said"),
    [
        ("5", "--max-token-lifetime must be a whole number and a unit"),
        ("1s", "--max-token-lifetime must be from 2s to 1h"),
        ("61m", "--max-token-lifetime must be from 2s to 1h"),
    ],
)
def test_a_life_that_cannot_be_shown_is_a_usage_error(rotator: CommandLine, life: str, said: str) -> None:
    """Exit code 2, and nothing is started."""
    answer = rotator.run("dev", "--max-token-lifetime", life)
    assert (answer.code, answer.stdout) == (2, "")
    assert said in answer.stderr


def test_seconds_are_at_least_one(rotator: CommandLine) -> None:
    """Less would show nothing."""
    assert rotator.run("dev", "--seconds", "0.5").code == 2


@pytest.mark.slow
def test_it_ends_by_itself_and_counts_what_was_verified(rotator: CommandLine) -> None:
    """Each line has its time; the last one the tally, and the exit code says whether a token failed."""
    answer = rotator.run("dev", "--folder", str(rotator.folder / "dev"), "--seconds", "3")
    *steps, tally = answer.stdout.splitlines()
    assert answer.code == 0, answer.stderr
    assert re.fullmatch(r"verified [1-9][0-9]* tokens, 0 failed", tally)
    assert all(re.match(r"\d\d:\d\d:\d\d  ", step) for step in steps)
    assert (rotator.folder / "dev" / "store" / "keys" / "web.json").exists()
