"""
Whom `restore` and `thaw` believe: another hand's deny-list, a document put back, and what was revoked before a backup.
"""

from dataclasses import replace
from typing import Any

import pytest

from rotator.commands.recovery import RecoverOptions, Step
from rotator.documents.header import encode_revocation
from rotator.documents.signing import encode_keyset
from rotator.errors import RefusedError
from rotator.model.document import Tree
from rotator.model.keyset import Revocation
from rotator.model.policy import Policy
from rotator.reconcile.remains import remains_of
from rotator.reconcile.ways_out import way_out
from tests.support.process import Place
from tests.support.world import seconds
from tests.unit.commands.test_restore import (
    BOTH,
    SECRETS,
    bring_back,
    edit,
    latest,
    number,
    plan,
    saved_by_hand,
    settled,
)
from tests.unit.commands.test_thaw import accept
from tests.unit.commands.test_thaw import plan as plan_to_accept


def denial(place: Place, kid: str) -> Revocation:
    """Return an entry of the deny-list."""
    return Revocation(kid, place.clock.now(), "", place.clock.now() + seconds(9000))  # type: ignore[arg-type]


def replayed(place: Place, rules: Policy) -> dict[str, Any]:
    """Rotate until the first current key is retired, and return the document that it signed in, sealed."""
    place.policy = rules
    old, kid = latest(place), place.current.kid
    place.live(900, every=5)
    assert place.keyset.find(kid) is None
    return old


def way(place: Place, *denied: Revocation, **more: Any) -> str:
    """Return the way out that a daemon names which remembers what is *denied*."""
    found = remains_of(place.store, "web", place.process.operator.loader, denied=denied)
    return way_out(found, configured=True, denied=denied, **more)


@BOTH
@pytest.mark.parametrize("which", ["current", "old"])
def test_another_hand_denies_no_key(rules: Policy, which: str) -> None:
    """Neither in the signing document nor in the public one: what is restored keeps every key, and denies none."""
    place = settled(rules)
    before, good = place.keyset, number(place)
    kid = place.current.kid if which == "current" else before.old[0].kid
    entry = encode_revocation(denial(place, kid))
    place.store.put(
        Tree.JWKS,
        "web",
        {
            "schema": "1",
            "keyset": "web",
            "epoch": before.epoch,
            "sequence": "1",
            "jwks": '{"keys":[]}',
            "revoked": [entry],
            "seal": "0" * 64,
        },
    )
    edit(place, revoked=[entry])
    assert way(place).startswith(f"run `rotator restore web --version {good}`")
    bring_back(place)
    assert tuple(place.keyset.keys()) == tuple(before.keys())
    assert place.keyset.revoked == ()


def test_a_document_is_accepted_with_its_own_deny_list() -> None:
    """A person accepts what it denies, too, and is told whose tokens fail; never a key that it denies and signs with."""
    place = settled(SECRETS)
    old = place.keyset.old[0].kid
    before = edit(place, revoked=[encode_revocation(denial(place, old))])
    assert f"tokens signed with {old} fail from then on" in plan_to_accept(place).lines
    assert accept(place).step is Step.ACCEPT
    assert ([r.kid for r in place.keyset.revoked], place.keyset.find(old)) == ([old], None)

    place.store.put(Tree.KEYS, "web", {**before, "revoked": [encode_revocation(denial(place, str(before["kid"])))]})
    with pytest.raises(RefusedError, match="was revoked, and does not come back"):
        plan_to_accept(place)


@BOTH
@pytest.mark.parametrize("deleted", [False, True], ids=["readable", "good one deleted"])
def test_the_highest_sequence_wins_over_a_document_put_back(rules: Policy, *, deleted: bool) -> None:
    """Its version is the newest and its seal fits; the key that was retired does not sign again."""
    place = settled(rules)
    old = replayed(place, rules)
    before, good = place.keyset, number(place)
    if deleted:
        place.store.delete(Tree.KEYS, "web")
    place.store.put(Tree.KEYS, "web", old)
    assert way(place).startswith(f"run `rotator restore web --version {good}`")
    done = bring_back(place)
    assert done.version == good
    assert tuple(place.keyset.keys()) == tuple(before.keys())
    assert place.keyset.sequence > before.sequence


@BOTH
def test_a_document_put_back_loses_though_the_same_key_signs(rules: Policy) -> None:
    """It lacks what was saved since."""
    place = settled(rules)
    before, good = place.keyset, number(place)
    older = place.store.history(Tree.KEYS, "web")[-2]
    assert older is not None
    assert (older["kid"], int(older["sequence"])) == (place.current.kid, before.sequence - 1)
    place.store.put(Tree.KEYS, "web", dict(older))
    assert way(place).startswith(f"run `rotator restore web --version {good}`")
    assert bring_back(place).version == good


@BOTH
def test_what_is_deleted_comes_before_what_was_put_back(rules: Policy) -> None:
    """A higher sequence was seen, so the document that bore it is the one to look for."""
    place = settled(rules)
    before, good = place.keyset, number(place)
    older = place.store.history(Tree.KEYS, "web")[-2]
    place.store.destroy(Tree.KEYS, "web", range(good))
    place.store.delete(Tree.KEYS, "web")
    place.store.put(Tree.KEYS, "web", dict(older or {}))
    done = bring_back(place, above=before.sequence)
    assert done.version == good
    assert tuple(place.keyset.keys()) == tuple(before.keys())


def test_a_document_put_back_is_not_restored_by_its_number() -> None:
    """While a later one survives in which its key signs no more."""
    place = settled(SECRETS)
    place.store.put(Tree.KEYS, "web", replayed(place, SECRETS))
    good = number(place) - 1
    with pytest.raises(RefusedError, match=rf"was replaced since; run `rotator restore web --version {good}`"):
        plan(place, number(place))


@BOTH
def test_a_key_revoked_after_the_backup_stays_out(rules: Policy) -> None:
    """A daemon remembers it, and the command that it names says it."""
    place = settled(rules)
    kid = place.next_key.kid
    place.store.destroy(Tree.KEYS, "web", range(number(place)))
    named = way(place, denial(place, kid), above=900)
    assert named.startswith(f"run `rotator restore web --version {number(place)} --above 900 --revoked {kid}`")
    assert f"`rotator thaw web --above 900 --revoked {kid}`" in named
    bring_back(place, above=900, revoked=(kid,))
    assert place.keyset.find(kid) is None
    (revoked,) = place.keyset.revoked
    assert (revoked.kid, revoked.until) == (kid, place.clock.now() + seconds(8 + 20 + 1))


@BOTH
def test_a_backup_in_which_a_revoked_key_signs_is_refused(rules: Policy) -> None:
    """By every command but the one that gives its keys up, which is the one that is named."""
    place = settled(rules)
    kid = place.current.kid
    place.store.destroy(Tree.KEYS, "web", range(number(place)))
    assert way(place, denial(place, kid)).endswith(f"run `rotator thaw web --anew --revoked {kid}`")
    with pytest.raises(RefusedError, match="`rotator thaw web --anew`"):
        bring_back(place, revoked=(kid,))
    with pytest.raises(RefusedError, match="`rotator thaw web --anew`"):
        accept(place, revoked=(kid,))
    planned = plan_to_accept(place, anew=True, revoked=(kid,))
    assert planned.lines[0].startswith(f"version {number(place)} is there: its keys are given up")
    assert not any("would keep its keys" in line for line in planned.lines)
    assert accept(place, anew=True, revoked=(kid,)).step is Step.CREATE


@BOTH
def test_a_good_keyset_is_not_given_up_for_a_lagging_node(rules: Policy) -> None:
    """Its daemon saw an old document in which a revoked key signs; the command sees the latest one."""
    place = settled(rules)
    kid = place.keyset.old[0].kid
    with pytest.raises(RefusedError, match="no revoked key signs there"):
        accept(place, anew=True, revoked=(kid,))


@BOTH
@pytest.mark.parametrize("asked", [False, True])
def test_a_strangers_deleted_version_is_not_left_live(rules: Policy, *, asked: bool) -> None:
    """What it holds shows only once it is undeleted; the best version is restored in its place."""
    place = settled(rules)
    before, good = place.keyset, number(place)
    edit(place, current="by hand")
    place.store.delete(Tree.KEYS, "web")
    done = bring_back(place, number(place) if asked else None)
    assert (done.step, done.version) == (Step.RESTORE, good)
    assert done.lines[0].startswith(f"version {good + 1}, undeleted, is not restored: ")
    assert tuple(place.keyset.keys()) == tuple(before.keys())
    assert latest(place)["current"] != "by hand"


@BOTH
def test_a_deleted_version_comes_back_without_what_was_revoked(rules: Policy) -> None:
    """It is not only undeleted then."""
    place = settled(rules)
    kid = place.next_key.kid
    place.store.delete(Tree.KEYS, "web")
    assert bring_back(place, revoked=(kid,)).step is Step.RESTORE
    assert place.keyset.find(kid) is None


def test_what_was_undeleted_gives_way_to_a_better_one() -> None:
    """Unless a person asked for it by its number."""
    place = settled(SECRETS)
    good, older = number(place), place.store.history(Tree.KEYS, "web")[-2]
    place.store.put(Tree.KEYS, "web", dict(older or {}))
    place.store.delete(Tree.KEYS, "web")
    before = place.store.snapshot()
    done = bring_back(place)
    assert (done.version, done.lines[0]) == (
        good,
        f"version {good + 1}, undeleted, is not restored: there is a better one",
    )
    place.store.restore(before)
    assert bring_back(place, good + 1).version == good + 1


def test_what_is_told_of_a_revocation_adds_to_what_is_known() -> None:
    """The reason of an entry is kept."""
    place = settled(SECRETS)
    kid = place.keyset.old[0].kid
    known = replace(denial(place, kid), reason="stolen")
    saved_by_hand(place, replace(place.keyset, old=(), revoked=(known,)))
    accept(place, revoked=(kid,))
    assert place.keyset.revoked == (known,)
    assert "stolen" in str(encode_keyset(place.keyset))
    assert RecoverOptions().revoked == ()
