"""
Taking compromised keys out: which, and what the answer says of what stays exposed.
"""

import pytest

from rotator.commands.revoke import Exposure, revoke
from rotator.commands.rotate_now import ATTEMPTS
from rotator.errors import ArgumentError, RefusedError, StoreConflictError, StoreUnavailableError
from rotator.model.document import Tree
from rotator.model.keys import Kid
from rotator.model.policy import Policy
from rotator.model.times import format_time
from tests.support.process import Overtaken, Place
from tests.support.world import policy, seconds

PAIRS, SECRETS = policy(p=8, life=20), policy("HS256", p=8, life=20)
BOTH = pytest.mark.parametrize("rules", [PAIRS, SECRETS], ids=["pairs", "secrets"])


def settled(rules: Policy = PAIRS, elapsed: float = 105) -> Place:
    """Return a place with an old key, a current one, and (from second 108 on) a propagated next."""
    place = Place(rules)
    place.live(elapsed, every=5)
    return place


def take_out(place: Place, kid: Kid, *, document_leaked: bool = False) -> Exposure:
    """Revoke *kid*."""
    return revoke(place.process.operator, "web", place.policy, kid, "stolen", document_leaked=document_leaked)


def denied(place: Place) -> list[Kid]:
    """The kids on the deny-list."""
    return [entry.kid for entry in place.keyset.revoked]


def cached(place: Place, kid: Kid) -> str:
    """The line on verifiers that cache *kid*: 8 s of propagation, and 29 s on the deny-list."""
    now = place.clock.now()
    return (
        f"verifiers that cache keys may accept tokens of {kid} until {format_time(now + seconds(8))}; "
        f"it stays on the deny-list until {format_time(now + seconds(29))}"
    )


# -- what stays exposed ------------------------------------------------------------------------------------------------


@BOTH
def test_an_old_key_is_exposed_while_verifiers_cache_it(rules: Policy) -> None:
    """Nothing else changes: one line, and current is who it was."""
    place = settled(rules)
    current, old = place.current.kid, place.keyset.old[0].kid
    exposure = take_out(place, old)

    assert exposure == Exposure("web", (old,), current, place.keyset.op_id, (cached(place, old),), purged=True)
    assert denied(place) == [old]


def test_a_current_pair_with_a_propagated_next_costs_its_holders_a_log_in() -> None:
    """And nothing of the fresh tokens."""
    place = settled(elapsed=110)
    current, next_key = place.current.kid, place.next_key.kid
    exposure = take_out(place, current)

    assert exposure.lines == (
        cached(place, current),
        f"tokens signed with {current} are refused from now on; their holders must log in again",
    )
    assert (exposure.current, place.current.kid) == (next_key, next_key)


def test_a_next_that_was_not_safe_yet_is_said_to_be() -> None:
    """Fresh tokens may be refused until it would have been."""
    place = settled(elapsed=105)
    current, usable, now = place.current.kid, place.next_key.usable_at, place.clock.now()
    exposure = take_out(place, current)

    assert exposure.lines[2:] == (
        f"next was not yet safe: fresh tokens may be refused from {format_time(now)} to {format_time(usable)}",
    )


def test_a_successor_that_was_made_for_it_is_unsafe_for_a_propagation_time() -> None:
    """No verifier knows it yet."""
    place = settled(elapsed=110)
    take_out(place, place.current.kid)
    exposure = take_out(place, place.current.kid)

    now = place.clock.now()
    assert exposure.lines[2:] == (
        f"next was not yet safe: fresh tokens may be refused from {format_time(now)} to {format_time(now + seconds(8))}",
    )


def test_whoever_read_the_document_has_the_next_secret_too() -> None:
    """The way on is the command that takes both out."""
    place = settled(SECRETS, elapsed=110)
    current, next_key = place.current.kid, place.next_key.kid
    exposure = take_out(place, current)

    assert exposure.lines[-1] == (
        f"whoever read the signing document has the secret {next_key} too, which signs now; if the document leaked, "
        f"run `rotator revoke web {next_key} --document-leaked`"
    )


# -- the whole document ------------------------------------------------------------------------------------------------


def test_a_leaked_document_takes_every_secret_that_signs_or_will() -> None:
    """The named one first; a fresh one follows, and old ones stay unless named."""
    place = settled(SECRETS)
    current, next_key, old = place.current.kid, place.next_key.kid, place.keyset.old[0].kid
    exposure = take_out(place, current, document_leaked=True)

    assert exposure.kids == (current, next_key)
    assert sorted(denied(place)) == sorted([current, next_key])
    assert place.current.kid not in {current, next_key, old}
    assert place.keyset.find(old) is not None
    assert not any("--document-leaked" in line for line in exposure.lines)
    assert exposure.lines[:2] == (cached(place, current), cached(place, next_key))


def test_a_leaked_document_takes_a_named_old_secret_along() -> None:
    """Three kids, each once."""
    place = settled(SECRETS)
    current, next_key, old = place.current.kid, place.next_key.kid, place.keyset.old[0].kid

    assert take_out(place, old, document_leaked=True).kids == (old, current, next_key)


def test_a_document_of_pairs_holds_one_private_key_only() -> None:
    """So there is nothing else to take out; nothing is changed."""
    place = settled()
    before = place.keyset

    with pytest.raises(ArgumentError, match="revoke that kid"):
        take_out(place, place.current.kid, document_leaked=True)
    assert place.keyset == before


# -- refusals and repetitions ------------------------------------------------------------------------------------------


def test_an_unknown_kid_is_refused_with_those_that_are_known() -> None:
    """A kid is public."""
    place = settled()
    kids = ", ".join(key.kid for key in place.keyset.keys())

    with pytest.raises(ArgumentError) as caught:
        take_out(place, Kid("nobody"))
    assert str(caught.value) == f"web: no key has the kid 'nobody'; the keyset holds {kids}"


def test_a_kid_that_is_revoked_already_is_left_alone() -> None:
    """The same answer as often as it is asked."""
    place = settled()
    current = place.current.kid
    take_out(place, current)
    before = place.keyset

    assert take_out(place, current) == Exposure(
        "web",
        (current,),
        place.current.kid,
        before.op_id,
        (f"{current} is revoked already; nothing was changed",),
        purged=True,
    )
    assert place.keyset == before


def test_a_keyset_that_never_signed_has_nothing_to_revoke() -> None:
    """Its next is the daemon's to replace."""
    place = Place(PAIRS)
    place.publisher.stale = True
    place.reconcile()

    with pytest.raises(RefusedError, match="no key was ever current"):
        take_out(place, place.next_key.kid)


# -- purge -------------------------------------------------------------------------------------------------------------


def test_a_legal_hold_keeps_the_material_and_says_so() -> None:
    """As the last line."""
    place = settled(policy(p=8, life=20, retain=True), elapsed=20)
    versions = len(place.store.versions(Tree.KEYS, "web"))
    exposure = take_out(place, place.current.kid)

    assert exposure.lines[-1] == "legal hold: the material stays in old versions of the store"
    assert len(place.store.versions(Tree.KEYS, "web")) == versions + 1


def test_material_that_could_not_be_destroyed_is_said_to_be_there() -> None:
    """The revocation stands, and the daemon tries again."""
    place = settled(SECRETS)
    current = place.current.kid
    place.fuses.blow(4, with_=StoreUnavailableError)
    exposure = take_out(place, current)

    assert not exposure.purged
    assert denied(place) == [current]


@pytest.mark.parametrize(("races", "revoked"), [(ATTEMPTS - 1, True), (ATTEMPTS, False)])
def test_a_lost_race_is_tried_again_some_times(races: int, revoked: bool) -> None:
    """Then the operator is asked to try again, and nothing was changed."""
    place = Place(SECRETS)
    place.store = store = Overtaken(place.clock, place.fuses)
    place.restart()
    place.live(20, every=5)
    current = place.current.kid
    store.races = races
    if not revoked:
        with pytest.raises(StoreConflictError, match="changed 8 times"):
            take_out(place, current)
        assert denied(place) == []
        return
    assert take_out(place, current).kids == (current,)
    assert denied(place) == [current]


def test_a_wrong_clock_does_not_keep_a_stolen_key_in() -> None:
    """It is out at once; the answer says that its moments may be wrong."""
    place = settled()
    place.store.offset = seconds(3600)
    exposure = take_out(place, place.current.kid)
    assert exposure.lines[-1].startswith("these moments may be wrong: the local clock is 3600 s ahead of the store's")
