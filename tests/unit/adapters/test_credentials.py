"""
The files that settings name: what they may hold, and which option is at fault.
"""

import os
from pathlib import Path

import pytest
import trustme

from rotator.adapters.credentials import read_secret, require_authorities, require_login
from rotator.config.load import load
from rotator.config.settings import Settings
from rotator.errors import ConfigError
from rotator.model.secret import SecretText


@pytest.mark.parametrize("text", ["secret", "secret\n", "secret\r\n"])
def test_a_credential_is_read_without_its_newline(tmp_path: Path, text: str) -> None:
    """Editors add one."""
    (tmp_path / "file").write_bytes(text.encode())

    assert read_secret(tmp_path / "file", "[vault] token_file") == SecretText("secret")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read (FileNotFoundError); create it or correct the option"),
        (b"\xff\xfe-canary", "cannot be read (UnicodeDecodeError); create it or correct the option"),
        (b"\n", "is empty; write the credential into it"),
    ],
)
def test_a_credential_that_cannot_be_read_is_a_fault_of_its_option(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    """Option, path and way out are named, and nothing of the content."""
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        read_secret(file, "[redis] password_file")
    assert str(caught.value) == f"[redis] password_file: {file} {fault}"
    assert caught.value.__context__ is None or caught.value.__suppress_context__


# -- logins ------------------------------------------------------------------------------------------------------------


def settings(folder: Path, store: str, **environ: str) -> Settings:
    """Return the settings of a file with one keyset and *store*."""
    (folder / "config.toml").write_text(f"{store}\n[keysets.web]\n")
    return load(folder / "config.toml", environ=environ, command_line=False)


@pytest.mark.parametrize("missing", ["role_id", "secret_id"])
def test_a_login_needs_both_its_files(tmp_path: Path, missing: str) -> None:
    """The one that is missing is named, by its option."""
    found = settings(tmp_path, "[vault]")
    for name in ("role_id", "secret_id"):
        (tmp_path / name).write_text("text")
    require_login(found)

    (tmp_path / missing).unlink()
    with pytest.raises(ConfigError, match=rf"\[vault\] {missing}_file: "):
        require_login(found)


@pytest.mark.parametrize(
    ("store", "environ"),
    [
        ('[store]\nbackend = "file"', {}),
        ('[vault]\nauth = "token"', {}),
        ('[vault]\nauth = "token"', {"VAULT_TOKEN": "s.token"}),
    ],
)
def test_a_login_without_files_needs_none(tmp_path: Path, store: str, environ: dict[str, str]) -> None:
    """A file store has no login; a token is read once, when the store is made."""
    require_login(settings(tmp_path, store, **environ))


# -- authorities -------------------------------------------------------------------------------------------------------


def test_authorities_are_certificates_or_those_of_the_system(tmp_path: Path) -> None:
    """A file that cannot be read, or holds something else, is a fault of its option."""
    require_authorities(None, "[redis] ca_file")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    require_authorities(tmp_path / "ca.pem", "[redis] ca_file")

    (tmp_path / "text").write_text("no certificate")
    os.mkfifo(tmp_path / "fifo")
    faults = {"nothing": "No such file or directory", "text": "SSLError", "fifo": "it is no regular file"}
    for name, reason in faults.items():
        with pytest.raises(ConfigError) as caught:
            require_authorities(tmp_path / name, "[redis] ca_file")
        assert str(caught.value) == (
            f"[redis] ca_file: {tmp_path / name} cannot be used ({reason}); it must hold PEM certificates"
        )
