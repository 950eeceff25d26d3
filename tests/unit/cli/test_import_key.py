"""
`rotator import`: where the text is read, and what is printed; never the text.
"""

import json

import pytest

from rotator.model.keys import HmacSecret, KeyPair
from rotator.model.secret import SecretText
from tests.support.command_line import CommandLine
from tests.support.publications import pair

SECRET = "e100fbce008c04ec40637af0af91fb2f05aeedc23f856a2d3c0b1580625d755e"
TYPED = "correct horse battery staple, my very long secret"


def pem() -> str:
    """A private key."""
    private = pair(1).private
    assert private is not None
    return private.reveal()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_stdin_without_one_line_break(rotator: CommandLine, end: str) -> None:
    """As `echo` and editors leave it; it becomes current, and is not printed."""
    answer = rotator.run("import", "internal", stdin=SECRET + end)

    current = rotator.keyset("internal").current
    assert current is not None
    assert current.material == HmacSecret(SecretText(SECRET))
    assert answer.code == 0
    assert answer.stdout == f"internal: HS256 key imported as current under the kid {current.kid}\n"
    assert answer.stderr == f"file store {rotator.folder}/store\n"


def test_a_private_key_is_read_from_a_file(rotator: CommandLine) -> None:
    """Under the kid that its tokens bear; programs get JSON."""
    file = rotator.folder / "old.pem"
    file.write_text(pem())

    answer = rotator.run("import", "web", "--file", str(file), "--kid", "legacy-1", "--output", "json")

    keyset = rotator.keyset("web")
    assert keyset.current is not None
    assert isinstance(keyset.current.material, KeyPair)
    assert json.loads(answer.stdout) == {
        "keyset": "web",
        "kid": "legacy-1",
        "algorithm": "RS256",
        "op_id": keyset.op_id,
    }
    assert "PRIVATE KEY" not in answer.stdout + answer.stderr


def test_a_guessable_secret_is_taken_with_a_warning(rotator: CommandLine) -> None:
    """Tokens already out keep verifying; the operator is told to replace it."""
    answer = rotator.run("import", "internal", stdin=TYPED)
    assert answer.code == 0
    assert "warning: this secret can be guessed" in answer.stderr
    assert TYPED not in answer.stdout + answer.stderr


def test_a_keyset_that_exists_is_refused(rotator: CommandLine) -> None:
    """Exit code 3, and nothing is changed."""
    rotator.run("import", "internal", stdin=SECRET)
    before = rotator.keyset("internal")
    answer = rotator.run("import", "internal", stdin=TYPED)
    assert (answer.code, answer.stdout) == (3, "")
    assert "internal: exists already" in answer.stderr
    assert rotator.keyset("internal") == before


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("nobody",), SECRET, "unknown keyset 'nobody'"),
        (("internal", "--kid", ""), SECRET, "--kid must be printable characters, of 1 to 256 bytes"),
        (("internal", "--kid", "x" * 257), SECRET, "--kid must be printable characters"),
        (("internal",), "short", "--file: holds 5 bytes, fewer than the 32 that HS256 needs"),
        (("internal",), b"\xff\xfe", "--file: - cannot be read as UTF-8 text (UnicodeDecodeError)"),
        (("internal", "--file", "/nowhere/key"), "", "/nowhere/key cannot be read as UTF-8 text (FileNotFoundError)"),
        (("web",), SECRET, ""),
    ],
)
def test_what_cannot_be_imported_is_a_usage_error(
    rotator: CommandLine, arguments: tuple[str, ...], stdin: str | bytes, said: str
) -> None:
    """Exit code 2, before the store is touched; the text is not repeated."""
    answer = rotator.run("import", *arguments, stdin=stdin)
    assert (answer.code, answer.stdout) == (2, "")
    assert said in answer.stderr
    assert SECRET not in answer.stderr
    assert not (rotator.folder / "store").exists()
