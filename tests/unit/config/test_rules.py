"""
Rules between options: what cannot work together, and what is not judged.
"""

import pytest

from tests.support.configuration import MINIMAL, FaultsOf, Read

# The text of the file -> how each of its faults begins.
FAULTS = {
    "rsa_bits of a secret": (
        "[keysets.api]\nalgorithm = 'HS256'\nrsa_bits = 2048",
        ["[keysets.api] rsa_bits: is for asymmetric keysets, and this one is HS256; remove it"],
    ),
    "well_known secret": (
        "[keysets.api]\nalgorithm = 'HS256'\nwell_known = false",
        ["[keysets.api] well_known: is for asymmetric keysets"],
    ),
    "readers of key pairs": (MINIMAL + "readers = 'keys'", ["[keysets.web] readers: is for HMAC keysets, and this one is RS256"]),
    "two that must say": (
        MINIMAL + "[keysets.api]",
        ["[keysets.web] well_known: must be said", "[keysets.api] well_known: must be said"],
    ),
    "one of two that must say": (MINIMAL + "well_known = true\n[keysets.api]", ["[keysets.api] well_known: must be said"]),
    "period below propagation": (
        MINIMAL + "rotation_period = '1h'",
        ["[keysets.web] rotation_period (1h) must be longer than propagation_time (2h); raise rotation_period above 2h or lower"],
    ),
    "retention above an HMAC period": (
        "[keysets.api]\nalgorithm = 'HS256'\nrotation_period = '3d'",
        ["[keysets.api] retention (10201m = propagation_time + max_token_lifetime + clock_skew) exceeds rotation_period (3d)"],
    ),
    "impossible defaults are told once": (
        "[defaults]\nrotation_period = '1h'\nwell_known = false\n[keysets.a]\n[keysets.b]\n[publish]\nfile = ''",
        ["[defaults] rotation_period (1h) must be longer than propagation_time (2h)"],
    ),
    "zero propagation": (
        MINIMAL + "propagation_time = '0s'",
        ["[keysets.web] propagation_time must be at least 1s"],
    ),
    "poll above P/8": (
        "[daemon]\npoll_interval = '5m'\n[keysets.web]\npropagation_time = '80s'",
        ['[daemon] poll_interval: 5m is above an eighth of the propagation_time of web (80s); lower it to at most 10s, or say "auto"'],
    ),
    "poll that nothing could satisfy": (
        "[daemon]\npoll_interval = '1s'\n[keysets.web]\npropagation_time = '4s'",
        ['[daemon] poll_interval: 1s is above an eighth of the propagation_time of web (4s); say "auto"'],
    ),
    "authority without an address": ("[publish]\nca_file = 'ca.pem'\n" + MINIMAL, ["[publish] ca_file: does nothing"]),
    "authority for addresses without TLS": (
        "[publish]\nca_file = 'ca.pem'\nverify_urls = ['http://a.example/jwks.json']\n" + MINIMAL,
        ["[publish] ca_file: does nothing"],
    ),
    "Redis authority without TLS": ("[redis]\nca_file = 'ca.pem'\n" + MINIMAL, ["[redis] ca_file: does nothing"]),
    "two listeners on one port": ("[admin]\nhttp = '127.0.0.1:8471'\n" + MINIMAL, ["[admin] http: is the address of [publish] http, too"]),
    "verify URL that would never be read": (
        "[publish]\nverify_urls = ['https://a/j', 'https://a/{keyset}']\n" + MINIMAL + "well_known = false",
        ["[publish] verify_urls, entry 1: would never be read, since no keyset is in the combined set"],
    ),
    "file that would stay empty": (
        "[publish]\nfile = '/srv/jwks.json'\n" + MINIMAL + "well_known = false",
        ["[publish] file: would stay empty, since no keyset is in the combined set"],
    ),
    "published nowhere": (
        "[publish]\nvault = false\nfile = ''\nhttp = ''\n" + MINIMAL,
        ["[keysets.web] is published nowhere, so nobody could verify its tokens"],
    ),
    "published in a file that leaves it out": (
        "[publish]\nvault = false\nhttp = ''\n[keysets.a]\nwell_known = true\n[keysets.b]\nwell_known = false",
        ["[keysets.b] is published nowhere"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_reported_once_with_table_and_option(faults_of: FaultsOf, text: str, expected: list[str]) -> None:
    """
    Each mistake gives exactly its own faults, in its own place, with the way out.
    """
    found = faults_of(text)
    assert len(found) == len(expected), found
    for fault, start in zip(found, expected, strict=True):
        assert fault.startswith(start)


def test_what_depends_on_an_unreadable_option_is_not_judged(faults_of: FaultsOf) -> None:
    """
    A mistyped duration is one fault, not also an impossible policy made with a default in its place.
    """
    assert len(faults_of("[keysets.api]\nalgorithm = 'HS256'\nrotation_period = '3d'\nmax_token_lifetime = '7'")) == 1
    assert (
        len(faults_of("[defaults]\nalgorithm = 'XS1'\n[keysets.a]\nreaders = 'keys'\n[keysets.b]\nrsa_bits = 2048"))
        == 1
    )


def test_a_lone_asymmetric_keyset_is_well_known(read: Read) -> None:
    """
    Beside HMAC keysets one RSA keyset needs no word to be in the combined set; it may say no.
    """
    hmac = "[keysets.api]\nalgorithm = 'HS256'\n"
    assert read(hmac + MINIMAL).keysets["web"].well_known
    assert not read(hmac + MINIMAL).keysets["api"].well_known
    assert not read(hmac + MINIMAL + "well_known = false").keysets["web"].well_known


def test_shared_secrets_alone_need_no_publisher(read: Read) -> None:
    """
    Where nothing is asymmetric, nothing has to be published, and a file set to its default value does no harm.
    """
    hmac = "[keysets.api]\nalgorithm = 'HS256'\n"
    assert read(hmac + "[publish]\nvault = false\nfile = ''\nhttp = ''").keysets
    assert read(hmac + "[publish]\nfile = '/var/lib/rotator/public/jwks.json'").keysets
