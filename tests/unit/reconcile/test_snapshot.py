"""
A keyset as one reply of the store showed it.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.documents.signing import encode_keyset
from rotator.errors import DocumentError, FrozenError, RefusedError
from rotator.model.document import ClockReading, Stored, Tree
from rotator.reconcile.snapshot import Snapshot, in_force, load
from tests.support.process import Outside, Place, snapshot_of
from tests.support.world import World, at, policy

SECRETS = policy("HS256", well_known=True)


def stored(**members: object) -> Stored:
    """Return a reply that shows a keyset."""
    world = World(SECRETS)
    world.run(20)
    reply = Stored(7, encode_keyset(world.keyset), at(3), ClockReading(at(20), at(21), read_at=0.0))
    return replace(reply, **members)  # type: ignore[arg-type]


def test_a_snapshot_is_what_one_reply_showed() -> None:
    """Decisions go by the store's moment, rounded down."""
    snapshot = Snapshot.of(stored(), "web", SECRETS)

    assert (snapshot.name, snapshot.version, snapshot.policy) == ("web", 7, SECRETS)
    assert (snapshot.now, snapshot.committed_at, snapshot.loaded) == (at(20), at(3), True)


def test_an_unknown_commit_is_taken_to_be_as_late_as_can_be() -> None:
    """A store that does not say when a version was committed."""
    assert Snapshot.of(stored(created_at=None), "web", SECRETS).committed_at == at(21)


def test_without_a_document_there_is_no_snapshot() -> None:
    """Nor of another program's."""
    with pytest.raises(DocumentError, match="no signing document"):
        Snapshot.of(stored(fields=None), "web", SECRETS)
    with pytest.raises(DocumentError):
        Snapshot.of(stored(fields={"by": "hand"}), "web", SECRETS)


def test_a_publication_is_rendered_once() -> None:
    """Publishers, read-back and the record of what was seen share one value."""
    place = Place(policy(p=8, well_known=True))
    place.live(20, every=5)
    snapshot = place.snapshot()

    assert snapshot.publication is snapshot.publication
    assert (snapshot.publication.document.jwks.count('"kid"'), snapshot.publication.well_known) == (2, True)


def test_a_publication_is_of_the_policy_and_the_stored_durations() -> None:
    """Verifiers cache by what is stored."""
    world = World(SECRETS)
    world.run(20)
    shown = snapshot_of(world.keyset, replace(SECRETS, timing=policy(p=99).timing)).publication

    assert (shown.well_known, shown.symmetric, shown.timing) == (True, True, world.keyset.timing)
    assert shown.document.sequence == world.keyset.sequence


def test_a_command_loads_the_keyset_or_says_why_not() -> None:
    """One that does not exist is the daemon's to create; one that was deleted is a person's to bring back."""
    outside = Outside()
    with pytest.raises(RefusedError, match="does not exist yet"):
        load(outside.store, "web", SECRETS)
    outside.store.put(Tree.KEYS, "web", dict(stored().fields or {}))
    assert load(outside.store, "web", SECRETS).version == 1

    outside.clock.advance(timedelta(seconds=5))
    outside.store.delete(Tree.KEYS, "web")
    with pytest.raises(FrozenError, match="deleted or destroyed"):
        load(outside.store, "web", SECRETS)


def test_a_policy_that_does_not_fit_the_keys_only_serves_them() -> None:
    """Of another kind, or of a keyset that is gone from the configuration: durations and algorithm are the stored ones."""
    world = World(SECRETS)
    world.run(20)
    pairs, idle = policy("RS256", p=30), replace(policy("HS256", p=30), rotates=False)

    assert in_force(policy("HS512", p=30), world.keyset) == policy("HS512", p=30)
    assert in_force(pairs, world.keyset) == replace(policy("HS256"), rotates=False)
    assert in_force(idle, world.keyset) == replace(policy("HS256"), rotates=False)


def test_a_command_sees_the_policy_in_force() -> None:
    """What it makes is of the kind that is stored."""
    outside = Outside()
    outside.store.put(Tree.KEYS, "web", dict(stored().fields or {}))

    assert load(outside.store, "web", policy("RS256")).policy.algorithm is SECRETS.algorithm
