"""
Which file is read, and what is said of one that cannot be.
"""

import os
from pathlib import Path

import pytest

from rotator.config import toml_file
from rotator.config.load import load
from rotator.errors import ConfigError
from tests.support.configuration import CANARY, MINIMAL, FaultsOf


def test_the_file_is_looked_for_in_four_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    --config overrides ROTATOR_CONFIG, which overrides ./config.toml; a named file that is missing is never skipped.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("config.toml", "env.toml", "option.toml"):
        (tmp_path / name).write_text(MINIMAL)
    named = {"ROTATOR_CONFIG": "env.toml"}
    assert load(Path("option.toml"), environ=named, command_line=True).path == tmp_path / "option.toml"
    assert load(None, environ=named, command_line=True).path == tmp_path / "env.toml"
    assert load(None, environ={}, command_line=True).path == tmp_path / "config.toml"
    with pytest.raises(ConfigError, match=r"gone\.toml: does not exist; correct ROTATOR_CONFIG"):
        load(None, environ={"ROTATOR_CONFIG": "gone.toml"}, command_line=True)
    with pytest.raises(ConfigError, match=r"gone\.toml: does not exist; correct --config"):
        load(Path("gone.toml"), environ={}, command_line=True)
    (tmp_path / "config.toml").unlink()
    if not Path("/etc/rotator/config.toml").exists():
        with pytest.raises(
            ConfigError, match=r"--config nor ROTATOR_CONFIG .* /.*/config\.toml, /etc/rotator/config\.toml"
        ):
            load(None, environ={}, command_line=True)


def test_a_file_that_cannot_be_read_is_told_so(tmp_path: Path) -> None:
    """
    A folder, or a file of another user, is not "no configuration".
    """
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path, environ={}, command_line=True)


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    """
    It would keep its reader waiting.
    """
    os.mkfifo(tmp_path / "config.toml")
    with pytest.raises(ConfigError, match=r"/config\.toml: is no regular file; put one there"):
        load(tmp_path / "config.toml", environ={}, command_line=True)


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        f'[vault]\naddress = "{CANARY}',
        f"[vault]\naddress = {CANARY}",
        f"['{CANARY}']\n['{CANARY}']",
        f"x = {{'{CANARY}' = 1, '{CANARY}' = 2}}",
        f"'{CANARY}' = 1\n'{CANARY}'.a = 2",
        f"a.'{CANARY}' = 1\n[a.'{CANARY}']",
        f"x = 2026-99-99 # {CANARY}",
    ],
)
def test_a_syntax_error_names_line_and_column_and_no_text(faults_of: FaultsOf, text: str) -> None:
    """
    Text that is not TOML gives one fault that says where.
    """
    (found,) = faults_of(text)
    assert found.startswith(("is not valid TOML at line ", "is not valid TOML at end of document: "))


def test_a_syntax_error_says_what_is_wrong_as_far_as_that_is_no_text_of_the_file(faults_of: FaultsOf) -> None:
    """
    The parser's reason is kept, without the names that it may quote.
    """
    assert faults_of("[vault]\naddress") == [
        "is not valid TOML at end of document: expected '=' after a key in a key/value pair"
    ]
    (twice,) = faults_of(f"['{CANARY}']\n['{CANARY}']")
    assert twice.endswith(": the same table or option is there twice")


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x = " + "9" * 5000])
def test_a_hostile_text_is_one_fault(faults_of: FaultsOf, text: str) -> None:
    """
    What exceeds the parser's limits is told like any other syntax error.
    """
    (found,) = faults_of(text)
    assert found.startswith("is not valid TOML")


def test_a_syntax_error_of_an_unknown_kind_is_one_fault() -> None:
    """
    What tomllib may say is not repeated unless it is known to quote nothing.
    """
    assert toml_file._syntax(f"{CANARY} is wrong (at line 1, column 2)") == (
        "is not valid TOML at line 1, column 2: something is out of place"
    )
    assert CANARY not in toml_file._syntax(CANARY)


def test_a_file_that_is_not_utf_8_is_one_fault(tmp_path: Path) -> None:
    """
    The position is told, the bytes are not.
    """
    (tmp_path / "c").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 2\)"):
        load(tmp_path / "c", environ={}, command_line=True)
