"""
The header of a token chooses nothing, and only the key that it names verifies its signature.
"""

import base64
import hashlib
import json
import urllib.request
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotator.client import REFRESH, Claims, Keys, Rejection, RotatorError, verify_with
from rotator.client.jose.keys import VerifyingKey, secret_key
from rotator.model.algorithms import Algorithm
from tests.support.attacks import HEADER, HEADERS, MALFORMED, REVOKED, SIGNATURE, TYPE, UNKNOWN_KEY
from tests.support.forgery import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    KID,
    SECRET,
    TIMING,
    FixedKeys,
    Forge,
    decode,
    encode,
    good_claims,
    hmac_forge,
    json_of,
    jwk_of,
    keys_for,
    outcome,
    private_key,
    rsa_forge,
    verifier_of,
)
from tests.support.peer import Peer, answer


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_chooses_nothing(forge: Forge, name: str) -> None:
    """A header names a key that is known, its algorithm and the type asked for, and asks for nothing."""
    attack, reason = HEADERS[name]

    assert outcome(verifier_of(forge), attack(forge)) == reason


@pytest.mark.parametrize(
    "spelling", ["none", "None", "NONE", "nOnE", "NonE", "none ", " none", "null", "", "\uff4eone"]
)
def test_alg_none_is_no_algorithm(forge: Forge, spelling: str) -> None:
    """However it is spelled: without a signature, with an empty byte for one, and with a real one."""
    verifier = verifier_of(forge)
    signed = forge.token(alg=spelling)
    body = signed.rpartition(".")[0]

    assert outcome(verifier, f"{body}.") == MALFORMED
    assert outcome(verifier, body) == MALFORMED
    assert outcome(verifier, f"{body}.AA") == SIGNATURE
    assert outcome(verifier, signed) == SIGNATURE


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../etc/passwd",
        "/dev/null",
        "file:///proc/sys/kernel/randomize_va_space",
        "x' UNION SELECT 'secret' -- ",
        "' OR 1=1; --",
        "key|id",
        "$(id)",
        "`id`",
        "key\nnext",
        "key\r\nX-Header: 1",
        "http://169.254.169.254/latest/meta-data",
        "{{7*7}}",
        "%00",
        "a" * 65,
        "ключ",
        "a b",
    ],
)
def test_a_kid_is_no_path_and_no_query(forge: Forge, kid: str) -> None:
    """A kid that could mean something elsewhere is never searched for."""
    keys = FixedKeys(keys_for(forge))

    assert outcome(verifier_of(forge, keys=keys), forge.token(kid=kid)) == UNKNOWN_KEY
    assert keys.searched == []


def test_an_unknown_kid_in_order_is_searched_for_once(forge: Forge) -> None:
    """And accepted where the search brings its key; the signature is checked all the same."""
    known = keys_for(forge)
    key = known.verifying[KID]
    later = Keys(verifying={"new": VerifyingKey("new", key.algorithm, key._key)}, timing=TIMING)
    without, found = FixedKeys(known), FixedKeys(known, later)
    token = forge.token(kid="new")

    assert outcome(verifier_of(forge, keys=without), token) == UNKNOWN_KEY
    assert isinstance(outcome(verifier_of(forge, keys=found), token), Claims)
    forged = f"{token.rpartition('.')[0]}.{forge.token().rpartition('.')[2]}"
    assert outcome(verifier_of(forge, keys=found), forged) == SIGNATURE
    assert (without.searched, found.searched) == (["new"], ["new", "new"])


def test_a_kid_of_an_algorithm_that_no_key_has_is_not_searched_for(forge: Forge) -> None:
    """Tokens of another algorithm cannot make a reader read."""
    keys = FixedKeys(keys_for(forge))

    assert outcome(verifier_of(forge, keys=keys), forge.token(kid="new", alg="ES256")) == UNKNOWN_KEY
    assert keys.searched == []


@pytest.mark.parametrize("member", ["jku", "x5u", "jwk", "x5c", "kid", "cty", "iss"])
def test_nothing_in_a_token_is_fetched(forge: Forge, member: str) -> None:
    """A server that a token points to, in each place that could be followed, is never asked."""
    with Peer(lambda _: answer(200, {"keys": [jwk_of(private_key(9).public_key())]})) as canary:
        url = f"{canary.address}/jwks.json"
        value = {"jwk": {**jwk_of(private_key(9).public_key()), "x5u": url}, "x5c": [url]}.get(member, url)
        for signer in (forge, rsa_forge(9) if forge.public else hmac_forge(b"x" * 32)):
            token = signer.claiming(iss=url) if member == "iss" else signer.token(None, **{member: value})
            assert isinstance(outcome(verifier_of(forge), token), Rejection)
        assert canary.connections == 0
        urllib.request.urlopen(url).close()
        assert canary.connections == 1, "the canary counts"


def public_texts() -> dict[str, bytes]:
    """
    Return the ways to write a public key, each a secret to code that confuses the kinds of key.
    """
    public = private_key().public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    numbers = public.public_numbers()
    return {
        "PEM": pem,
        "PEM without the last newline": pem.rstrip(b"\n"),
        "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
        "PEM in one line": pem.replace(b"\n", b""),
        "PEM with a newline in front": b"\n" + pem,
        "PKCS#1 PEM": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "PKCS#1 DER": public.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        "OpenSSH": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": json.dumps(jwk_of(public)).encode(),
        "JWK, compact": json_of(jwk_of(public)),
        "JWKS": json.dumps({"keys": [jwk_of(public)]}).encode(),
        "modulus": numbers.n.to_bytes(256, "big"),
        "modulus in base64url": jwk_of(public)["n"].encode(),
        "base64 of DER": base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        "kid": KID.encode(),
        "nothing": b"",
    }


@pytest.mark.parametrize("form", public_texts())
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_not_a_secret(form: str, algorithm: str) -> None:
    """A public RSA key in any form, used as an HMAC secret, signs nothing that its verifier accepts."""
    attacker = hmac_forge(public_texts()[form], algorithm)
    verifier = verifier_of(rsa_forge())

    assert outcome(verifier, attacker.token()) == SIGNATURE
    assert outcome(verifier_of(rsa_forge(), kid_optional=True), attacker.token(kid=ABSENT)) == SIGNATURE
    assert outcome(verifier, attacker.token(alg="RS256")) == SIGNATURE


@pytest.mark.parametrize(
    "form",
    [name for name, text in public_texts().items() if text.isascii() and not name.endswith(("DER", "base64url"))],
)
def test_a_public_key_cannot_be_made_a_secret(form: str) -> None:
    """A public key cannot become the shared secret of a verifier by mistake."""
    text = public_texts()[form].decode()

    with pytest.raises(RotatorError, match=r"no shared secret|fewer than"):
        verify_with(text, issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(RotatorError, match=r"no shared secret|fewer than"):
        verify_with(SECRET, text or "x", issuer=ISSUER, audience=AUDIENCE)


def test_a_remembered_header_lets_nothing_by(forge: Forge) -> None:
    """After a good token, the same header does not help without the key, and a revoked kid is refused."""
    keys = keys_for(forge)
    fixed = FixedKeys(keys)
    verifier = verifier_of(forge, keys=fixed)
    token = forge.token()
    header, payload, signature = token.split(".")
    other = encode(json_of(good_claims(sub="admin")))

    assert isinstance(outcome(verifier, token), Claims)
    assert outcome(verifier, f"{header}.{other}.{signature}") == SIGNATURE
    assert outcome(verifier, f"{header}.{payload}.{encode(b'x' * len(decode(signature)))}") == SIGNATURE
    assert outcome(verifier, forge.token(typ=REFRESH)) == TYPE
    fixed._keys = keys_for(forge, revoked=frozenset({KID}))
    assert outcome(verifier, token) == REVOKED
    fixed._keys = Keys(verifying={}, timing=TIMING)
    assert outcome(verifier, token) == UNKNOWN_KEY


def test_types_are_kept_apart(forge: Forge) -> None:
    """A refresh token opens nothing that an access token does, and the other way round."""
    access, refresh = verifier_of(forge), verifier_of(forge, typ=REFRESH)

    assert isinstance(outcome(access, forge.token()), Claims)
    assert isinstance(outcome(refresh, forge.token(typ=REFRESH)), Claims)
    assert isinstance(outcome(refresh, forge.token(typ="application/RT+JWT")), Claims)
    assert outcome(access, forge.token(typ=REFRESH)) == TYPE
    assert outcome(refresh, forge.token()) == TYPE
    # "application/" is left out only where no other slash follows (RFC 7515 section 4.1.9).
    assert outcome(verifier_of(forge, typ="a/b"), forge.token(typ="application/a/b")) == TYPE


def test_another_key_signs_in_vain(forge: Forge) -> None:
    """A key of the same kind, under our kid."""
    attacker = rsa_forge(1) if forge.public else hmac_forge(b"0123456789abcdef" * 2)

    assert outcome(verifier_of(forge), attacker.token()) == SIGNATURE


@pytest.mark.parametrize(
    "signature",
    [b"\0", b"\0" * 32, b"\xff" * 32, b"\0" * 255, b"\0" * 256, b"\0" * 255 + b"\1", b"\xff" * 256, b"\0" * 257],
)
def test_made_up_signatures_do_not_verify(forge: Forge, signature: bytes) -> None:
    """Zeros, ones, and lengths that no signature has."""
    body = forge.token().rpartition(".")[0]

    assert outcome(verifier_of(forge), f"{body}.{encode(signature)}") == SIGNATURE


def test_a_signature_is_whole(forge: Forge) -> None:
    """Neither a part of it nor more than it verifies, and no bit of it may differ."""
    body, _, text = forge.token().rpartition(".")
    signature = decode(text)
    verifier = verifier_of(forge)

    for cut in (signature[:-1], signature[1:], signature[:16], signature + b"\0", b"\0" + signature, signature * 2):
        assert outcome(verifier, f"{body}.{encode(cut)}") == SIGNATURE
    for place in range(len(signature)):
        flipped = bytearray(signature)
        flipped[place] ^= 1 << place % 8
        assert outcome(verifier, f"{body}.{encode(bytes(flipped))}") == SIGNATURE


def test_an_rsa_signature_plus_the_modulus_is_another_one() -> None:
    """S and s + n are the same modulo n: the size of the signature must be checked."""
    forge = rsa_forge()
    modulus = private_key().public_key().public_numbers().n
    tried = 0
    for number in range(200):
        token = forge.claiming(jti=f"t{number}")
        body, _, text = token.rpartition(".")
        larger = int.from_bytes(decode(text), "big") + modulus
        if larger.bit_length() <= 2048:
            tried += 1
            assert isinstance(outcome(verifier_of(forge), token), Claims)
            assert outcome(verifier_of(forge), f"{body}.{encode(larger.to_bytes(256, 'big'))}") == SIGNATURE
    assert tried


OID = bytes.fromhex("0609608648016503040201")  # SHA-256


def paddings(digest: bytes) -> dict[str, bytes]:
    """
    Return ways to write down *digest* in a signature (RFC 8017 section 9.2), the first of them the right one.
    """

    def padded(info: bytes, front: bytes = b"\0\1", fill: bytes = b"\xff") -> bytes:
        return front + fill * (256 - len(front) - 1 - len(info)) + b"\0" + info

    sha, null = b"\x30\x0d" + OID + b"\x05\0", b"\x04\x20" + digest
    right = b"\x30\x31" + sha + null
    good = padded(right)
    return {
        "right": good,
        "long form of a length": padded(b"\x30\x81\x31" + sha + null),
        "long form with a leading zero": padded(b"\x30\x82\0\x31" + sha + null),
        "long form within": padded(b"\x30\x32\x30\x81\x0d" + sha[2:] + null),
        "long form of the digest's length": padded(b"\x30\x32" + sha + b"\x04\x81\x20" + digest),
        "indefinite length": padded(b"\x30\x80" + sha + null + b"\0\0"),
        "length one too short": padded(b"\x30\x30" + sha + null),
        "length one too long": padded(b"\x30\x32" + sha + null),
        "no parameters": padded(b"\x30\x2f\x30\x0b" + OID + null),
        "parameters that say something": padded(b"\x30\x33\x30\x0f" + OID + b"\x05\x02ab" + null),
        "a set for a sequence": padded(b"\x31\x31" + sha + null),
        "a bit string for an octet string": padded(b"\x30\x31" + sha + b"\x03\x20" + digest),
        "no structure at all": padded(digest),
        "SHA-1 for a name": padded(b"\x30\x2d\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\0" + null),
        "SHA-512 for a name": padded(right.replace(OID, OID[:-1] + b"\x03")),
        "half of the digest": padded(b"\x30\x21" + sha + b"\x04\x10" + digest[:16]),
        "text behind the digest": padded(right + b"x"),
        "zeros behind the digest": padded(right + bytes(8)),
        "zeros within the sequence": padded(b"\x30\x33" + sha + null + b"\0\0"),
        "short padding, then garbage": b"\0\1" + b"\xff" * 8 + b"\0" + right + b"x" * (256 - 11 - len(right)),
        "no padding, then garbage": b"\0\1\0" + right + b"x" * (256 - 3 - len(right)),
        "garbage for padding": good[:2] + b"\xff" * 20 + b"\x7f" * (len(good) - 22 - len(right) - 1) + b"\0" + right,
        "a zero within the padding": good[:50] + b"\0" + good[51:],
        "block type 0": padded(right, front=b"\0\0", fill=b"\0"),
        "block type 2": padded(right, front=b"\0\2"),
        "no zero before the structure": good[: -len(right) - 1] + b"\xff" + right,
        "PSS-like end": good[:-1] + b"\xbc",
    }


@pytest.mark.parametrize("name", paddings(b""))
def test_rsa_padding_is_exact(name: str) -> None:
    """Signed with the right key over the right digest, but padded in another way, as in Bleichenbacher's forgeries."""
    forge = rsa_forge()
    numbers = private_key().private_numbers()
    body = forge.token().rpartition(".")[0]
    block = paddings(hashlib.sha256(body.encode()).digest())[name]
    assert len(block) == 256
    signature = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n).to_bytes(256, "big")

    result = outcome(verifier_of(forge), f"{body}.{encode(signature)}")
    assert isinstance(result, Claims) if name == "right" else result == SIGNATURE


class Untouchable:
    """
    A key that must not be used.
    """

    def __init__(self, algorithm: str) -> None:
        self.kid, self.algorithm = KID, Algorithm(algorithm)
        self.longest_token = timedelta(0)
        self.used = 0

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:
        """
        Note that it happened, and say yes.
        """
        assert signing_input
        assert signature
        self.used += 1
        return True


def test_a_revoked_kid_is_refused_before_its_key_is_used(forge: Forge) -> None:
    """Even where the key is still in the set: with a kid, found by a search, and with every key tried."""
    key: Any = Untouchable(forge.algorithm)
    keys = Keys(verifying={KID: key}, revoked=frozenset({KID}), timing=TIMING)
    searched = FixedKeys(keys_for(forge, verifying={"other": key}), later=keys)

    assert outcome(verifier_of(forge, keys=FixedKeys(keys)), forge.token()) == REVOKED
    assert outcome(verifier_of(forge, keys=searched), forge.token()) == REVOKED
    optional = verifier_of(forge, keys=FixedKeys(keys), kid_optional=True)
    assert outcome(optional, forge.token(kid=ABSENT)) == SIGNATURE
    assert outcome(optional, forge.token()) == REVOKED
    assert key.used == 0
    assert isinstance(
        outcome(verifier_of(forge, keys=FixedKeys(Keys(verifying={KID: key}, timing=TIMING))), forge.token()), Claims
    )
    assert key.used == 1


def test_a_token_without_a_kid_passes_only_where_that_was_asked_for(forge: Forge) -> None:
    """With kid_optional every key is tried, each with its own algorithm; a kid that is there counts all the same."""
    token = forge.token(kid=ABSENT)
    optional = verifier_of(forge, kid_optional=True)

    assert outcome(verifier_of(forge), token) == UNKNOWN_KEY
    assert isinstance(outcome(optional, token), Claims)
    assert outcome(optional, forge.token(kid="")) == HEADER
    assert outcome(optional, forge.token(kid="other")) == UNKNOWN_KEY
    assert outcome(optional, forge.token(kid=ABSENT, alg="none")) == SIGNATURE


def test_a_key_has_one_algorithm() -> None:
    """The same secret under HS512 does not verify HS256, and the other way round."""
    secret = (SECRET + SECRET).encode()
    for bound, used in (("HS256", "HS512"), ("HS512", "HS256"), ("HS384", "HS256")):
        keys = Keys(verifying={KID: secret_key(KID, Algorithm(bound), secret)[0]}, timing=TIMING)
        verifier = verifier_of(hmac_forge(), keys=FixedKeys(keys))

        assert outcome(verifier, hmac_forge(secret, used).token()) == SIGNATURE
        assert isinstance(outcome(verifier, hmac_forge(secret, bound).token()), Claims)
