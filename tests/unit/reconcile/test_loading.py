"""
Loading a signing document: what is believed, and what is said of the rest. All single edits: `tests/property`.
"""

from dataclasses import replace

import pytest

from rotator.documents.signing import decode_keyset
from rotator.errors import DocumentError, EditedError, FrozenError, RefusedError
from rotator.model.document import Tree
from rotator.reconcile.loading import Loader
from tests.support.process import Place, Process
from tests.support.world import policy

SECRETS, PAIRS = policy("HS256", p=8, life=20), policy(p=8, life=20)
EDITED = {"current": "e" * 64}


def lived(elapsed: float = 20) -> Place:
    """Return a place where a keyset of secrets lives."""
    place = Place(SECRETS)
    place.live(elapsed, every=5)
    return place


def stored(place: Place) -> dict[str, object]:
    """Return the signing document."""
    latest = place.store.history(Tree.KEYS, "web")[-1]
    assert latest is not None
    return latest


def refusal(place: Place) -> str:
    """Return what is said of a document that a new process does not believe."""
    with pytest.raises(EditedError) as caught:
        Loader(place.store).load("web", SECRETS)
    return str(caught.value)


def test_what_rotator_saved_is_believed_at_the_price_of_one_read() -> None:
    """After the first look of a process, which reads the standby too."""
    place = lived()
    loader = Loader(place.store)
    first = loader.load("web", SECRETS)
    reads = place.store.reads
    again = loader.load("web", SECRETS)

    assert place.store.reads == reads + 1
    assert first.keyset == again.keyset == place.keyset
    assert again.sealing.key is not None


def test_without_a_document_there_is_nothing_to_command() -> None:
    """Never created, or deleted."""
    place = Place(SECRETS)
    with pytest.raises(RefusedError, match="does not exist yet"):
        Loader(place.store).load("web", SECRETS)
    place.live(5)
    place.store.delete(Tree.KEYS, "web")
    with pytest.raises(FrozenError, match="deleted or destroyed"):
        Loader(place.store).load("web", SECRETS)


def test_an_edit_is_named_with_its_version_and_the_last_good_one() -> None:
    """Several edits: since the first of them."""
    place = lived()
    good = len(place.store.history(Tree.KEYS, "web"))
    place.store.put(Tree.KEYS, "web", stored(place) | EDITED)
    place.store.put(Tree.KEYS, "web", stored(place) | {"kid": "x"})

    text = refusal(place)
    assert text.startswith(f"web: another hand changed keys/web (version {good + 1}): changed: kid, current; ")
    assert f"the last good version is {good}." in text
    assert "e" * 64 not in text


def test_where_no_good_version_survives_the_text_says_so() -> None:
    """A file store keeps none: what this process believed last still names the fields."""
    place = lived()
    known = place.keyset
    place.store.put(Tree.KEYS, "web", stored(place) | EDITED)
    place.store.destroy(Tree.KEYS, "web", range(1, len(place.store.history(Tree.KEYS, "web"))))
    document = place.store.load(Tree.KEYS, "web")

    with pytest.raises(EditedError, match=r"changed: current; .*not known"):
        Loader(place.store).check(document, "web", SECRETS, known=known)


def test_a_document_without_its_seal_is_an_edited_one() -> None:
    """Once there is a seal key."""
    place = lived()
    bare = {name: value for name, value in stored(place).items() if name != "seal"}
    place.store.put(Tree.KEYS, "web", bare)
    assert "its seal does not fit" in refusal(place)


def test_a_seal_that_cannot_be_checked_proves_nothing() -> None:
    """Its key is gone from the standby, and this process never knew it."""
    place = lived()
    place.store.delete(Tree.STANDBY, "web")
    assert "its seal cannot be checked, since standby/web holds no seal key" in refusal(place)


def test_a_frozen_document_is_judged_once() -> None:
    """However often it is looked at; the standby is read again each time, for a key that fits now."""
    place = lived()
    place.store.put(Tree.KEYS, "web", stored(place) | EDITED)
    loader = Loader(place.store)
    with pytest.raises(EditedError):
        loader.load("web", SECRETS)
    reads = place.store.reads
    with pytest.raises(EditedError):
        loader.load("web", SECRETS)
    assert place.store.reads == reads + 2


def test_a_repaired_document_is_believed_at_once() -> None:
    """By the process that had refused it."""
    place = lived()
    good, loader = stored(place), Loader(place.store)
    place.store.put(Tree.KEYS, "web", good | EDITED)
    with pytest.raises(EditedError):
        loader.load("web", SECRETS)
    place.store.put(Tree.KEYS, "web", good)
    assert loader.load("web", SECRETS).keyset == decode_keyset(good, "web")


def test_what_was_never_ours_is_another_programs_document() -> None:
    """There is no seal key, and nobody saw the keyset before; a newer one is no edit."""
    place = Place(SECRETS)
    place.store.put(Tree.KEYS, "web", {"password": "theirs"})
    with pytest.raises(DocumentError):
        Loader(place.store).load("web", SECRETS)
    place = lived()
    place.store.put(Tree.KEYS, "web", stored(place) | {"schema": "2"})
    with pytest.raises(DocumentError, match="upgrade rotator"):
        Loader(place.store).load("web", SECRETS)


def test_what_was_ours_and_cannot_be_read_was_edited() -> None:
    """A part of it is missing."""
    place = lived()
    place.store.put(Tree.KEYS, "web", {"password": "theirs"})
    text = refusal(place)
    assert "it is not rotator's, or damaged" in text
    assert " more; " in text


def test_a_policy_that_does_not_fit_rotates_nothing() -> None:
    """As for any load."""
    assert not Loader(lived().store).load("web", replace(PAIRS)).policy.rotates


@pytest.mark.parametrize("trace", ["a version", "the public document"])
def test_an_older_document_that_was_put_back_is_commanded_no_more(trace: str) -> None:
    """Its seal fits, and something later under the same seal is there: a command on it would destroy the good one."""
    place = Place(PAIRS)
    place.process = Process(place, PAIRS, in_store=True)
    place.tracker = place.process.tracker
    place.live(5)
    old = stored(place)
    place.live(120, every=4)
    if trace == "a version":
        place.store.forget_metadata(Tree.JWKS, "web")
    else:
        place.store.forget_metadata(Tree.KEYS, "web")
    place.store.put(Tree.KEYS, "web", old)

    with pytest.raises(
        FrozenError, match=rf"web: keys/web has sequence {old['sequence']}, but .* has sequence \d+: an o"
    ):
        Loader(place.store).load("web", PAIRS)


def test_what_another_hand_put_beside_a_document_refuses_no_command() -> None:
    """A higher sequence without a seal that fits proves nothing."""
    place = lived()
    for tree in (Tree.JWKS, Tree.KEYS):
        good = stored(place)
        place.store.put(tree, "web", good | {"sequence": "99"})
    place.store.put(Tree.KEYS, "web", good)

    assert Loader(place.store).load("web", SECRETS).keyset == place.keyset
