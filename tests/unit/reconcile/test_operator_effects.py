"""
What only operators ask for: the order of its effects, and who signs after a revocation.
"""

from dataclasses import replace

import pytest

from rotator.errors import RefusedError, StoreUnavailableError
from rotator.lifecycle.decisions import Activate
from rotator.model.document import Tree
from rotator.model.event import EventType
from rotator.model.keys import Kid
from rotator.model.policy import Policy
from rotator.model.reasons import ActivationReason
from rotator.reconcile.effects import Outcome
from rotator.reconcile.operator_effects import OperatorEffects
from rotator.reconcile.standby import standby_matches
from tests.support.process import Place
from tests.support.publications import pair
from tests.support.world import policy, seconds

PAIRS, SECRETS = policy(p=8, life=20), policy("HS256", p=8, life=20)
SAVE, SHOW, STAND_BY = "save keys/web", "publish memory", "save standby/web"
ACTIVATED, CHANGED, REVOKED = (
    f"announce {kind.value}" for kind in (EventType.ACTIVATED, EventType.CHANGED, EventType.REVOKED)
)
PURGE, PURGE_STANDBY = "destroy keys/web", "destroy standby/web"


class Office:
    """
    A keyset with current and a propagated next, after one rotation, and its operator.
    """

    def __init__(self, rules: Policy) -> None:
        self.place = Place(rules)
        self.place.live(20, every=5)
        self.effects.activate(self.place.snapshot(), Activate(ActivationReason.COMMAND))
        self.place.live(10, every=5)
        self.done: list[str] = []

    @property
    def effects(self) -> OperatorEffects:
        """What the operator may do."""
        effects = self.place.process.operator.effects
        assert isinstance(effects, OperatorEffects)
        return effects

    @property
    def old(self) -> Kid:
        """The kid of the old key."""
        return self.place.keyset.old[0].kid

    def revoke(self, *kids: Kid) -> Outcome:
        """Revoke keys, and note the effects."""
        outcomes: list[Outcome] = []
        snapshot = self.place.snapshot()
        self.done = self.place.effects_of(lambda: outcomes.append(self.effects.revoke(snapshot, kids, "stolen")))
        return outcomes[0]

    def denied(self) -> list[Kid]:
        """The kids on the deny-list."""
        return [entry.kid for entry in self.place.keyset.revoked]


BOTH = pytest.mark.parametrize("rules", [PAIRS, SECRETS], ids=["pairs", "secrets"])


@BOTH
def test_a_revoked_current_is_followed_by_next_at_once(rules: Policy) -> None:
    """One save takes the one out and lets the other sign; its material is destroyed last."""
    office = Office(rules)
    current, next_key = office.place.current.kid, office.place.next_key.kid
    outcome = office.revoke(current)

    assert office.done[:4] == [SAVE, SHOW, REVOKED, PURGE]
    assert (office.place.current.kid, office.place.keyset.next) == (next_key, None)
    assert (office.denied(), outcome.purged) == ([current], True)
    assert office.place.store.versions(Tree.KEYS, "web") == (outcome.snapshot.version,)
    assert office.place.notifier.events[-1].kid == current


def test_a_revoked_next_of_a_pair_is_emptied_from_the_standby_first() -> None:
    """Else a crash would have it adopted again."""
    office = Office(PAIRS)
    next_key = office.place.next_key.kid
    office.revoke(next_key)

    assert office.done == [STAND_BY, SAVE, SHOW, REVOKED, PURGE, PURGE_STANDBY]
    assert office.place.keyset.next is None
    assert office.denied() == [next_key]
    office.place.live(3)
    assert office.place.next_key.kid != next_key


def test_a_crash_after_the_standby_was_emptied_leaves_a_next_that_cannot_sign() -> None:
    """The daemon withdraws it; a second revocation finds nothing to empty and goes on."""
    office = Office(PAIRS)
    next_key = office.place.next_key.kid
    office.place.fuses.blow(1, after=True, with_=StoreUnavailableError)
    with pytest.raises(StoreUnavailableError):
        office.revoke(next_key)
    assert not standby_matches(office.place.store, office.place.keyset)

    office.revoke(next_key)
    assert office.denied() == [next_key]


def test_a_revoked_secret_next_has_no_standby() -> None:
    """Its save is all there is."""
    office = Office(SECRETS)
    next_key = office.place.next_key.kid
    office.revoke(next_key)

    assert office.done == [SAVE, SHOW, REVOKED, PURGE]
    assert office.denied() == [next_key]


@BOTH
def test_a_revoked_old_key_leaves_those_that_sign_alone(rules: Policy) -> None:
    """Current and next stay."""
    office = Office(rules)
    current, next_key, old = office.place.current, office.place.next_key, office.old
    office.revoke(old)

    assert (office.place.current, office.place.next_key) == (current, next_key)
    assert office.place.keyset.old == ()
    assert office.denied() == [old]


def test_without_a_next_one_is_made_to_follow() -> None:
    """A pair in two saves: generated, with its private key standing by first, then activated."""
    office = Office(PAIRS)
    office.revoke(office.place.current.kid)
    made = len(office.place.keygen.made)
    second = office.place.current.kid
    office.revoke(second)

    assert office.done == [STAND_BY, SAVE, SHOW, CHANGED, PURGE_STANDBY, SAVE, SHOW, REVOKED, PURGE]
    assert len(office.place.keygen.made) == made + 1
    assert office.place.current.kid == office.place.keygen.made[-1].kid
    assert second in office.denied()


def test_a_secret_that_must_follow_is_made_in_the_same_save() -> None:
    """There is no time without a key that signs, and none of the compromised ones does."""
    office = Office(SECRETS)
    compromised = (office.place.current.kid, office.place.next_key.kid)
    office.revoke(*compromised)

    assert office.done == [SAVE, SHOW, REVOKED, REVOKED, PURGE]
    assert office.place.current.kid == office.place.keygen.made[-1].kid
    assert office.place.keyset.next is None
    assert office.denied() == list(compromised)


def test_a_next_whose_private_key_is_lost_is_replaced_before_it_follows() -> None:
    """It could not sign."""
    office = Office(PAIRS)
    lost = office.place.next_key.kid
    office.place.store.delete(Tree.STANDBY, "web")
    office.revoke(office.place.current.kid)

    assert office.place.current.kid not in {lost, *office.denied()}
    assert office.place.keyset.find(lost) is None
    assert office.place.current.kid == office.place.keygen.made[-1].kid


@BOTH
def test_a_keyset_that_never_signed_has_none_to_revoke(rules: Policy) -> None:
    """The command says what to wait for, and changes nothing."""
    office = Office(rules)
    snapshot = office.place.snapshot()
    never = replace(snapshot, keyset=replace(snapshot.keyset, current=None))

    with pytest.raises(RefusedError, match="no key was ever current"):
        office.effects.revoke(never, (office.place.next_key.kid,), "stolen")
    assert office.place.snapshot() == snapshot


def test_a_keyset_whose_policy_is_of_another_kind_gets_a_successor_of_its_own() -> None:
    """The configuration names another algorithm by now; what is stored is what signs."""
    for stored, configured in ((PAIRS, SECRETS), (SECRETS, PAIRS)):
        office = Office(stored)
        office.revoke(office.place.current.kid)
        office.place.policy = configured
        revoked = office.place.current.kid
        office.revoke(revoked)

        assert office.place.current.algorithm is stored.algorithm
        assert revoked in office.denied()


# -- import and request ------------------------------------------------------------------------------------------------


def test_an_imported_pair_signs_at_once_and_alone() -> None:
    """Its next is the daemon's to make."""
    place = Place(PAIRS)
    clock = place.store.load(Tree.KEYS, "web").clock
    effects = place.process.operator.effects

    done = place.effects_of(lambda: effects.import_key("web", PAIRS, clock, pair(1)))
    assert done == ["save standby/web", SAVE, SHOW, ACTIVATED]
    assert (place.current.kid, place.keyset.next) == (pair(1).kid, None)
    assert place.notifier.events[-1].reason == ActivationReason.IMPORTED.value


def test_an_imported_secret_comes_with_a_next() -> None:
    """Readers of the flat fields find both in the first document."""
    place = Place(SECRETS)
    clock = place.store.load(Tree.KEYS, "web").clock
    secret = place.keygen.generate(SECRETS.algorithm, 0)
    place.process.operator.effects.import_key("web", SECRETS, clock, secret)

    assert place.current.kid == secret.kid
    assert place.next_key.kid == place.keygen.made[-1].kid != secret.kid


def test_a_request_is_saved_and_left_to_the_daemon() -> None:
    """Its op_id is the operator's, or a new one; the activation will bear it."""
    office = Office(SECRETS)
    snapshot = office.place.snapshot()
    current = office.place.current.kid
    done = office.place.effects_of(lambda: office.effects.request(snapshot, "op-x", "drill"))

    assert done == [SAVE, SHOW, CHANGED]
    request = office.place.keyset.rotate_requested
    assert request is not None
    assert (request.op_id, request.reason, request.at) == ("op-x", "drill", snapshot.now)
    assert office.place.current.kid == current
    office.place.live(40)
    assert office.place.current.activated_by == "op-x"


def test_a_request_without_a_name_gets_one() -> None:
    """So that the operator can ask for it again."""
    office = Office(PAIRS)
    request = office.effects.request(office.place.snapshot(), None, "")

    assert request.op_id
    assert office.place.keyset.rotate_requested == request


def test_a_revocation_lasts_as_long_as_a_token_could_live() -> None:
    """20 s of life, 8 s of propagation, 1 s of skew."""
    office = Office(SECRETS)
    office.revoke(office.place.current.kid)

    (entry,) = office.place.keyset.revoked
    assert entry.until == office.place.clock.now() + seconds(29)
    assert entry.reason == "stolen"


def test_an_operator_gives_back_its_connections() -> None:
    """Those of the publishers, the feed and the store."""
    place = Place(PAIRS)
    place.process.operator.close()

    assert (place.publisher.closed, place.notifier.closed, place.store.closed) == (1, 1, 1)
