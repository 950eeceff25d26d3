"""
Accepting what the store holds: what a person is shown, what is saved, and what is given up.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotator.commands.recovery import Done, Plan, RecoverOptions, Step
from rotator.commands.thaw import plan_thaw, thaw
from rotator.documents.signing import encode_keyset
from rotator.documents.standby import decode_standby
from rotator.errors import EditedError, RefusedError, StoreConflictError
from rotator.model.document import Tree
from rotator.model.keyset import Revocation
from rotator.model.policy import Policy
from tests.support.process import Place, Process
from tests.support.world import seconds
from tests.unit.commands.test_restore import BOTH, PAIRS, SECRETS, edit, latest, number, saved_by_hand, sealing, settled


def plan(place: Place, *, anew: bool = False, **options: Any) -> Plan:
    """Plan to accept."""
    return plan_thaw(place.process.operator, "web", place.policy, RecoverOptions(**options), anew=anew)


def accept(place: Place, *, anew: bool = False, **options: Any) -> Done:
    """Accept what is there."""
    planned = plan(place, anew=anew, **options)
    return thaw(place.process.operator, planned, place.policy, RecoverOptions(**options))


@BOTH
def test_an_edited_document_is_accepted_under_a_new_seal(rules: Policy) -> None:
    """What was edited is shown by name, never by value; the flat fields follow the list of keys."""
    place = settled(rules)
    good, before, seal_key = number(place), place.keyset, sealing(place).key
    edit(place, current="CANARY", sequence=str(before.sequence + 3), unknown="kept")
    planned = plan(place)
    done = accept(place)

    assert planned.step is Step.ACCEPT
    assert any(line.startswith("not to be believed by itself: ") for line in planned.lines)
    assert f"it differs from version {good} in sequence, current, unknown" in planned.lines
    assert f"`rotator restore web --version {good}` would bring that one back instead" in planned.lines
    assert "CANARY" not in "".join(planned.lines)
    assert (done.step, done.sequence, done.epoch) == (Step.ACCEPT, before.sequence + 4, before.epoch)
    assert latest(place)["unknown"] == "kept"
    assert latest(place)["current"] != "CANARY"
    assert sealing(place).key != seal_key
    assert sealing(place).fits(latest(place))
    assert list(place.store.versions(Tree.KEYS, "web")) == [number(place)]


def test_keys_that_are_gone_are_told() -> None:
    """Their tokens fail."""
    place = settled(SECRETS)
    old = place.keyset.old[0].kid
    edit(place, keys=[key for key in latest(place)["keys"] if key["kid"] != old])
    assert f"tokens signed with {old} fail from then on" in plan(place).lines


@BOTH
def test_another_epoch_is_accepted_as_it_is(rules: Policy) -> None:
    """Services that knew the former one must be restarted, which is said."""
    place = settled(rules)
    former = place.keyset.epoch
    place.store.put(Tree.KEYS, "web", dict(encode_keyset(replace(place.keyset, epoch="foreign", sequence=3))))
    done = accept(place)

    assert (place.keyset.epoch, place.keyset.sequence) == ("foreign", done.sequence)
    assert any(f"services that read epoch {former} before must be restarted" in line for line in done.lines)
    standby = decode_standby(place.store.history(Tree.STANDBY, "web")[-1] or {}, "web")
    assert (standby.epoch, standby.private) == ("foreign", None)


def test_that_a_later_document_was_seen_is_told() -> None:
    """Keys that were retired since come back; the latest document itself is accepted without that line."""
    place = settled()
    told = "a later one, up to sequence 700, was seen: KEYS THAT WERE RETIRED OR REPLACED SINCE COME BACK"
    assert told in plan(place, above=700).lines
    edit(place, kid="other")
    assert not any("a later one" in line for line in plan(place).lines)


def test_what_a_daemon_saw_counts() -> None:
    """The accepted document is above it."""
    place = settled()
    assert accept(place, above=700).sequence == 701


@BOTH
@pytest.mark.parametrize("state", ["metadata deleted", "deleted", "destroyed", "by hand"])
def test_where_nothing_is_there_the_keys_are_given_up(rules: Policy, state: str) -> None:
    """The standby is emptied, and no trace of the former keyset is left for the daemon to stumble over."""
    place = settled(rules)
    former, privates = place.keyset.epoch, place.store.history(Tree.STANDBY, "web")[-1]
    if state == "metadata deleted":
        place.store.forget_metadata(Tree.KEYS, "web")
    elif state == "by hand":
        place.store.put(Tree.KEYS, "web", {"current": "by hand"})
    else:
        place.store.destroy(Tree.KEYS, "web", range(number(place) + (state == "destroyed")))
        place.store.delete(Tree.KEYS, "web")
    planned = plan(place)
    assert planned.step is Step.CREATE
    assert any("EVERY LIVE TOKEN" in line for line in planned.lines)
    assert accept(place).step is Step.CREATE

    assert place.store.load(Tree.KEYS, "web").version == 0
    standby = decode_standby(place.store.history(Tree.STANDBY, "web")[-1] or {}, "web")
    assert standby.private is None
    assert standby.epoch not in {former, ""}
    assert privates is not None


def test_what_could_be_restored_is_told_before_it_is_given_up() -> None:
    """A deleted version can be undeleted."""
    place = settled()
    place.store.delete(Tree.KEYS, "web")
    assert any(f"`rotator restore web --version {number(place)}` would keep" in line for line in plan(place).lines)


def test_a_good_keyset_is_given_up_only_on_demand() -> None:
    """--anew says so."""
    place = settled()
    assert plan(place).step is Step.ACCEPT
    assert accept(place, anew=True).step is Step.CREATE
    assert place.store.load(Tree.KEYS, "web").version == 0


def test_a_revoked_current_key_is_not_accepted() -> None:
    """The refusal names the version that can be restored, or --anew."""
    place = settled(SECRETS)
    good, current = number(place), place.current
    denied = Revocation(current.kid, place.clock.now(), "stolen", place.clock.now() + seconds(900))
    saved_by_hand(place, replace(place.keyset, revoked=(denied,)))
    with pytest.raises(
        RefusedError, match=f"its current key {current.kid} was revoked, .*run `rotator thaw web --anew`"
    ):
        plan(place)
    assert good


def test_a_newer_schema_is_never_written_over() -> None:
    """Nor is it given up: a newer rotator wrote it."""
    place = settled()
    edit(place, schema="2")
    with pytest.raises(RefusedError, match=r"newer schema .*upgrade rotator"):
        plan(place)


def test_a_keyset_out_of_the_configuration_is_not_created_again() -> None:
    """No daemon would."""
    place = settled()
    place.store.forget_metadata(Tree.KEYS, "web")
    place.policy = replace(PAIRS, rotates=False)
    with pytest.raises(RefusedError, match=r"run `rotator remove web`$"):
        plan(place)


def test_what_changed_since_it_was_shown_is_not_accepted() -> None:
    """A person agreed to something else."""
    place = settled()
    edit(place, kid="other")
    planned = plan(place)
    edit(place, kid="yet another")
    with pytest.raises(StoreConflictError, match="changed since it was shown"):
        thaw(place.process.operator, planned, place.policy, RecoverOptions())


def test_the_same_op_id_changes_nothing_twice() -> None:
    """A retry, any time later."""
    place = settled()
    first = accept(place, op_id="once")
    assert accept(place, op_id="once").step is Step.NOTHING
    assert place.keyset.sequence == first.sequence


@BOTH
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_crash_leaves_what_the_same_command_goes_on_from(rules: Policy, nth: int) -> None:
    """Whether it accepts or gives up."""
    place = settled(rules)
    edit(place, kid="other")
    for anew in (False, True):
        place.fuses.blow(min(nth, 2) if anew else nth, with_=KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            accept(place, anew=anew)
        place.restart()
        accept(place, anew=anew)
        if not anew:
            place.process.operator.loader.load("web", rules)
    assert place.store.load(Tree.KEYS, "web").version == 0


@BOTH
def test_every_daemon_accepts_it_once(rules: Policy, tmp_path: Path) -> None:
    """Whenever it looks; and what is edited after that freezes each of them again."""
    place = settled(rules, tmp_path / "one")
    other = Process(place, rules, tmp_path / "two")
    other.reconciler.reconcile(other.tracker, None)
    edit(place, current="by hand")
    for process in (place.process, other):
        with pytest.raises(EditedError):
            process.reconciler.reconcile(process.tracker, None)
    accept(place)
    place.reconcile()
    place.live(20, every=5)
    other.reconciler.reconcile(other.tracker, None)

    edit(place, current="by hand again")
    late = Process(place, rules, tmp_path / "two")
    for process in (place.process, other, late):
        with pytest.raises(EditedError):
            process.reconciler.reconcile(process.tracker, None)
