"""
A token has one spelling, and its JSON means one thing.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.client import Claims
from rotator.client.jose.compact import MAX_HEADER, MAX_TOKEN, decode_segment
from rotator.documents.jwk import base64url
from tests.support.attacks import JSON, MALFORMED, SPELLING, deep, of_header_length, of_length
from tests.support.forgery import Forge, decode, outcome, verifier_of


@pytest.mark.parametrize("name", SPELLING)
def test_a_token_has_one_spelling(forge: Forge, name: str) -> None:
    """Any other text than the canonical one of a token is refused, although it is signed."""
    attack, reason = SPELLING[name]

    assert outcome(verifier_of(forge), attack(forge)) == reason


def test_what_is_within_the_limits_is_accepted(forge: Forge) -> None:
    """8192 characters, a header of 1024 bytes and 16 levels pass; one more of each does not."""
    verifier = verifier_of(forge)
    longest, longest_header = of_length(forge, MAX_TOKEN), of_header_length(forge, MAX_HEADER)

    assert (len(longest), len(decode(longest_header.split(".")[0]))) == (8192, 1024)
    # Only texts with many brackets are checked for depth.
    beside = deep(16).replace(b'"deep"', b'"beside":[[],[],{}],"deep"')
    for token in (longest, longest_header, forge.raw(deep(16)), forge.raw(beside)):
        assert isinstance(outcome(verifier, token), Claims)
    assert outcome(verifier, forge.raw(deep(17))) == MALFORMED


@pytest.mark.parametrize("name", JSON)
def test_json_means_one_thing_only(forge: Forge, name: str) -> None:
    """What two parsers could read differently, or one could choke on, is refused."""
    attack, reason = JSON[name]

    assert outcome(verifier_of(forge), attack(forge)) == reason


@given(st.binary(max_size=100))
def test_a_segment_is_the_base64url_of_its_bytes(data: bytes) -> None:
    """What is encoded is decoded to the same bytes."""
    assert decode_segment(base64url(data)) == data


@given(st.text("AQgwBZz09-_+/=.! \n\x00é", max_size=12))
def test_a_segment_has_one_spelling(segment: str) -> None:
    """A segment that decodes is what its bytes encode to: no padding, other alphabet, spare bit or stray character."""
    try:
        data = decode_segment(segment)
    except ValueError:
        return
    assert base64url(data) == segment


@pytest.mark.parametrize("segment", ["A", "AA=", "AA==", "AB", "A+AA", "A/AA", "AAA A", "AA\n", "AA!!", "AAAA="])
def test_another_spelling_of_a_segment_is_refused(segment: str) -> None:
    """Though a lenient decoder would read some bytes."""
    with pytest.raises(ValueError, match=r"."):
        decode_segment(segment)
