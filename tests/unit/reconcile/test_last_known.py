"""
What is served of a keyset that cannot be reconciled.
"""

import functools
from dataclasses import replace
from typing import Any

import pytest

from rotator.adapters.jwks.cache import JwksCache
from rotator.documents.public import encode_public
from rotator.errors import FrozenError
from rotator.model.document import Tree
from rotator.model.publication import Jwks, LastSeen
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.last_known import LastKnown
from rotator.reconcile.publishing import Publishing
from rotator.reconcile.saving import SeenRecord
from rotator.reconcile.seals import Seals
from rotator.reconcile.snapshot import Snapshot
from tests.support.fakes import MemoryLastSeen
from tests.support.process import Outside, Place, RecordingLog
from tests.support.publications import publication
from tests.support.world import policy

PAIRS = policy(p=8, life=20, well_known=True)


class Damaged(MemoryLastSeen):
    """
    A state folder whose files are damaged.
    """

    def get(self, name: str) -> LastSeen | None:
        """Fail as its files do."""
        raise FrozenError(f"{name}: damaged")


class Outage:
    """
    A daemon that just started, its memory, and a store that may be asked or not.
    """

    def __init__(self, last_seen: MemoryLastSeen | None = None) -> None:
        self.outside, self.cache = Outside(), JwksCache(("web",))
        self.last_seen = last_seen or MemoryLastSeen()
        self.log = RecordingLog()
        self.publishing = Publishing([self.outside.publisher], None, Alarms(self.log), self.log)
        seals = Seals(self.outside.store)
        self.last_known = LastKnown(self.outside.store, seals, self.last_seen, self.cache, self.publishing)
        self.outside.store.put(Tree.STANDBY, "web", standby())

    def remember(self) -> None:
        """Remember the keyset as it was seen."""
        SeenRecord(self.last_seen, Place(PAIRS).process.alarms).record(seen())

    def store(self, **members: str) -> None:
        """Put its public document into the store, but for *members*."""
        document = {**encode_public(seen().publication.document), **members}
        self.outside.store.put(Tree.JWKS, "web", dict(seen().sealing.seal(document)))


@functools.cache
def place() -> Place:
    """Return where a keyset of key pairs in the combined set lives."""
    place = Place(PAIRS)
    place.live(20, every=5)
    return place


@functools.cache
def seen() -> Snapshot:
    """Return that keyset."""
    return place().snapshot()


def standby() -> dict[str, Any]:
    """Return its standby, which holds the seal key."""
    found = place().store.history(Tree.STANDBY, "web")[-1]
    assert found is not None
    return found


@pytest.mark.parametrize("ask", [False, True])
def test_what_this_host_saw_last_is_served_first(ask: bool) -> None:
    """The store need not answer, so its outage does not matter."""
    outage = Outage()
    outage.remember()
    outage.outside.store.away = True
    outage.last_known.serve("web", PAIRS, ask=ask)

    assert outage.cache.get("web") == seen().publication


def test_without_memory_the_public_document_is_served() -> None:
    """Under the durations of the configuration; only if the store may be asked."""
    outage = Outage()
    outage.store()
    outage.last_known.serve("web", PAIRS, ask=False)
    assert outage.cache.get("web") is None
    assert outage.cache.missing() == ("web",)

    outage.last_known.serve("web", PAIRS, ask=True)
    served = outage.cache.get("web")
    assert served is not None
    assert (served.document, served.timing) == (seen().publication.document, PAIRS.timing)
    assert outage.cache.missing() == ()


def test_a_damaged_memory_is_as_good_as_none() -> None:
    """The pass has reported it."""
    outage = Outage(Damaged())
    outage.store()
    outage.last_known.serve("web", PAIRS, ask=True)

    assert outage.cache.get("web") is not None


def test_a_command_remembers_nothing() -> None:
    """There is no state folder."""
    outage = Outage()
    outage.store()
    seals = Seals(outage.outside.store)
    LastKnown(outage.outside.store, seals, None, outage.cache, outage.publishing).serve("web", PAIRS, ask=True)

    assert outage.cache.get("web") is not None


@pytest.mark.parametrize("jwks", ["", "no JWKS", '{"keys":[]}'])
def test_a_document_that_may_not_leave_is_noted_as_absent(jwks: str) -> None:
    """Not a JWKS, or without keys though the policy has key pairs: the combined set does not wait for it."""
    outage = Outage()
    outage.store(jwks=jwks)
    outage.last_known.serve("web", PAIRS, ask=True)

    assert outage.cache.get("web") is None
    assert outage.cache.missing() == ()


@pytest.mark.parametrize("found", ["nothing", "deleted", "foreign", "away"])
def test_without_a_document_the_keyset_is_noted_as_absent(found: str) -> None:
    """Whatever the reason."""
    outage = Outage()
    if found == "deleted":
        outage.store()
        outage.outside.store.delete(Tree.JWKS, "web")
    outage.outside.store.away = found == "away"
    if found == "foreign":
        outage.outside.store.put(Tree.JWKS, "web", {"by": "hand"})
    outage.last_known.serve("web", PAIRS, ask=True)

    assert outage.cache.get("web") is None
    assert outage.cache.missing() == ()


def test_a_kid_that_another_keyset_uses_stops_nothing() -> None:
    """The combined set stays as it is; the keyset has its own."""
    outage = Outage()
    outage.remember()
    mine = seen().publication.document
    kid = mine.jwks.partition('"kid":"')[2].partition('"')[0]
    other = publication("other", 1)
    jwks = other.document.jwks.replace(other.document.jwks.partition('"kid":"')[2].partition('"')[0], kid)
    outage.cache.put(replace(other, document=replace(other.document, jwks=Jwks(jwks))))
    outage.last_known.serve("web", PAIRS, ask=False)

    assert outage.cache.get("web") == seen().publication


def test_a_memory_whose_seal_does_not_fit_is_withdrawn_as_soon_as_the_store_answers() -> None:
    """It was served while there was no way to tell; the store's document takes its place."""
    outage = Outage()
    stranger = replace(seen().publication.document, sequence=10**9, jwks=publication("web", 9).document.jwks)
    outage.remember()
    kept = outage.last_seen.get("web")
    assert kept
    outage.last_seen.record(replace(kept, sequence=10**9, document=stranger))
    outage.store()

    outage.last_known.serve("web", PAIRS, ask=False)
    served = outage.cache.get("web")
    assert served
    assert served.document == stranger
    outage.last_known.serve("web", PAIRS, ask=True)
    assert outage.cache.get("web") == seen().publication


@pytest.mark.parametrize("edited", ["document", "seal key"])
def test_a_public_document_whose_seal_does_not_fit_is_never_served(edited: str) -> None:
    """Nor one whose seal cannot be checked, for its key is gone."""
    outage = Outage()
    outage.store()
    if edited == "document":
        document = seen().sealing.seal(encode_public(seen().publication.document))
        outage.outside.store.put(Tree.JWKS, "web", {**document, "jwks": publication("web", 9).document.jwks})
    else:
        outage.outside.store.delete(Tree.STANDBY, "web")
    outage.last_known.serve("web", PAIRS, ask=True)

    assert outage.cache.get("web") is None
    assert outage.cache.missing() == ()


@pytest.mark.parametrize("failing", [False, True])
def test_a_keyset_that_was_removed_is_served_no_more(failing: bool) -> None:
    """On no publisher, and nothing of it is remembered; a publisher that fails is logged and mended later."""
    outage = Outage()
    outage.remember()
    outage.last_known.serve("web", PAIRS, ask=False)
    outage.outside.publisher.publish(seen().publication)
    outage.outside.publisher.failing = failing
    outage.last_known.forget("web")

    assert outage.cache.get("web") is None
    assert outage.last_seen.get("web") is None
    assert (outage.outside.publisher.visible("web") is None) is not failing
    assert ("withdrawal_failed" in outage.log.names()) is failing


@pytest.mark.parametrize(
    "members", [{"jwks": '{"keys":[]}'}, {"seal": ""}, {"sequence": "9999"}, {"sequence": "9" * 40}]
)
def test_a_public_document_of_another_hand_is_put_back(members: dict[str, str]) -> None:
    """While its keyset is frozen, too; a sequence that readers may have seen is noted."""
    outage = Outage()
    outage.remember()
    good = dict(seen().sealing.seal(encode_public(seen().publication.document)))
    outage.outside.store.put(Tree.JWKS, "web", good | members)

    assert outage.last_known.put_back("web") == (
        "version 1 of jwks/web was changed by another hand; it was overwritten"
    )
    assert outage.outside.store.history(Tree.JWKS, "web")[-1] == good
    assert outage.last_known.put_back("web") == ""
    outrun = outage.publishing.outrun_by(seen())
    ahead = {"9999": 9999, "9" * 40: None}.get(members.get("sequence", ""), seen().keyset.sequence)
    assert (outrun.sequence if outrun else None) == ahead


@pytest.mark.parametrize(
    "what", ["nothing remembered", "a forged memory", "a newer rotator", "deleted", "accepted since"]
)
def test_what_is_not_surely_ours_is_not_put_back(what: str) -> None:
    """And a document of a later rotator, or one that was deleted, stays as it is."""
    outage = Outage()
    if what != "nothing remembered":
        outage.remember()
    if what == "a forged memory":
        memory = outage.last_seen.get("web")
        assert memory is not None
        outage.last_seen.record(replace(memory, op_id="forged"))
    edited = {**encode_public(seen().publication.document), "schema": "2" if what == "a newer rotator" else "1"}
    outage.outside.store.put(Tree.JWKS, "web", edited | {"jwks": '{"keys":[]}'})
    if what == "deleted":
        outage.outside.store.delete(Tree.JWKS, "web")
    if what == "accepted since":
        outage.outside.store.put(Tree.STANDBY, "web", standby() | {"thawed_at": "2999-01-01T00:00:00Z"})
    before = outage.outside.store.history(Tree.JWKS, "web")

    assert outage.last_known.put_back("web") == ""
    assert outage.outside.store.history(Tree.JWKS, "web") == before
