"""
Publications: values that can be compared, since publishers leave out what is shown already.
"""

import dataclasses
from datetime import UTC, datetime

import pytest

from rotator.model.publication import LastSeen
from tests.support.publications import kid, publication


def test_publications_of_the_same_save_are_equal() -> None:
    """And those of another sequence, of another JWKS or with another deny-list are not."""
    shown = publication("web", 1)

    assert shown == publication("web", 1)
    assert shown != publication("web", 1, sequence=2)
    assert shown != publication("web", 1, 2)
    assert shown != publication("web", 1, revoked=(kid(2),))


def test_a_publication_says_where_it_belongs() -> None:
    """The combined JWKS holds well-known key pairs alone: a keyset of shared secrets has no key to show."""
    assert publication("web", 1).well_known
    assert not publication("web", 1).symmetric
    assert publication("internal").symmetric
    assert publication("internal").document.jwks == '{"keys":[]}'


def test_a_publication_holds_nothing_else() -> None:
    """Document, timing, and the two flags; what publishers need to know of kids is in the JWKS."""
    names = [field.name for field in dataclasses.fields(publication("web", 1))]

    assert names == ["document", "timing", "well_known", "symmetric"]


SEEN = LastSeen(
    epoch="epoch-1",
    sequence=5,
    op_id="op-5",
    well_known=True,
    symmetric=False,
    timing=publication("web", 1).timing,
    document=publication("web", 1).document,
    seal="a seal",
)
MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("later", "known"),
    [
        (SEEN, None),
        (SEEN, SEEN),
        (dataclasses.replace(SEEN, sequence=6), SEEN),
        (dataclasses.replace(SEEN, epoch="epoch-2", sequence=1), SEEN),
        (dataclasses.replace(SEEN, sequence=4, thawed_at=MARCH), SEEN),
        (dataclasses.replace(SEEN, sequence=4, thawed_at=APRIL), dataclasses.replace(SEEN, thawed_at=MARCH)),
        (SEEN, dataclasses.replace(SEEN, sequence=10**9, seal="")),
    ],
)
def test_what_is_later_supersedes(later: LastSeen, known: LastSeen | None) -> None:
    """A higher sequence, another epoch, what a person accepted, and what is sealed."""
    assert later.supersedes(known)


@pytest.mark.parametrize("thawed_at", [None, MARCH])
def test_a_lower_sequence_supersedes_nothing(thawed_at: datetime | None) -> None:
    """Unless a person accepted it since."""
    lower, known = (dataclasses.replace(SEEN, sequence=n, thawed_at=thawed_at) for n in (4, 5))
    assert not lower.supersedes(known)
