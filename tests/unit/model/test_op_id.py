"""
op_ids: those of rotator tell when they were made.
"""

import pytest

from rotator.adapters.keygen import Keygen
from rotator.model.op_id import milliseconds_of


def test_an_op_id_tells_when_it_was_made() -> None:
    """Ours carry milliseconds and sort by time."""
    first, second = Keygen().op_id(), Keygen().op_id()

    assert (milliseconds_of(first) or 0) <= (milliseconds_of(second) or 0)


def test_the_example_of_rfc_9562() -> None:
    """Appendix A.6: 2022-02-22 14:22:22 in the zone UTC-5, in milliseconds."""
    assert milliseconds_of("017F22E2-79B0-7CC3-98C4-DC0C0C07398F") == 1_645_557_742_000


@pytest.mark.parametrize("text", ["deploy-17", "", "919108f7-52d1-4320-9bac-f847db4148a8"])
def test_any_other_op_id_does_not(text: str) -> None:
    """A name that an operator gave, or a UUID of another version."""
    assert milliseconds_of(text) is None
