"""
The seal keys of keysets: read once, and again when they do not fit.
"""

from rotator.documents.seal import NEVER_SEALED
from rotator.model.document import Tree
from rotator.reconcile.seals import Seals, sealing_in
from tests.support.process import Outside
from tests.unit.documents.test_signing import golden, sealing


def test_the_standby_is_read_once() -> None:
    """So that a look costs one read."""
    outside = Outside()
    outside.store.put(Tree.STANDBY, "web", golden("standby/web"))
    seals = Seals(outside.store)

    assert seals.get("web") == sealing("web")
    reads = outside.store.reads
    assert seals.get("web") is seals.get("web")
    assert outside.store.reads == reads


def test_a_renewed_key_is_found_by_reading_again() -> None:
    """Another daemon made it, or `rotator thaw`; the same one stays the same object."""
    outside = Outside()
    outside.store.put(Tree.STANDBY, "web", golden("standby/web"))
    seals = Seals(outside.store)
    before = seals.get("web")
    assert seals.read("web") is before

    outside.store.put(Tree.STANDBY, "web", golden("standby/web") | {"seal_key": "e" * 64})
    assert seals.read("web") != before
    assert seals.get("web") == seals.read("web")


def test_a_standby_that_lost_its_key_takes_nothing_from_a_process_that_knows_it() -> None:
    """It is put back from there."""
    outside = Outside()
    outside.store.put(Tree.STANDBY, "web", golden("standby/web"))
    seals = Seals(outside.store)
    known = seals.get("web")
    outside.store.put(Tree.STANDBY, "web", {"by": "hand"})

    assert seals.read("web") is known
    assert Seals(outside.store).get("web") == NEVER_SEALED


def test_what_this_process_saved_need_not_be_read() -> None:
    """A keyset that was just created."""
    outside = Outside()
    outside.store.away = True
    seals = Seals(outside.store)
    seals.keep("web", sealing("web"))
    assert seals.get("web") == sealing("web")


def test_a_standby_of_another_program_says_nothing_of_seals() -> None:
    """Neither does none at all."""
    assert sealing_in(None) == sealing_in({"by": "hand"}) == NEVER_SEALED


def test_a_damaged_standby_still_tells_its_seal_key() -> None:
    """A seal that fits is all the proof that a key needs; what is damaged is mended from there."""
    damaged = golden("standby/web") | {"schema": "x", "keyset": "another", "created_at": ""}
    assert sealing_in(damaged) == sealing("web")
    assert sealing_in(damaged | {"thawed_at": "yesterday"}) == NEVER_SEALED
