"""
How a command asks before it does what cannot be undone.
"""

import pytest

from tests.support.command_line import CommandLine, hmac_keyset

COMMANDS = {
    "thaw": ("thaw", "internal"),
    "remove": ("remove", "legacy", "--unsafe-now"),
}
each = pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)


@pytest.fixture(name="before")
def _before(rotator: CommandLine) -> object:
    """
    A keyset that is configured, and one that is not.
    """
    rotator.put(hmac_keyset())
    rotator.put(hmac_keyset("legacy"))
    return rotator.keyset("internal"), rotator.keyset("legacy")


@each
def test_without_a_terminal_consent_must_be_given(
    rotator: CommandLine, before: object, arguments: tuple[str, ...]
) -> None:
    """Exit code 2, and it says how; nothing is changed."""
    answer = rotator.run(*arguments)
    assert (answer.code, answer.stdout) == (2, "")
    assert "add --yes" in answer.stderr
    assert (rotator.keyset("internal"), rotator.keyset("legacy")) == before


@each
def test_a_person_may_say_no(rotator: CommandLine, before: object, arguments: tuple[str, ...]) -> None:
    """Exit code 2; nothing is changed."""
    answer = rotator.run(*arguments, stdin="n\n", terminal=True)
    assert answer.code == 2
    assert "nothing was changed" in answer.stderr
    assert (rotator.keyset("internal"), rotator.keyset("legacy")) == before


@each
@pytest.mark.parametrize("how", ["yes", "terminal"])
@pytest.mark.usefixtures("before")
def test_consent_does_it(rotator: CommandLine, arguments: tuple[str, ...], how: str) -> None:
    """By --yes, or at a terminal."""
    versions = rotator.document_versions()
    answer = rotator.run(*arguments, "--yes") if how == "yes" else rotator.run(*arguments, stdin="y\n", terminal=True)
    assert answer.code == 0, answer.stderr
    assert f"file store {rotator.folder}/store\n" in answer.stderr
    assert rotator.document_versions() != versions


@each
def test_an_op_id_has_a_length(rotator: CommandLine, arguments: tuple[str, ...]) -> None:
    """As elsewhere: 1 to 64 characters."""
    answer = rotator.run(*arguments, "--yes", "--op-id", "x" * 65)
    assert answer.code == 2
    assert "--op-id" in answer.stderr


@each
def test_a_dry_run_changes_nothing(rotator: CommandLine, before: object, arguments: tuple[str, ...]) -> None:
    """It asks nothing either, and exits as the real thing would."""
    answer = rotator.run(*arguments, "--dry-run")
    assert answer.code == 0, answer.stderr
    assert "would" in answer.stdout
    assert (rotator.keyset("internal"), rotator.keyset("legacy")) == before
