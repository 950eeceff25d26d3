"""
What is wrong with a keyset, and the one command that mends it.
"""

from dataclasses import replace
from typing import Any

import pytest

from rotator.commands.recovery import look
from rotator.documents.public import encode_public
from rotator.model.document import Tree
from rotator.reconcile.remains import Remains
from rotator.reconcile.ways_out import absence, way_out
from tests.support.process import Place
from tests.unit.commands.test_restore import BOTH, SECRETS, edit, number, settled


def remains(place: Place) -> Remains:
    """Return what is left of the keyset."""
    return look(place.process.operator, "web")


def way(place: Place, **more: Any) -> str:
    """Return the way out."""
    return way_out(remains(place), **{"configured": True} | more)


def test_a_good_version_is_restored_or_the_present_one_accepted() -> None:
    """An edited document: the version before it."""
    place = settled(SECRETS)
    good = number(place)
    edit(place, kid="other")
    assert way(place) == f"run `rotator restore web --version {good}`, or to accept what is there `rotator thaw web`"


def test_a_document_that_cannot_be_read_is_not_accepted() -> None:
    """A human's: thaw would give its keys up."""
    place = settled(SECRETS)
    good = number(place)
    place.store.put(Tree.KEYS, "web", {"current": "by hand"})
    assert way(place) == f"run `rotator restore web --version {good}`"


def test_without_a_good_version_the_present_one_is_accepted() -> None:
    """If it can be read."""
    place = settled(SECRETS)
    edit(place, kid="other")
    place.store.destroy(Tree.KEYS, "web", range(number(place)))
    assert way(place) == "to accept what is there run `rotator thaw web`"


def test_a_daemon_tells_what_it_saw() -> None:
    """If that is above everything that the command can see; and that the latest version is not what it saw."""
    place = settled(SECRETS)
    good, sequence = number(place), place.keyset.sequence
    assert way(place, above=sequence).startswith(f"run `rotator restore web --version {good}`")
    assert way(place, above=900) == (
        f"run `rotator restore web --version {good} --above 900`, or to accept what is there `rotator thaw web --above 900`"
    )
    assert f"--version {good - 1} --above" in way(place, above=900, distrust_latest=True)


def test_files_keep_no_versions() -> None:
    """So there is nothing to restore."""
    place = settled(SECRETS)
    found = replace(remains(place), keeps_versions=False)
    assert way_out(found, configured=True) == "to accept what is there run `rotator thaw web`"


@BOTH
@pytest.mark.parametrize("state", ["deleted", "destroyed", "metadata deleted", "given up", "removed", "new"])
def test_an_absent_document_is_explained(rules: Any, state: str) -> None:
    """By what is left; a keyset that never existed, was given up or removed is not missing."""
    place = settled(rules) if state != "new" else Place(rules)
    if state != "new":
        public = encode_public(place.snapshot().publication.document)
        place.store.put(Tree.JWKS, "web", dict(public))
    version = number(place) if state != "new" else 0
    match state:
        case "deleted":
            place.store.delete(Tree.KEYS, "web")
        case "destroyed":
            place.store.destroy(Tree.KEYS, "web", [version])
        case "metadata deleted":
            place.store.forget_metadata(Tree.KEYS, "web")
        case "given up":
            place.store.forget_metadata(Tree.KEYS, "web")
            place.process.operator.effects.give_up("web", rules)
        case "removed":
            clock = place.store.load(Tree.KEYS, "web").clock
            place.process.operator.effects.note_removal("web", clock, None, "", done=True)
            place.store.forget_metadata(Tree.KEYS, "web")
    expected = {
        "deleted": f"web: version {version} of keys/web, its latest, was deleted; run `rotator restore web --version {version}`",
        "destroyed": f"web: version {version} of keys/web, its latest, was destroyed; run `rotator restore web --version {version - 1}`",
        "metadata deleted": "web: keys/web is gone with all its versions, and jwks/web and standby/web are still there; nothing of its "
        "keys is left: to have it created again, with new ones, run `rotator thaw web`",
    }.get(state, "")
    assert absence(remains(place), configured=True) == expected
    if state == "metadata deleted":
        assert absence(remains(place), configured=False).endswith("to drop it for good run `rotator remove web`")


def test_the_highest_sequence_counts_every_save_since() -> None:
    """Each later version, destroyed or not, was one save more; an edit may claim anything that is a number."""
    place = settled(SECRETS)
    base = place.keyset.sequence
    place.store.put(Tree.KEYS, "web", {"current": "by hand"})
    assert remains(place).sequence == base + 1
    edited = {**(place.store.history(Tree.KEYS, "web")[-2] or {}), "sequence": str(base + 50)}
    place.store.put(Tree.KEYS, "web", edited)
    assert remains(place).sequence == base + 50
    place.store.put(Tree.KEYS, "web", {**edited, "sequence": "9" * 60})
    assert remains(place).sequence == base + 51
