"""
Bringing an earlier version back: which, what is saved, and what does not come back.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotator.commands.recovery import Done, Plan, RecoverOptions, Step
from rotator.commands.restore import plan_restore, restore
from rotator.documents.seal import Sealing
from rotator.documents.signing import decode_keyset, encode_keyset
from rotator.documents.standby import decode_standby
from rotator.errors import RefusedError, StoreConflictError
from rotator.model.document import Tree
from rotator.model.keyset import Keyset, Revocation
from rotator.model.policy import Policy
from tests.support.process import Place
from tests.support.world import policy, seconds

PAIRS, SECRETS = policy(p=8, life=20), policy("HS256", p=8, life=20)
BOTH = pytest.mark.parametrize("rules", [PAIRS, SECRETS], ids=["pairs", "secrets"])


def settled(rules: Policy = PAIRS, state_dir: Path | None = None) -> Place:
    """Return a place with a current key, and a next one whose save and confirmation are the two latest versions."""
    place = Place(rules, state_dir)
    place.live(125, every=5)
    assert len(place.store.versions(Tree.KEYS, "web")) >= 2
    return place


def latest(place: Place) -> dict[str, Any]:
    """Return the latest version of the signing document."""
    fields = place.store.history(Tree.KEYS, "web")[-1]
    assert fields is not None
    return fields


def number(place: Place) -> int:
    """Return the number of the latest version."""
    return len(place.store.history(Tree.KEYS, "web"))


def edit(place: Place, **members: Any) -> Mapping[str, Any]:
    """Change the document by hand, and return it as it was."""
    before = latest(place)
    place.store.put(Tree.KEYS, "web", {**before, **members})
    return before


def sealing(place: Place) -> Sealing:
    """Return what seals the keyset's documents."""
    fields = place.store.history(Tree.STANDBY, "web")[-1]
    assert fields is not None
    return decode_standby(fields, "web").sealing


def plan(place: Place, version: int | None = None, **options: Any) -> Plan:
    """Plan a restoration."""
    return plan_restore(place.process.operator, "web", version, RecoverOptions(**options))


def bring_back(place: Place, version: int | None = None, **options: Any) -> Done:
    """Restore a version."""
    return restore(place.process.operator, plan(place, version, **options), place.policy, RecoverOptions(**options))


def saved_by_hand(place: Place, keyset: Keyset) -> None:
    """Save a document as rotator would have."""
    place.store.put(Tree.KEYS, "web", dict(sealing(place).seal(encode_keyset(keyset))))


@BOTH
def test_the_newest_version_that_rotator_wrote_is_restored(rules: Policy) -> None:
    """Above the edited one's sequence, under a new seal; every other version is destroyed."""
    place = settled(rules)
    before, seal_key = place.keyset, sealing(place).key
    good = number(place)
    edit(place, current="by hand", sequence=str(before.sequence + 7))
    done = bring_back(place)

    after = place.keyset
    assert (done.step, done.version, done.sequence) == (Step.RESTORE, good, before.sequence + 8)
    assert (after.epoch, after.sequence, after.op_id) == (before.epoch, done.sequence, done.op_id)
    assert tuple(after.keys()) == tuple(before.keys())
    assert sealing(place).key != seal_key
    assert sealing(place).fits(latest(place))
    assert list(place.store.versions(Tree.KEYS, "web")) == [number(place)]
    assert place.notifier.positions["web"] == f"{after.epoch}:{after.sequence}"


@BOTH
def test_a_plan_changes_nothing_and_lists_what_survives(rules: Policy) -> None:
    """Each version with its sequence, its time and its current key; what is wrong with those that cannot be restored."""
    place = settled(rules)
    good, kid = number(place), place.current.kid
    edit(place, kid="other")
    history = place.store.history(Tree.KEYS, "web")
    planned = plan(place)

    assert (planned.step, planned.version) == (Step.RESTORE, good)
    assert "not to be restored" in planned.lines[0]
    assert f"version {good}, saved" in planned.lines[1]
    assert f"sequence {place.keyset.sequence}, current {kid}" in planned.lines[1]
    assert place.store.history(Tree.KEYS, "web") == history


@BOTH
def test_the_latest_version_deleted_is_only_undeleted(rules: Policy) -> None:
    """That is the document which every daemon and service knows; nothing is saved."""
    place = settled(rules)
    before = number(place), place.keyset
    place.store.delete(Tree.KEYS, "web")
    done = bring_back(place)

    assert (done.step, done.version) == (Step.UNDELETE, before[0])
    assert (number(place), place.snapshot().keyset) == before
    assert place.effects_of(place.reconcile) == []


def test_a_deleted_standby_is_undeleted_first() -> None:
    """No seal can be checked without it."""
    place = settled()
    edit(place, kid="other")
    place.store.delete(Tree.STANDBY, "web")
    kid = place.next_key.kid
    done = bring_back(place)

    assert done.step is Step.RESTORE
    assert place.next_key.kid == kid
    standby = decode_standby(place.store.history(Tree.STANDBY, "web")[-1] or {}, "web")
    assert standby.private is not None


@BOTH
def test_a_deleted_version_that_is_not_the_latest_is_saved_again(rules: Policy) -> None:
    """The latest one was destroyed."""
    place = settled(rules)
    latest_version, sequence = number(place), place.keyset.sequence
    place.store.destroy(Tree.KEYS, "web", [latest_version])
    done = bring_back(place)

    assert (done.step, done.version) == (Step.RESTORE, latest_version - 1)
    assert place.keyset.sequence > sequence


def test_what_the_feed_and_the_operator_tell_counts() -> None:
    """So that the sequence which services see never falls."""
    place = settled()
    epoch = place.keyset.epoch
    place.notifier.positions["web"] = f"{epoch}:500"
    assert bring_back(place, number(place)).sequence == 501
    place.notifier.positions["web"] = "another:9000"
    assert bring_back(place, number(place), above=600).sequence == 601
    place.notifier.positions["web"] = f"{epoch}:{'9' * 4000}"
    place.notifier.down = True
    assert bring_back(place, number(place)).sequence == 602


def test_a_position_forged_far_ahead_counts_as_none() -> None:
    """Strangers may write to Redis; a sequence near the bound would leave no room above it."""
    place = settled()
    place.notifier.positions["web"] = f"{place.keyset.epoch}:{10**14}"
    assert bring_back(place, number(place)).sequence < 100


@BOTH
def test_a_key_revoked_since_does_not_come_back(rules: Policy) -> None:
    """Any version that rotator wrote and that denies it says so, and it says so."""
    place = settled(rules)
    good, kid = number(place), place.next_key.kid
    denied = Revocation(kid, place.clock.now(), "stolen", place.clock.now() + seconds(900))
    saved_by_hand(place, replace(place.keyset, revoked=(denied,), next=None))
    done = bring_back(place, good)

    assert place.keyset.next is None
    assert f"revoked or retired since, so not brought back: {kid}" in done.lines
    assert [(r.kid, r.reason) for r in place.keyset.revoked] == [(kid, "stolen")]


@BOTH
def test_a_version_whose_current_key_was_revoked_is_not_restored(rules: Policy) -> None:
    """The refusal names what can be done."""
    place = settled(rules)
    good = number(place)
    denied = Revocation(place.current.kid, place.clock.now(), "stolen", place.clock.now() + seconds(900))
    saved_by_hand(place, replace(place.keyset, revoked=(denied,)))
    with pytest.raises(
        RefusedError, match=rf"version {good} cannot be restored: its current key .* was revoked; run `"
    ):
        plan(place, good)
    with pytest.raises(RefusedError, match=r"no version of it can be restored .*; run `rotator thaw web --anew`"):
        plan(place)


def test_an_old_key_whose_retention_is_over_does_not_come_back() -> None:
    """By the store's clock, if that is trusted."""
    place = settled(SECRETS)
    good, kid = number(place), place.keyset.old[0].kid
    edit(place, kid="other")
    place.clock.advance(40)
    place.store.offset = seconds(9)
    untrusted = place.store.snapshot()
    bring_back(place, good)
    assert kid in {key.kid for key in place.keyset.old}

    place.store.restore(untrusted)
    place.store.offset = seconds(0)
    bring_back(place, good)
    assert kid not in {key.kid for key in place.keyset.old}


def test_a_version_that_was_destroyed_names_the_next_best() -> None:
    """Or thaw, if none survives."""
    place = settled()
    good = number(place)
    place.store.destroy(Tree.KEYS, "web", [good])
    with pytest.raises(RefusedError, match=rf"it was destroyed.*; run `rotator restore web --version {good - 1}`$"):
        plan(place, good)
    place.store.destroy(Tree.KEYS, "web", range(good))
    with pytest.raises(RefusedError, match=r"for none survives; run `rotator thaw web`$"):
        plan(place)


def test_a_version_of_another_epoch_is_not_restored() -> None:
    """It is another keyset's life."""
    place = settled()
    edit(place, epoch="another")
    with pytest.raises(RefusedError, match="it has epoch another, and epoch-"):
        plan(place, number(place))


def test_the_same_op_id_changes_nothing_twice() -> None:
    """A retry, any time later."""
    place = settled()
    edit(place, kid="other")
    first = bring_back(place, op_id="once")
    again = bring_back(place, op_id="once")
    assert (again.step, again.sequence, again.op_id) == (Step.NOTHING, first.sequence, "once")


def test_a_lost_race_is_tried_again() -> None:
    """Another command saved first; it gives up in the end."""
    place = settled()
    edit(place, kid="other")
    place.fuses.blow(1, with_=StoreConflictError)
    assert bring_back(place).step is Step.RESTORE


@BOTH
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_crash_leaves_what_the_same_command_goes_on_from(rules: Policy, nth: int) -> None:
    """Between the seal, the save and the publication."""
    place = settled(rules)
    before = place.keyset
    edit(place, kid="other")
    place.fuses.blow(nth, with_=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        bring_back(place)
    place.restart()
    bring_back(place, None if nth < 4 else number(place))
    place.process.operator.loader.load("web", rules)
    assert tuple(place.keyset.keys()) == tuple(before.keys())


def test_without_a_seal_key_the_shape_is_all_that_can_be_checked() -> None:
    """The standby was destroyed."""
    place = settled(SECRETS)
    before = place.keyset
    good = number(place)
    place.store.put(Tree.KEYS, "web", {"current": "by hand"})
    place.store.forget_metadata(Tree.STANDBY, "web")
    assert bring_back(place).version == good
    assert decode_keyset(latest(place), "web").epoch == before.epoch
    assert sealing(place).fits(latest(place))
