"""
The standby document: where the private key of `next` waits, and when a key found there is used.
"""

from dataclasses import replace

import pytest

from rotator.documents.seal import Sealing
from rotator.documents.signing import encode_keyset
from rotator.documents.standby import Standby, decode_standby, encode_standby
from rotator.errors import FrozenError, StandbyLostError, StoreConflictError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Tree
from rotator.model.keys import GeneratedKey, Kid, NextKey
from rotator.model.keyset import Keyset, Revocation
from rotator.model.policy import Policy
from rotator.model.secret import SecretText
from rotator.reconcile.consent import give_up_keyset, was_given_up
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.standby import (
    StandbyCheck,
    check_standby,
    clear_standby,
    prepare_seal,
    prepare_standby,
    private_key,
    seal_from_now_on,
    standby_matches,
)
from tests.support.documents import renew_seal
from tests.support.process import Outside, snapshot_of
from tests.support.publications import pair
from tests.support.world import World, at, policy, seconds

PAIRS = policy(p=8)


def next_key(made: GeneratedKey) -> NextKey:
    """Return a generated key as next."""
    return NextKey(kid=made.kid, algorithm=Algorithm.RS256, material=made.material, created_at=at(0))


def keyset_of(made: GeneratedKey | None) -> Keyset:
    """Return a keyset with this next."""
    world = World(PAIRS)
    world.run(20)
    return replace(world.keyset, next=next_key(made) if made else None)


def before(made: GeneratedKey | None) -> Snapshot:
    """Return a keyset with this next, as it was loaded."""
    return snapshot_of(keyset_of(made), PAIRS)


def stand_by(outside: Outside, made: GeneratedKey, **members: object) -> None:
    """Save the private key of *made*, but for what *members* say."""
    standby = Standby("web", "epoch", made.kid, Algorithm.RS256, made.private, at(3))
    fields = encode_standby(replace(standby, **members))  # type: ignore[arg-type]
    outside.store.put(Tree.STANDBY, "web", dict(fields))


def kids(outside: Outside) -> list[str]:
    """Return the kid of every version."""
    return [version.get("kid", "?") for version in outside.store.history(Tree.STANDBY, "web") if version]


# -- prepare -----------------------------------------------------------------------------------------------------------


def test_a_new_key_is_saved_before_it_is_returned() -> None:
    """Under the epoch of the keyset, with the store's moment as its creation."""
    outside = Outside()
    prepared = prepare_standby(outside.store, outside.keygen, before(None), "web", PAIRS)

    (version,) = outside.store.history(Tree.STANDBY, "web")
    assert version is not None
    standby = decode_standby(version, "web")
    assert (prepared.epoch, prepared.adopted) == ("epoch", False)
    assert (standby.kid, standby.epoch, standby.private) == (
        prepared.key.kid,
        "epoch",
        outside.keygen.made[0].private,
    )
    assert (prepared.key.created_at, prepared.key.published_at) == (at(0), None)


def test_at_bootstrap_the_standby_brings_the_epoch() -> None:
    """A crash after it was saved is gone on from: the same key, the same epoch."""
    outside = Outside()
    first = prepare_standby(outside.store, outside.keygen, None, "web", PAIRS)
    second = prepare_standby(outside.store, outside.keygen, None, "web", PAIRS)

    assert (first.adopted, second.adopted) == (False, True)
    assert (first.epoch, first.key) == (second.epoch, second.key)
    assert len(outside.keygen.made) == 1


def test_a_key_that_a_crash_left_is_adopted() -> None:
    """It was made for this keyset and never became its next; its creation is what the standby says."""
    outside = Outside()
    stand_by(outside, pair(1))
    prepared = prepare_standby(outside.store, outside.keygen, before(None), "web", PAIRS)

    assert (prepared.key.kid, prepared.adopted) == (pair(1).kid, True)
    assert prepared.key.created_at == at(3)
    assert outside.keygen.made == []


UNFIT: dict[str, dict[str, object]] = {
    "of another life": {"epoch": "another"},
    "emptied": {"private": None},
    "damaged": {"private": pair(2).private, "kid": pair(1).kid},
    "under another name": {"kid": Kid("another")},
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_unfit_is_replaced(name: str) -> None:
    """Saved over the version that was read."""
    outside = Outside()
    stand_by(outside, pair(1), **UNFIT[name])
    prepared = prepare_standby(outside.store, outside.keygen, before(None), "web", PAIRS)

    assert not prepared.adopted
    assert kids(outside)[-1] == prepared.key.kid == outside.keygen.made[0].kid


@pytest.mark.parametrize("where", ["keyset", "deny-list"])
def test_a_kid_that_was_used_is_never_adopted(where: str) -> None:
    """As a key of the keyset, or one that was revoked."""
    outside = Outside()
    keyset = keyset_of(pair(1) if where == "keyset" else None)
    if where == "deny-list":
        keyset = replace(keyset, revoked=(Revocation(pair(1).kid, at(0), "stolen", at(99)),))
    stand_by(outside, pair(1))

    assert not prepare_standby(outside.store, outside.keygen, snapshot_of(keyset, PAIRS), "web", PAIRS).adopted


def test_a_standby_that_is_no_standby_is_replaced() -> None:
    """Written by hand, or deleted."""
    outside = Outside()
    outside.store.put(Tree.STANDBY, "web", {"by": "hand"})
    assert not prepare_standby(outside.store, outside.keygen, None, "web", PAIRS).adopted
    outside.store.delete(Tree.STANDBY, "web")
    assert not prepare_standby(outside.store, outside.keygen, None, "web", PAIRS).adopted


# -- clear -------------------------------------------------------------------------------------------------------------


def test_a_revoked_next_is_emptied() -> None:
    """It is not adopted again."""
    outside = Outside()
    stand_by(outside, pair(1))
    clear_standby(outside.store, before(pair(1)), next_key(pair(1)))

    latest = outside.store.history(Tree.STANDBY, "web")[-1]
    assert latest is not None
    assert (latest["kid"], latest["private"], latest["epoch"]) == ("", "", "epoch")


@pytest.mark.parametrize("found", ["nothing", "emptied", "foreign", "deleted"])
def test_whatever_is_no_key_of_another_is_emptied(found: str) -> None:
    """There is nothing to lose."""
    outside = Outside()
    if found == "emptied":
        stand_by(outside, pair(1), private=None)
    elif found == "foreign":
        outside.store.put(Tree.STANDBY, "web", {"by": "hand"})
    elif found == "deleted":
        stand_by(outside, pair(1))
        outside.store.delete(Tree.STANDBY, "web")
    clear_standby(outside.store, before(pair(1)), next_key(pair(1)))

    assert kids(outside)[-1] == ""


def test_another_key_that_stands_by_is_kept() -> None:
    """Another process made it meanwhile: the race is lost."""
    outside = Outside()
    stand_by(outside, pair(2))

    with pytest.raises(StoreConflictError, match="another key stands by"):
        clear_standby(outside.store, before(pair(1)), next_key(pair(1)))
    assert kids(outside) == [pair(2).kid]


# -- read --------------------------------------------------------------------------------------------------------------


def test_the_private_key_of_next_comes_with_the_stores_clock() -> None:
    """An activation is saved by that moment."""
    outside = Outside()
    stand_by(outside, pair(1))
    outside.clock.advance(7.0)

    private, clock = private_key(outside.store, keyset_of(pair(1)), next_key(pair(1)))
    assert private == pair(1).private
    assert clock.earliest == at(7)
    assert standby_matches(outside.store, keyset_of(pair(1)))


LOST: dict[str, dict[str, object]] = {
    "of another life": {"epoch": "another"},
    "of another kid": {"kid": pair(2).kid},
    "emptied": {"private": None},
    "of another key": {"private": pair(2).private},
}


@pytest.mark.parametrize("name", [*LOST, "deleted", "foreign", "missing", "unreadable"])
def test_a_standby_that_does_not_hold_it_is_lost(name: str) -> None:
    """The message names the kid; `standby_matches` says so without raising."""
    outside = Outside()
    if name in LOST:
        stand_by(outside, pair(1), **LOST[name])
    elif name == "deleted":
        stand_by(outside, pair(1))
        outside.store.delete(Tree.STANDBY, "web")
    elif name == "foreign":
        outside.store.put(Tree.STANDBY, "web", {"by": "hand"})
    elif name == "unreadable":
        stand_by(outside, pair(1))
        latest = outside.store.history(Tree.STANDBY, "web")[-1]
        assert latest is not None
        outside.store.put(Tree.STANDBY, "web", {**latest, "private": "-----BEGIN NOTHING-----"})

    keyset = keyset_of(pair(1))
    with pytest.raises(StandbyLostError, match=f"of {pair(1).kid}"):
        private_key(outside.store, keyset, next_key(pair(1)))
    assert not standby_matches(outside.store, keyset)


def test_where_next_needs_no_standby_it_matches() -> None:
    """A shared secret, or no next at all: the store is not asked."""
    outside = Outside()
    outside.store.away = True
    world = World(policy("HS256"))
    world.run(20)

    assert standby_matches(outside.store, world.keyset)
    assert standby_matches(outside.store, keyset_of(None))


# -- seals -------------------------------------------------------------------------------------------------------------


def standby_of(outside: Outside) -> Standby:
    """Return the standby as it is stored now."""
    latest = outside.store.history(Tree.STANDBY, "web")[-1]
    assert latest is not None
    return decode_standby(latest, "web")


def test_every_save_carries_the_seal_key_on() -> None:
    """A new key, an emptied standby, a key that is adopted."""
    outside = Outside()
    first = prepare_standby(outside.store, outside.keygen, None, "web", PAIRS)
    sealed = replace(before(None), sealing=first.sealing)
    assert first.sealing.key is not None

    assert prepare_standby(outside.store, outside.keygen, sealed, "web", PAIRS).sealing == first.sealing
    held = standby_of(outside)
    clear_standby(outside.store, sealed, replace(next_key(pair(1)), kid=held.kid))
    assert standby_of(outside).private is None
    assert standby_of(outside).sealing == first.sealing


def test_a_keyset_from_before_seals_gets_a_key_and_its_document_is_vouched_for() -> None:
    """The private key that stands by stays; the next caller finds the key made."""
    outside, unsealed = Outside(), before(pair(1))
    stand_by(outside, pair(1))
    sealing = seal_from_now_on(outside.store, outside.keygen, unsealed)

    assert sealing.key is not None
    assert sealing.fits(encode_keyset(unsealed.keyset))
    assert (standby_of(outside).private, standby_of(outside).sealing) == (pair(1).private, sealing)
    assert seal_from_now_on(outside.store, outside.keygen, unsealed) == sealing
    assert seal_from_now_on(outside.store, outside.keygen, replace(unsealed, sealing=sealing)) is sealing
    assert len(outside.store.history(Tree.STANDBY, "web")) == 2


def test_whoever_seals_first_wins() -> None:
    """A document that the standby does not vouch for is read again."""
    outside, unsealed = Outside(), before(None)
    seal_from_now_on(outside.store, outside.keygen, unsealed)
    other = replace(unsealed, keyset=replace(unsealed.keyset, op_id="other"))
    with pytest.raises(StoreConflictError, match="sealed the keyset by now"):
        seal_from_now_on(outside.store, outside.keygen, other)


def test_processes_that_create_secrets_at_once_agree_on_epoch_and_seal() -> None:
    """What a crash left is adopted, but for a private key, which secrets have none of."""
    outside, secrets = Outside(), policy("HS256")
    first = prepare_standby(outside.store, outside.keygen, None, "web", PAIRS)
    assert prepare_seal(outside.store, outside.keygen, "web", secrets) == (first.epoch, first.sealing)
    assert standby_of(outside).private is None
    assert prepare_seal(outside.store, outside.keygen, "web", secrets) == (first.epoch, first.sealing)
    assert len(outside.store.history(Tree.STANDBY, "web")) == 2


def test_an_import_of_a_pair_keeps_the_key_that_a_crash_left() -> None:
    """It becomes the keyset's next."""
    outside = Outside()
    first = prepare_standby(outside.store, outside.keygen, None, "web", PAIRS)
    prepare_seal(outside.store, outside.keygen, "web", PAIRS)
    assert standby_of(outside).kid == first.key.kid


@pytest.mark.parametrize("rules", [PAIRS, policy("HS256")])
def test_a_standby_of_a_former_keyset_is_not_adopted(rules: Policy) -> None:
    """A creation that a crash cut short goes on within the hour; what is older belonged to keys that were given up."""
    outside = Outside()
    first = prepare_standby(outside.store, outside.keygen, None, "web", PAIRS)
    outside.clock.advance(3601.0)
    if rules is PAIRS:
        second = prepare_standby(outside.store, outside.keygen, None, "web", rules)
        assert (second.adopted, second.key.kid == first.key.kid) == (False, False)
        epoch, sealing = second.epoch, second.sealing
    else:
        epoch, sealing = prepare_seal(outside.store, outside.keygen, "web", rules)
    assert epoch != first.epoch
    assert sealing != first.sealing


def test_a_person_who_accepts_what_is_there_renews_the_seal() -> None:
    """Later than ever before, and the private key of next stays."""
    outside = Outside()
    stand_by(outside, pair(1))
    keyset = keyset_of(pair(1))
    first = renew_seal(outside.store, outside.keygen, keyset)
    second = renew_seal(outside.store, outside.keygen, keyset)

    assert first.thawed_at
    assert second.thawed_at == first.thawed_at + seconds(1)
    assert first.key != second.key
    assert standby_of(outside).private == pair(1).private
    renew_seal(outside.store, outside.keygen, keyset_of(pair(2)))
    assert standby_of(outside).private is None


def test_a_keyset_that_a_person_gave_up_may_be_created_again() -> None:
    """No key of the former one stands by; once the new one left a trace, it may not."""
    outside = Outside()
    stand_by(outside, pair(1))
    assert not was_given_up(outside.store, "web", None, {"epoch": "epoch"})
    give_up_keyset(outside.store, outside.keygen, "web", PAIRS)

    assert standby_of(outside).private is None
    assert was_given_up(outside.store, "web", None, {"epoch": "epoch"})
    assert was_given_up(outside.store, "web", None, None)
    created = prepare_standby(outside.store, outside.keygen, None, "web", PAIRS)
    assert (created.adopted, created.sealing) == (False, standby_of(outside).sealing)
    assert created.key.kid != pair(1).kid
    assert not was_given_up(outside.store, "web", None, {"epoch": created.epoch})


def test_a_seal_renewed_meanwhile_is_a_lost_race() -> None:
    """The private key of a new key is not saved over it."""
    outside = Outside()
    first = prepare_standby(outside.store, outside.keygen, None, "web", PAIRS)
    renew_seal(outside.store, outside.keygen, keyset_of(None))
    with pytest.raises(StoreConflictError, match="renewed"):
        prepare_standby(outside.store, outside.keygen, replace(before(None), sealing=first.sealing), "web", PAIRS)


@pytest.mark.parametrize("members", [{"seal_key": "f" * 64}, {"seal_key": ""}, {"epoch": "another"}, {"by": "hand"}])
def test_what_another_hand_changed_about_seals_is_put_back(members: dict[str, str]) -> None:
    """From a process that knows the key; the private key of next is kept if it is the right one."""
    outside = Outside()
    stand_by(outside, pair(1))
    sealed = replace(before(pair(1)), sealing=seal_from_now_on(outside.store, outside.keygen, before(pair(1))))
    good = outside.store.history(Tree.STANDBY, "web")[-1]
    assert good
    assert check_standby(outside.store, outside.keygen, sealed) == StandbyCheck(
        sealed.sealing, matches=True, trouble=""
    )

    outside.store.put(Tree.STANDBY, "web", members if "by" in members else {**good, **members})
    check = check_standby(outside.store, outside.keygen, sealed)
    assert (check.sealing, bool(check.trouble)) == (sealed.sealing, True)
    assert standby_of(outside).sealing == sealed.sealing
    assert check.matches is ("by" not in members)
    if check.matches:
        assert outside.store.history(Tree.STANDBY, "web")[-1] == good


def test_a_key_of_another_life_is_not_brought_into_this_one() -> None:
    """Its epoch is not put right; the standby is emptied."""
    outside = Outside()
    stand_by(outside, pair(2), epoch="another")
    sealed = replace(before(pair(1)), sealing=Sealing(SecretText("0" * 64)))
    assert not check_standby(outside.store, outside.keygen, sealed).matches
    assert standby_of(outside).private is None


def test_a_thaw_that_was_cut_short_is_run_again() -> None:
    """Its seal key is there, and the document is not under it."""
    outside = Outside()
    sealed = replace(before(None), sealing=Sealing(SecretText("0" * 64)))
    renew_seal(outside.store, outside.keygen, sealed.keyset)
    with pytest.raises(FrozenError, match="`rotator thaw web` was cut short"):
        check_standby(outside.store, outside.keygen, sealed)
