"""
What a host remembers against what the store shows, sealed or from before seals, and what a person accepted since.
"""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.adapters.files.last_seen import LastSeenFiles
from rotator.documents.jwk import parse_jwks
from rotator.documents.public import encode_public, public_document
from rotator.documents.signing import encode_keyset
from rotator.errors import EditedError, FrozenError, LaggingError
from rotator.model.document import Tree
from rotator.model.keys import HmacSecret, Kid
from rotator.model.reasons import AlarmReason
from rotator.reconcile.consent import give_up_keyset
from rotator.reconcile.seals import sealing_in
from tests.support.documents import renew_seal, sealed
from tests.support.process import Place, Process
from tests.support.world import policy
from tests.unit.documents.test_signing import golden

RULES = {"RS256": policy(period=60, p=8, life=20), "HS256": policy("HS256", period=60, p=8, life=20)}
algorithms = pytest.mark.parametrize("algorithm", RULES)


def lived(algorithm: str, state_dir: Path, elapsed: float = 20) -> Place:
    """Return a place where a keyset lives, with a memory."""
    place = Place(RULES[algorithm], state_dir)
    place.live(elapsed)
    return place


def stored(place: Place, tree: Tree = Tree.KEYS) -> dict[str, Any]:
    """Return a document as it is stored."""
    latest = place.store.history(tree, "web")[-1]
    assert latest is not None
    return latest


def thaw(place: Place) -> None:
    """Accept what is there, as the command does: a new seal key, then the document under it."""
    renewed = renew_seal(place.store, place.keygen, place.keyset)
    place.store.put(Tree.KEYS, "web", dict(renewed.seal(encode_keyset(place.keyset))))


# -- what was seen -----------------------------------------------------------------------------------------------------


@algorithms
def test_the_same_save_with_another_content_was_edited(algorithm: str, tmp_path: Path) -> None:
    """Under a good seal, even: who reads the standby can make one."""
    place = lived(algorithm, tmp_path)
    version = len(place.store.history(Tree.KEYS, "web"))
    place.store.put(Tree.KEYS, "web", sealed(place.store, "web", stored(place) | {"clock_skew": "0"}))
    for _ in range(2):
        with pytest.raises(EditedError, match=rf"another content|--version {version}`"):
            place.reconcile()
        place.restart()


def test_a_heartbeat_is_no_edit(tmp_path: Path) -> None:
    """The sequence stays; only the moment and the seal change."""
    place = lived("HS256", tmp_path)
    for moment in ("2026-01-01T00:00:20Z", "2026-01-01T00:00:22Z"):
        place.store.put(Tree.KEYS, "web", sealed(place.store, "web", stored(place) | {"seen_at": moment}))
        place.restart()
        place.reconcile()
    assert place.reasons() == set()


@algorithms
def test_a_key_that_left_before_its_time_freezes(algorithm: str, tmp_path: Path) -> None:
    """A later save that lacks it, under a good seal."""
    place = lived(algorithm, tmp_path, 70)
    keyset = place.keyset
    assert keyset.old
    early = replace(keyset, sequence=keyset.sequence + 1, op_id="op-x", old=())
    place.store.put(Tree.KEYS, "web", sealed(place.store, "web", encode_keyset(early)))
    with pytest.raises(EditedError, match=f"{keyset.old[0].kid} left before its time"):
        place.reconcile()


def test_a_kid_that_names_another_key_freezes(tmp_path: Path) -> None:
    """An imported kid says nothing of its key; this host remembers which one it was."""
    place = Place(RULES["RS256"], tmp_path)
    clock = place.store.load(Tree.KEYS, "web").clock
    first, second = (place.keygen.generate(place.policy.algorithm, 2048) for _ in range(2))
    effects = place.process.operator.effects
    effects.import_key("web", place.policy, clock, replace(first, kid=Kid("ours")))
    place.live(3)
    assert second.private
    current = replace(
        place.current, material=replace(place.current.material, private=second.private, public=second.material)
    )
    keyset = replace(place.keyset, sequence=place.keyset.sequence + 1, op_id="op-x", current=current)
    place.store.put(Tree.KEYS, "web", sealed(place.store, "web", encode_keyset(keyset)))
    with pytest.raises(EditedError, match="ours names another key than before"):
        place.reconcile()


@algorithms
def test_a_memory_that_another_hand_changed_freezes(algorithm: str, tmp_path: Path) -> None:
    """Its seal is checked as soon as the store answers."""
    place = lived(algorithm, tmp_path)
    file = tmp_path / "keysets" / "web.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"stay_until": {}}))
    place.restart()
    with pytest.raises(FrozenError, match=r"keysets/web.json in its state_dir\) was changed by another hand.*thaw web"):
        place.reconcile()


@algorithms
def test_a_memory_from_before_seals_proves_nothing_any_more(algorithm: str, tmp_path: Path) -> None:
    """Another host sealed the keyset since; or a stranger took the seal away. It is replaced by what the store shows."""
    place = lived(algorithm, tmp_path)
    file = tmp_path / "keysets" / "web.json"
    memory = json.loads(file.read_text())
    good = memory["seal"]
    del memory["seal"]
    memory["public"]["sequence"] = "999999"
    file.write_text(json.dumps(memory))
    place.restart()
    place.reconcile()

    assert place.reasons() == set()
    assert json.loads(file.read_text())["seal"] == good


@algorithms
def test_a_lost_seal_key_is_replaced_by_a_host_that_remembers_the_document(algorithm: str, tmp_path: Path) -> None:
    """After a restart too; its key pair is withdrawn as ever. A host without memory does not believe the document."""
    place = lived(algorithm, tmp_path)
    place.store.delete(Tree.STANDBY, "web")
    place.restart()
    with pytest.raises(EditedError, match="no seal key"):
        place.snapshot()
    place.reconcile()
    assert AlarmReason.STANDBY_LOST in place.reasons()
    place.clock.advance(2.0)
    place.live(70)

    assert place.reasons() == set()
    assert sealing_in(stored(place, Tree.STANDBY)).fits(stored(place))


@algorithms
def test_another_host_follows_a_seal_key_that_was_made_again(algorithm: str, tmp_path: Path) -> None:
    """Its memory bears a seal of the lost key, and is compared all the same: an older document is not believed."""
    place = lived(algorithm, tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    place.store.forget_metadata(Tree.STANDBY, "web")
    place.restart()
    place.live(10)
    another = Process(place, place.policy, tmp_path / "two")
    another.reconciler.reconcile(another.tracker, None)
    assert another.tracker.status is not None

    memory = LastSeenFiles(tmp_path / "one").get("web")
    assert memory is not None
    later = replace(memory, sequence=99, document=replace(memory.document, sequence=99), seal="f" * 64)
    LastSeenFiles(tmp_path / "three").record(later)
    third = Process(place, place.policy, tmp_path / "three")
    with pytest.raises(LaggingError):
        third.reconciler.reconcile(third.tracker, None)


# -- what a person accepted --------------------------------------------------------------------------------------------


@algorithms
@pytest.mark.parametrize("restarted", [False, True])
def test_an_edit_that_a_person_accepted_is_believed(algorithm: str, tmp_path: Path, *, restarted: bool) -> None:
    """By every host that had frozen it, at its next look; and from then on as any other."""
    place = lived(algorithm, tmp_path)
    edited = stored(place) | {"max_token_lifetime": "60"}
    place.store.put(Tree.KEYS, "web", edited)
    with pytest.raises(EditedError):
        place.reconcile()
    thaw(place)
    if restarted:
        place.restart()
    place.live(5)
    assert place.keyset.sequence >= int(edited["sequence"])

    place.store.put(Tree.KEYS, "web", stored(place) | {"max_token_lifetime": "61"})
    with pytest.raises(EditedError):
        place.reconcile()


@algorithms
def test_an_older_document_that_a_person_accepted_is_believed(algorithm: str, tmp_path: Path) -> None:
    """Though its sequence is lower than was seen before."""
    place = lived(algorithm, tmp_path, 5)
    older = stored(place)
    place.live(70)
    place.store.put(Tree.KEYS, "web", older)
    place.restart()
    thaw(place)
    place.reconcile()
    place.restart()
    place.live(3)
    assert AlarmReason.LAGGING not in place.reasons()


@algorithms
@pytest.mark.parametrize("strike", ["deleted", "metadata"])
def test_a_keyset_that_a_person_gave_up_is_created_anew(algorithm: str, tmp_path: Path, strike: str) -> None:
    """With no key of the former one, under an epoch of its own; deleted versions of the former one are destroyed."""
    place = lived(algorithm, tmp_path)
    place.store.put(Tree.JWKS, "web", dict(encode_public(public_document(place.keyset, place.snapshot().sealing))))
    former, kids = place.keyset, {made.kid for made in place.keygen.made}
    if strike == "deleted":
        place.store.delete(Tree.KEYS, "web")
    else:
        place.store.forget_metadata(Tree.KEYS, "web")
    with pytest.raises(FrozenError, match=r"run `rotator (restore|thaw) web"):
        place.reconcile()
    give_up_keyset(place.store, place.keygen, "web", place.policy)
    place.live(20)

    assert place.keyset.epoch != former.epoch
    assert not kids & {key.kid for key in place.keyset.keys()}
    assert place.reasons() == set()
    assert all(
        version is None or version["epoch"] == place.keyset.epoch for version in place.store.history(Tree.KEYS, "web")
    )
    place.restart()
    place.live(3)
    assert place.reasons() == set()


# -- from before there were seals --------------------------------------------------------------------------------------


def unseal(place: Place, tmp_path: Path) -> None:
    """Make of everything what a rotator without seals had written."""
    for tree in Tree:
        latest = place.store.load(tree, "web").fields
        if latest is not None:
            bare = {n: v for n, v in latest.items() if n not in {"seal", "seal_key", "vouched", "thawed_at", "seen_at"}}
            place.store.forget_metadata(tree, "web")
            if tree is not Tree.STANDBY or bare["private"]:
                place.store.put(tree, "web", bare)
    file = tmp_path / "keysets" / "web.json"
    later = ("version", "digest", "stay_until", "thawed_at", "seal")
    memory = {n: v for n, v in json.loads(file.read_text()).items() if n not in later}
    memory["public"].pop("seal", None)
    file.write_text(json.dumps(memory))


@algorithms
@pytest.mark.parametrize("crash", [False, True])
def test_a_keyset_from_before_seals_is_sealed_by_its_next_save(algorithm: str, tmp_path: Path, *, crash: bool) -> None:
    """A crash between the two saves freezes nothing; no key is lost, and every key goes on to its end."""
    place = lived(algorithm, tmp_path)
    keys = list(place.keyset.keys())
    unseal(place, tmp_path)
    place.restart()
    place.reconcile()
    assert list(place.keyset.keys()) == keys
    assert "seal" not in stored(place)
    if crash:
        place.fuses.blow(1, after=True)
    lived_on = 0
    while lived_on < 150:
        try:
            place.reconcile()
        except BaseException:  # noqa: BLE001 - the crash; anything else fails below
            place.restart()
        place.clock.advance(1.0)
        lived_on += 1

    sealing = sealing_in(stored(place, Tree.STANDBY))
    assert sealing.key
    assert sealing.fits(stored(place))
    assert place.reasons() == set()
    assert not place.fuses.armed
    assert not {key.kid for key in keys} & {key.kid for key in place.keyset.keys()}


@pytest.mark.parametrize("name", ["web", "internal"])
def test_a_document_of_the_first_rotator_goes_on_through_its_rotation(name: str, tmp_path: Path) -> None:
    """Without a seal, a seal key, a standby of secrets or a heartbeat; no key that is needed ever leaves the JWKS."""
    algorithm, later = ("RS256", "HS256")[name == "internal"], {"seal", "seal_key", "seen_at"}
    rules = policy(algorithm, period=30 * 86400, p=7200, life=7 * 86400, skew=60)
    place = Place(rules, tmp_path)
    place.clock.advance(31 * 86400.0)
    for tree in Tree:
        document = {field: value for field, value in golden(f"{tree}/{name}").items() if field not in later}
        if tree is not Tree.STANDBY or document["private"]:
            place.store.put(tree, "web", document | {"keyset": "web"})
    before = place.keyset
    (old,) = before.old
    assert before.current
    assert before.next
    while place.clock.now() < before.current.activated_at + timedelta(days=32):
        place.reconcile()
        kids = {key.kid for key in place.keyset.keys()}
        assert before.current.kid in kids
        assert old.kid in kids or place.clock.now() >= old.retire_at
        seen = place.publisher.visible("web")
        assert seen
        assert name == "internal" or kids == set(parse_jwks(seen.document.jwks))
        place.clock.advance(1800.0)

    assert place.current.kid == before.next.kid
    assert place.reasons() == set()
    sealing = sealing_in(stored(place, Tree.STANDBY))
    assert sealing.key
    assert sealing.fits(stored(place))


@algorithms
def test_an_edit_from_before_seals_is_found_by_this_hosts_memory(algorithm: str, tmp_path: Path) -> None:
    """And the flat fields, pairs and kids are checked by any host."""
    place = lived(algorithm, tmp_path)
    unseal(place, tmp_path)
    place.restart()
    place.reconcile()
    for number, edit in enumerate(({"current": "x"}, {"clock_skew": "0"})):
        good = stored(place)
        place.store.put(Tree.KEYS, "web", good | edit)
        with pytest.raises(EditedError):
            place.reconcile()
        place.store.put(Tree.KEYS, "web", good)
        assert place.reconcile().held is None, number
    if algorithm == "HS256":
        assert isinstance(place.current.material, HmacSecret)
