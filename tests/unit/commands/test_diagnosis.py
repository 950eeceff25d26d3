"""
A keyset as the daemon would judge it, for commands that only show it.
"""

import pytest

from rotator.commands.diagnosis import examine
from rotator.errors import DocumentError, EditedError, FrozenError, RefusedError, StoreDeniedError
from rotator.model.document import Stored, Tree
from tests.support.memory_store import MemoryStore
from tests.support.process import Place
from tests.unit.commands.test_restore import SECRETS, edit, number, settled


def test_a_good_keyset_is_what_it_is() -> None:
    """And one that does not exist yet is refused, as ever."""
    place = settled(SECRETS)
    assert examine(place.store, "web", SECRETS).keyset == place.keyset
    with pytest.raises(RefusedError, match="does not exist yet"):
        examine(place.store, "api", SECRETS)


def test_an_edited_document_is_told_with_the_way_out() -> None:
    """As the daemon's alarm does."""
    place = settled(SECRETS)
    good = number(place)
    edit(place, kid="other")
    with pytest.raises(EditedError, match=rf"^web: .*; run `rotator restore web --version {good}`, or"):
        examine(place.store, "web", SECRETS)


def test_a_document_of_another_hand_is_told_with_the_way_out() -> None:
    """It cannot be read at all."""
    place = settled(SECRETS)
    good = number(place)
    place.store.put(Tree.KEYS, "web", {"current": "by hand"})
    with pytest.raises(EditedError, match=rf"^web: .*; run `rotator restore web --version {good}`$"):
        examine(place.store, "web", SECRETS)
    edit(place, schema="2", keyset="web")
    with pytest.raises(DocumentError, match=r"upgrade rotator$"):
        examine(place.store, "web", SECRETS)


def test_a_deleted_document_is_told_with_the_way_out() -> None:
    """Though it could be taken for one that never was."""
    place = settled(SECRETS)
    place.store.delete(Tree.KEYS, "web")
    with pytest.raises(
        FrozenError, match=rf"its latest, was deleted; run `rotator restore web --version {number(place)}`$"
    ):
        examine(place.store, "web", SECRETS)
    place.store.forget_metadata(Tree.KEYS, "web")
    place.store.put(Tree.JWKS, "web", {"keyset": "web"})
    with pytest.raises(FrozenError, match=r"run `rotator thaw web`$"):
        examine(place.store, "web", SECRETS)


class Signers(MemoryStore):
    """
    A store whose standby this token may not read.
    """

    def load(self, tree: Tree, keyset: str) -> Stored:
        """Deny the standby."""
        if tree is Tree.STANDBY:
            raise StoreDeniedError("denied")
        return super().load(tree, keyset)


def test_who_may_not_read_the_standby_sees_the_keyset_all_the_same() -> None:
    """Unchecked."""
    place: Place = settled(SECRETS)
    store = Signers(place.clock)
    store.restore(place.store.snapshot())
    assert examine(store, "web", SECRETS).keyset == place.keyset
