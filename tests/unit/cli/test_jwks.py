"""
`rotator jwks`: what verifiers read from the store.
"""

import json
from pathlib import Path

from tests.support.command_line import CommandLine

TWO = "[keysets.web]\nwell_known = true\n[keysets.apps]\nwell_known = true\n[keysets.hidden]\nwell_known = false\n"


def kids(text: str) -> list[str]:
    """The kids of a JWKS, in order."""
    return [key["kid"] for key in json.loads(text)["keys"]]


def test_the_set_of_a_keyset_is_the_stored_one(rotator: CommandLine) -> None:
    """Current and next, without a private member."""
    rotator.run("tick")
    answer = rotator.run("jwks", "web")
    assert answer.code == 0
    assert sorted(kids(answer.stdout)) == sorted(key.kid for key in rotator.keyset("web").keys())
    assert all("d" not in key for key in json.loads(answer.stdout)["keys"])


def test_without_a_name_all_well_known_keysets_are_in_one_set(tmp_path: Path) -> None:
    """As at /.well-known/jwks.json; the hidden one is not in it."""
    rotator = CommandLine(tmp_path, TWO)
    rotator.run("tick")
    together = kids(rotator.run("jwks").stdout)
    assert sorted(together) == sorted(
        kids(rotator.run("jwks", "web").stdout) + kids(rotator.run("jwks", "apps").stdout)
    )


def test_shared_secrets_have_no_set(rotator: CommandLine) -> None:
    """Asking for one is a mistake of the command line."""
    answer = rotator.run("jwks", "internal")
    assert (answer.code, answer.stdout) == (2, "")
    assert "internal holds shared secrets; it has no JWKS" in answer.stderr


def test_before_the_first_publication_there_is_none(rotator: CommandLine) -> None:
    """A script may try again later: 69, and standard output stays empty."""
    answer = rotator.run("jwks", "web")
    assert (answer.code, answer.stdout) == (69, "")
    assert "web: nothing is published yet" in answer.stderr
