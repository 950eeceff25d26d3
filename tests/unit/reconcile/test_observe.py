"""
What a pass begins with: the keyset as the store shows it, and whether that may be believed.
"""

from dataclasses import replace

import pytest

from rotator.documents.signing import encode_keyset
from rotator.errors import DocumentError, FrozenError, LaggingError, StoreConflictError
from rotator.model.document import Stored, Tree
from rotator.model.policy import Policy
from rotator.model.reasons import AlarmReason
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.loading import Loader
from rotator.reconcile.observe import Observation, Observer
from rotator.reconcile.saving import SeenRecord
from rotator.reconcile.tracker import Tracker
from tests.support.fakes import MemoryLastSeen
from tests.support.memory_store import MemoryStore
from tests.support.process import Outside, RecordingLog, snapshot_of
from tests.support.world import World, policy, seconds

SECRETS = policy("HS256", p=8, life=20)


class Lookout:
    """
    An observer of one store, and what it remembers.
    """

    def __init__(self, rules: Policy = SECRETS, store: MemoryStore | None = None) -> None:
        outside = Outside()
        self.clock, self.store = outside.clock, store or outside.store
        self.alarms, self.last_seen = Alarms(RecordingLog()), MemoryLastSeen()
        self.observer = Observer(self.store, Loader(self.store), self.last_seen, self.alarms, self.clock)
        self.tracker = Tracker("web", rules)
        self.world = World(SECRETS)
        self.world.run(20)

    def saved(self) -> "Lookout":
        """Save the keyset of its world, and remember it."""
        self.store.put(Tree.KEYS, "web", dict(encode_keyset(self.world.keyset)))
        SeenRecord(self.last_seen, self.alarms).record(snapshot_of(self.world.keyset, SECRETS))
        return self

    def observe(self) -> Observation:
        """Begin a pass."""
        return self.observer.observe(self.tracker)

    def reasons(self) -> set[AlarmReason]:
        """Return the active alarms."""
        return {alarm.reason for alarm in self.alarms.active()}


def test_a_keyset_is_seen_as_it_is_stored() -> None:
    """With its version, when it was committed, and the policy of the configuration."""
    lookout = Lookout().saved()
    committed = lookout.clock.now()
    lookout.clock.advance(5.0)
    found = lookout.observe()

    assert found.snapshot is not None
    assert (found.snapshot.keyset, found.snapshot.version) == (lookout.world.keyset, 1)
    assert (found.snapshot.committed_at, found.snapshot.loaded) == (committed, True)
    assert found.policy == SECRETS
    assert found.snapshot.now == found.clock.earliest == committed + seconds(5)


def test_a_keyset_without_a_trace_does_not_exist() -> None:
    """The clock is that of the last reply: a creation is saved by it."""
    lookout = Lookout()

    found = lookout.observe()
    assert (found.snapshot, found.policy, found.clock.earliest) == (None, SECRETS, lookout.clock.now())


def test_a_host_that_remembers_nothing_believes_the_store() -> None:
    """A command, or a daemon before its first pass."""
    lookout = Lookout().saved()
    observer = Observer(lookout.store, Loader(lookout.store), None, lookout.alarms, lookout.clock)

    assert observer.observe(lookout.tracker).snapshot is not None


@pytest.mark.parametrize("trace", ["signing document", "public document", "memory"])
def test_a_keyset_that_left_a_trace_is_not_created_again(trace: str) -> None:
    """Deleted, lost but for its public document, or seen by this host before: only a person knows which is right."""
    lookout = Lookout()
    if trace == "signing document":
        lookout.store.put(Tree.KEYS, "web", {})
        lookout.store.delete(Tree.KEYS, "web")
    elif trace == "public document":
        lookout.store.put(Tree.JWKS, "web", {})
    else:
        lookout.saved()
        lookout.store.forget_metadata(Tree.KEYS, "web")

    with pytest.raises(FrozenError, match=r"^web: "):
        lookout.observe()


class Racing(MemoryStore):
    """
    A store in which another process creates the keyset while this one asks for its public document.
    """

    def load(self, tree: Tree, keyset: str) -> Stored:
        """Create the keyset as its public document is asked for."""
        if tree is Tree.JWKS and not self.history(Tree.KEYS, keyset):
            self.put(Tree.KEYS, keyset, {})
        return super().load(tree, keyset)


def test_a_keyset_that_was_created_meanwhile_is_a_lost_race() -> None:
    """It is read again, not created twice."""
    lookout = Lookout(store=Racing(Outside().clock))

    with pytest.raises(StoreConflictError, match="created while"):
        lookout.observe()


@pytest.mark.parametrize("members", [{"epoch": "another"}, {"op_id": "another"}])
def test_a_contradiction_freezes(members: dict[str, str]) -> None:
    """Another life of the keyset, or another save of the same sequence."""
    lookout = Lookout().saved()
    lookout.store.put(Tree.KEYS, "web", {**encode_keyset(lookout.world.keyset), **members})

    with pytest.raises(FrozenError, match=r"^web: "):
        lookout.observe()


def test_a_document_of_another_program_is_refused() -> None:
    """Written by hand, for instance."""
    lookout = Lookout()
    lookout.store.put(Tree.KEYS, "web", {"current": "by hand"})

    with pytest.raises(DocumentError):
        lookout.observe()


def lagging(rules: Policy = SECRETS) -> Lookout:
    """Return a lookout whose store went back by one save."""
    lookout = Lookout(rules).saved()
    older = replace(lookout.world.keyset, sequence=lookout.world.keyset.sequence - 1, op_id="older")
    lookout.store.put(Tree.KEYS, "web", dict(encode_keyset(older)))
    return lookout


@pytest.mark.parametrize(("rules", "limit"), [(SECRETS, 60.0), (policy("HS256", p=400), 100.0)])
def test_an_older_sequence_is_waited_out_then_frozen(rules: Policy, limit: float) -> None:
    """A lagging replica catches up within a minute or P/4; a restored backup does not."""
    lookout = lagging(rules)
    for elapsed in (0.0, limit - 0.1):
        lookout.clock.advance(elapsed)
        with pytest.raises(LaggingError, match="lower than was seen before"):
            lookout.observe()

    lookout.clock.advance(0.1)
    with pytest.raises(FrozenError, match=f"for {limit:.0f} s; a backup was restored"):
        lookout.observe()


def test_a_replica_that_caught_up_lags_no_more() -> None:
    """The alarm is cleared, and the next lag has its whole time again."""
    lookout = Lookout().saved()
    lookout.observe()
    older = replace(lookout.world.keyset, sequence=lookout.world.keyset.sequence - 1, op_id="older")
    lookout.store.put(Tree.KEYS, "web", dict(encode_keyset(older)))
    with pytest.raises(LaggingError):
        lookout.observe()
    backup = lookout.store.snapshot()
    lookout.store.put(Tree.KEYS, "web", dict(encode_keyset(lookout.world.keyset)))
    lookout.clock.advance(59.0)
    lookout.observe()
    assert lookout.reasons() == set()

    lookout.store.restore(backup)
    lookout.clock.advance(59.0)
    with pytest.raises(LaggingError):
        lookout.observe()


def test_a_keyset_of_another_kind_than_its_policy_is_not_rotated() -> None:
    """Secrets and key pairs do not follow each other: what is stored stays served, under its own durations."""
    lookout = Lookout(policy("RS256", p=30)).saved()
    found = lookout.observe()

    assert found.snapshot is not None
    assert found.policy == found.snapshot.policy
    assert (found.policy.rotates, found.policy.timing) == (False, SECRETS.timing)
    assert found.policy.algorithm is SECRETS.algorithm
    (alarm,) = lookout.alarms.active()
    assert alarm.reason is AlarmReason.NOT_CONFIGURED
    assert "RS256 cannot follow HS256" in alarm.detail


def test_a_keyset_out_of_the_configuration_is_served_and_alarmed() -> None:
    """Retired on time, never rotated."""
    lookout = Lookout(replace(SECRETS, rotates=False)).saved()
    found = lookout.observe()

    assert not found.policy.rotates
    (alarm,) = lookout.alarms.active()
    assert alarm.reason is AlarmReason.NOT_CONFIGURED
    assert "put it back into the configuration" in alarm.detail


def test_another_algorithm_of_the_same_kind_may_follow() -> None:
    """HS512 after HS256: the next key is of the new one."""
    rules = policy("HS512", p=8)
    found = Lookout(rules).saved().observe()

    assert found.policy == rules


def test_a_keyset_put_back_into_the_configuration_is_alarmed_no_longer() -> None:
    """The policy of the configuration is in force again."""
    lookout = Lookout(replace(SECRETS, rotates=False)).saved()
    lookout.observe()
    lookout.tracker.policy = SECRETS
    assert lookout.observe().policy == SECRETS

    assert lookout.alarms.active() == ()
