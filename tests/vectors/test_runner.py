"""
The runner of published vectors (tests/vectors): what it counts as right and wrong, and what it exits with.
"""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.forgery import ABSENT, KID, SECRET, encode, hmac_forge, jwk_of, private_key, rsa_forge

HS: dict[str, Any] = {"kty": "oct", "kid": KID, "use": "sig", "alg": "HS256", "k": encode(SECRET.encode())}
EC = {"kty": "EC", "kid": KID, "use": "sig", "alg": "ES256", "crv": "P-256", "x": "AAAA", "y": "AAAA"}
RS = jwk_of(private_key().public_key())
GOOD, RSA_GOOD = hmac_forge().token(typ=ABSENT), rsa_forge().token(typ=ABSENT)
FORGED = hmac_forge(b"x" * 32).token()
Run = Callable[..., tuple[int, str]]


def group(
    keys: dict[str, Any], *tests: tuple[object, str], kind: str = "JsonWebSignature", **more: Any
) -> dict[str, Any]:
    """
    Return a group of *tests*, tokens with the result they should have, for private *keys*.
    """
    member = "jwe" if kind == "JsonWebEncryption" else "jws"
    rows = [
        {"tcId": number, "comment": f"case {number}", member: token, "result": result}
        for number, (token, result) in enumerate(tests, 1)
    ]
    return {"type": kind, "private": keys, "tests": rows, **more}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """
    Run the runner over a file of the groups given; returns its exit status and what it printed.
    """

    def run(*groups: dict[str, Any], folder: Path = tmp_path, claims: int | None = None) -> tuple[int, str]:
        if groups:
            (tmp_path / "deep" / "er").mkdir(parents=True, exist_ok=True)
            document = {"testGroups": groups} | ({} if claims is None else {"numberOfTests": claims})
            (tmp_path / "deep" / "er" / "json_web_test.json").write_text(json.dumps(document))
        monkeypatch.setattr(sys, "argv", ["vectors", str(folder)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_module("tests.vectors", run_name="__main__")
        output = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, output.out + output.err

    return run


def test_good_vectors_pass(run: Run) -> None:
    """Valid tokens are accepted, invalid ones rejected; for "acceptable" either is right."""
    tests = [(GOOD, "valid"), (FORGED, "invalid"), (GOOD + "=", "invalid"), (FORGED, "acceptable"), ("", "acceptable")]
    status, output = run(group(HS, *tests), group(RS, (RSA_GOOD, "valid"), (GOOD, "invalid")))

    assert status == 0
    assert "deep/er/json_web_test.json: 7 tests, 2 accepted, 5 rejected, 0 false accepts, 0 false rejects\n" in output
    assert "total: 7 tests, 2 accepted, 5 rejected, 0 false accepts, 0 false rejects; 0 other files skipped" in output


def test_a_false_accept_is_a_failure(run: Run) -> None:
    """A token that is accepted and should not be ends in exit status 1, and is named, whatever else went well."""
    status, output = run(group(HS, (GOOD, "valid")), group(RS, (RSA_GOOD, "invalid")))

    assert status == 1
    assert "2 accepted, 0 rejected, 1 false accepts" in output
    assert "FALSE ACCEPT 1 case 1" in output


def test_a_false_reject_is_told_with_its_reason(run: Run) -> None:
    """A forged token labelled valid, and good ones of a kind unknown to rotator, are no failure and are counted."""
    forgeries = group(HS, (FORGED, "valid"), (f"{GOOD}.", "valid"), (hmac_forge().token(crit=[]), "valid"))
    status, output = run(forgeries, group(EC, (GOOD, "valid"), (FORGED, "valid")), group(HS, (GOOD, "valid")))

    assert status == 0
    assert "6 tests, 1 accepted, 5 rejected, 0 false accepts, 5 false rejects" in output
    assert "false reject 1 case 1: a signature that does not verify" in output
    assert "    2 ES256 is not an algorithm of rotator" in output
    for reason in ("a signature that does not verify", "not a compact JWS", "a header that asks for something"):
        assert f"    1 {reason}" in output


KEYS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a secret for encryption": ({**HS, "use": "enc"}, GOOD, "not for verifying signatures"),
    "a secret to encrypt with": ({**HS, "key_ops": ["encrypt"]}, GOOD, "not for verifying signatures"),
    "a secret to sign with": ({**HS, "key_ops": ["sign"]}, GOOD, "not for verifying signatures"),
    "a secret without an algorithm": (
        {name: HS[name] for name in ("kty", "kid", "k")},
        GOOD,
        "does not say its algorithm",
    ),
    "a secret for AES": ({**HS, "alg": "A256KW"}, GOOD, "A256KW is not an algorithm"),
    "a secret with padding": ({**HS, "k": HS["k"] + "="}, GOOD, "not base64url"),
    "a short secret": ({**HS, "k": "AAAA"}, GOOD, "fewer than"),
    "a public key for encryption": ({**RS, "use": "enc"}, RSA_GOOD, "not for verifying signatures"),
    "a public key to encrypt with": ({**RS, "key_ops": ["encrypt"]}, RSA_GOOD, "not for verifying signatures"),
    "a public key without an algorithm": (
        {name: value for name, value in RS.items() if name != "alg"},
        RSA_GOOD,
        "does not say its algorithm",
    ),
    "a public key of exponent one": ({**RS, "e": "AQ"}, RSA_GOOD, "RSA"),
    "an algorithm of the other kind": ({**RS, "alg": "HS256"}, RSA_GOOD, "HS256 does not go with a key of kind RSA"),
    "secrets and public keys in one set": ({"keys": [HS, {**EC, "kid": "ec"}]}, GOOD, "in one set"),
    "a kid twice": ({"keys": [HS, HS]}, GOOD, "kid twice"),
    "a kid of two keys in a public set": ({"keys": [RS, {**RS, "e": "Aw"}]}, RSA_GOOD, "names two keys"),
    "a set for encryption": ({"keys": [{**RS, "use": "enc"}]}, RSA_GOOD, "without any key"),
    "an empty set": ({"keys": []}, RSA_GOOD, "without any key"),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_taken_at_their_word(run: Run, name: str) -> None:
    """A key that may not verify verifies nothing, though its signature is right; labelled valid, the reason is told."""
    keys, token, reason = KEYS[name]

    assert run(group(keys, (token, "invalid")))[0] == 0
    status, output = run(group(keys, (token, "valid")))
    assert status == 0
    assert "0 accepted, 1 rejected, 0 false accepts, 1 false rejects" in output
    assert reason in output


def test_sets_of_keys_are_used(run: Run) -> None:
    """Each key of a set verifies what bears its kid."""
    other = {**HS, "kid": "other", "k": encode(b"x" * 32)}
    secrets = group({"keys": [HS, other]}, (GOOD, "valid"), (hmac_forge(b"x" * 32).token(kid="other"), "valid"))
    public = group({"keys": [RS]}, (RSA_GOOD, "valid"), (GOOD, "invalid"))

    status, output = run({**secrets, "type": "JsonWebKey"}, public)
    assert (status, "3 accepted, 1 rejected, 0 false accepts, 0 false rejects" in output) == (0, True)


def test_private_keys_stand_for_their_public_keys(run: Run) -> None:
    """Without a public key in a group its private one is reduced to it; a public key that is private is refused."""
    private = {**RS, "d": "AQ", "p": "AQ"}

    assert "1 accepted" in run(group(private, (RSA_GOOD, "valid")))[1]
    assert "0 accepted" in run(group(private, (RSA_GOOD, "valid"), public=private))[1]
    assert "1 accepted" in run(group({"keys": [private]}, (RSA_GOOD, "valid")))[1]


def test_nothing_encrypted_is_opened(run: Run) -> None:
    """Every JWE is rejected, and so is a token in JSON."""
    status, output = run(
        group(HS, ("eyJhbGciOiJkaXIifQ..AA.AA.AA", "valid"), kind="JsonWebEncryption"),
        group(HS, ({"payload": "AA", "signatures": []}, "invalid")),
    )

    assert status == 0
    assert "0 accepted, 2 rejected" in output
    assert "1 a JWE, which rotator does not decrypt" in output


def test_a_file_that_contradicts_itself_proves_nothing(run: Run) -> None:
    """
    The same token and key, called valid and invalid, count as neither; with another key or token they do count.

    So it is with three tests of json_web_signature_test.json: https://github.com/C2SP/wycheproof/issues/236.
    """
    status, output = run(group(HS, (GOOD, "valid"), (GOOD, "invalid"), (FORGED, "invalid")))
    assert status == 0
    assert "0 false accepts, 0 false rejects, 2 contradictory" in output
    assert output.count("contradictory 2 case 2: accepted") == 1

    status, output = run(group(HS, (GOOD, "valid")), group({**HS, "x": 1}, (GOOD, "invalid")))
    assert (status, "1 false accepts" in output) == (1, True)


def test_files_of_other_kinds_are_skipped(run: Run, tmp_path: Path) -> None:
    """What holds no JOSE vectors is counted, not read."""
    (tmp_path / "aes_test.json").write_text('{"testGroups": [{"type": "AeadTest", "tests": [{}]}]}')
    (tmp_path / "broken.json").write_text('{"testGroups": [')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "notes.txt").write_text("{}")

    status, output = run(group(HS, (GOOD, "valid")))
    assert (status, "1 accepted, 0 rejected" in output, "; 3 other files skipped" in output) == (0, True, True)


def test_a_folder_without_vectors_is_an_error(run: Run, tmp_path: Path) -> None:
    """It must not pass for a success, nor may a folder that does not exist."""
    (tmp_path / "aes_test.json").write_text('{"testGroups": [{"type": "AeadTest", "tests": [{}]}]}')

    status, output = run()
    assert (status, "no JOSE vectors; 1 other files skipped" in output) == (2, True)
    assert run(folder=tmp_path / "nowhere")[0] == 2


def test_a_file_that_is_not_whole_is_told(run: Run) -> None:
    """Fewer tests than a file says it has are seen."""
    assert "of the 401 that the file should have" in run(group(HS, (GOOD, "valid")), claims=401)[1]
    assert "should have" not in run(group(HS, (GOOD, "valid")), claims=1)[1]
