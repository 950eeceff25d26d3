"""
Publications: values that can be compared, since publishers leave out what is shown already.
"""

import dataclasses

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
