"""
Whatever single field another hand edits in whichever document: it is never believed, and no foreign key is published.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rotator.documents.header import encode_revocation
from rotator.documents.jwk import jwks_of, parse_jwks
from rotator.documents.signing import decode_keyset
from rotator.model.document import Tree
from rotator.model.keys import Kid
from rotator.model.publication import Publication
from rotator.model.reasons import AlarmReason
from rotator.reconcile.seals import sealing_in
from rotator.reconcile.work_queue import WorkQueue
from tests.support.edits import edits, stranger
from tests.support.process import Outside, Process, Workers
from tests.support.world import policy

RULES = {"RS256": policy(period=60, p=8, life=20), "HS256": policy("HS256", period=60, p=8, life=20)}
RUNNING, RESTARTED, FRESH = "running", "restarted", "without a memory"
FROZEN = {AlarmReason.EDITED, AlarmReason.FROZEN}


@dataclass
class Life:
    """
    A keyset with a current, a next and an old key, a deny-list and a request; the store as it was then.
    """

    outside: Outside
    process: Process
    state_dir: Path
    backup: object
    visible: Publication
    mark: tuple[datetime, float]
    seen: bytes

    def begin(self, how: str) -> None:
        """Go back to that moment: in a process that has seen the keyset, that has its memory only, or not even that."""
        self.outside.store.restore(self.backup)
        self.outside.clock.go_back(self.mark)
        self.outside.publisher.serve(self.visible)
        (self.state_dir / "keysets" / "web.json").write_bytes(self.seen)
        state_dir = None if how == FRESH else self.state_dir
        self.process = Process(self.outside, self.process.tracker.policy, state_dir, in_store=True)
        if how == RUNNING:
            assert not self.look()

    def document(self, tree: Tree) -> dict[str, Any]:
        """Return a document as it is stored now."""
        latest = self.outside.store.history(tree, "web")[-1]
        assert latest is not None
        return latest

    def look(self) -> set[AlarmReason]:
        """Make a pass, and return the alarms."""
        p = self.process
        queue = WorkQueue([p.tracker], p.reconciler, p.last_known, None, p.alarms, p.log, self.outside.clock)
        queue.run_once(Workers(hands_on=True))
        return {alarm.reason for alarm in p.alarms.active()}

    def alarm(self) -> str:
        """Return what the alarm of a frozen keyset says."""
        (detail,) = (alarm.detail for alarm in self.process.alarms.active() if alarm.reason in FROZEN)
        return detail

    def published(self) -> set[Kid]:
        """Return every kid that consumers can see now: at publishers, in the store, at the listener."""
        visible, cached = self.outside.publisher.visible("web"), self.process.cache.get("web")
        texts = [shown.document.jwks for shown in (visible, cached) if shown]
        return {kid for text in (*texts, self.document(Tree.JWKS)["jwks"]) for kid in parse_jwks(text)}


def lived(algorithm: str, state_dir: Path) -> Life:
    """Live until there is one of everything."""
    outside = Outside()
    process = Process(outside, RULES[algorithm], state_dir, in_store=True)
    for second in range(72):
        process.reconciler.reconcile(process.tracker, outside.announced())
        outside.clock.advance(1.0)
        if second == 40:
            snapshot = process.operator.loader.load("web", RULES[algorithm])
            assert snapshot.keyset.next
            process.operator.effects.revoke(snapshot, (snapshot.keyset.next.kid,), "lost laptop")
    snapshot = process.operator.loader.load("web", RULES[algorithm])
    assert snapshot.keyset.old
    process.operator.effects.request(snapshot, "op-x", "drill")
    process.reconciler.reconcile(process.tracker, outside.announced())
    assert process.alarms.active() == ()
    seen = (state_dir / "keysets" / "web.json").read_bytes()
    visible = outside.publisher.visible("web")
    assert visible
    return Life(outside, process, state_dir, outside.store.snapshot(), visible, outside.clock.mark(), seen)


@pytest.fixture(name="life", scope="module", params=RULES)
def _life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """One life for each kind of keys."""
    return lived(request.param, tmp_path_factory.mktemp("state"))


@pytest.mark.parametrize("how", [RUNNING, RESTARTED, FRESH])
def test_an_edited_signing_document_freezes_and_is_thawed_by_its_repair(life: Life, how: str) -> None:
    """Nothing is saved or published; the alarm names version and ways out; the good document put back, all goes on."""
    life.begin(how)
    good, version = life.document(Tree.KEYS), len(life.outside.store.history(Tree.KEYS, "web"))
    assert not life.look() & FROZEN
    kids, count = life.published(), 0
    for name, edited in edits(good):
        if edited == good:
            continue
        if how != RUNNING:
            life.begin(how)
        life.outside.store.put(Tree.KEYS, "web", edited)
        reasons, count = life.look(), count + 1

        assert reasons & FROZEN, name
        assert len(life.outside.store.history(Tree.KEYS, "web")) == version + 1, name
        assert life.published() == kids, name
        if AlarmReason.EDITED in reasons:
            text = life.alarm()
            assert f"(version {version + 1})" in text, (name, text)
            assert f"run `rotator restore web --version {version}" in text, (name, text)
            # What cannot be read cannot be accepted.
            assert ("`rotator thaw web" in text) is ("it is not rotator's" not in text), (name, text)
            assert not any(word in text for word in secrets_of(good)), name
        life.outside.store.restore(life.backup)
        assert not life.look(), name
    assert count > 120


def without_old(document: dict[str, Any]) -> dict[str, Any]:
    """Drop the old key from the list."""
    return {**document, "keys": [key for key in document["keys"] if key["state"] != "old"]}


def other_current(document: dict[str, Any]) -> dict[str, Any]:
    """Change the flat field alone."""
    return {**document, "current": document["old"]}


def other_material(document: dict[str, Any]) -> dict[str, Any]:
    """Put a stranger's key under the kid that signs, everywhere."""
    first, made = document["keys"][0], stranger()
    private, public = (made.private.reveal() if made.private else ""), made.material.pem  # type: ignore[union-attr]
    if "secret" in first:
        return {**document, "keys": [{**first, "secret": "f" * 64}, *document["keys"][1:]], "current": "f" * 64}
    keys = [{**first, "private": private, "public": public}, *document["keys"][1:]]
    return {**document, "keys": keys, "current": private, "current_public": public}


def only_next(document: dict[str, Any]) -> dict[str, Any]:
    """Leave nothing that signs."""
    return {**document, "keys": [key for key in document["keys"] if key["state"] == "next"]}


def other_old(document: dict[str, Any]) -> dict[str, Any]:
    """Put another key under the kid that only verifies."""
    *others, old = document["keys"]
    half = "secret" if "secret" in old else "public"
    foreign = "f" * 64 if half == "secret" else stranger().material.pem  # type: ignore[union-attr]
    return {**document, "keys": [*others, {**old, half: foreign}], "old": foreign}


@pytest.mark.parametrize("edit", [without_old, other_current, other_material, only_next, other_old])
@pytest.mark.parametrize("how", [RUNNING, RESTARTED, FRESH])
def test_an_edit_of_several_fields_is_not_believed_either(
    life: Life, edit: Callable[[dict[str, Any]], dict[str, Any]], how: str
) -> None:
    """With a sequence of its own, too; what is there before the edit goes on being served."""
    life.begin(RUNNING)
    kids, good = life.published(), life.document(Tree.KEYS)
    for later in (good, {**good, "sequence": "99", "op_id": "0190a0b4-7c00-7000-8000-000000000009"}):
        life.begin(how)
        life.outside.store.put(Tree.KEYS, "web", edit(later))

        assert life.look() == {AlarmReason.EDITED}
        assert life.published() == kids


def secrets_of(document: dict[str, Any]) -> set[str]:
    """Return the secrets of a signing document."""
    return {key.get("secret") or key.get("private") or key["public"] for key in document["keys"]}


@pytest.mark.parametrize("how", [RUNNING, RESTARTED, FRESH])
def test_an_edited_public_document_is_overwritten_with_an_alarm(life: Life, how: str) -> None:
    """At the next comparison, which is a propagation time away at most; the keyset goes on."""
    life.begin(how)
    good = life.document(Tree.JWKS)
    life.look()
    for name, edited in edits(good):
        if edited == good or name == "change schema":
            continue
        life.begin(how)
        life.outside.store.put(Tree.JWKS, "web", edited)
        life.outside.clock.advance(8.0)
        reasons = life.look()

        assert not reasons & FROZEN, name
        assert AlarmReason.PUBLIC_EDITED in reasons, name
        stored, keyset = life.document(Tree.JWKS), decode_keyset(life.document(Tree.KEYS), "web")
        assert (stored["jwks"], stored["revoked"]) == (jwks_of(keyset), [encode_revocation(r) for r in keyset.revoked])
        assert sealing_in(life.document(Tree.STANDBY)).fits(stored), name
        life.outside.clock.advance(8.0)
        assert AlarmReason.PUBLIC_EDITED not in life.look(), name


@pytest.mark.parametrize("how", [RUNNING, RESTARTED, FRESH])
def test_an_edited_standby_is_mended_or_freezes(life: Life, how: str) -> None:
    """Its key is withdrawn and made again if it does not match; the seal key is put back by a process that knows it."""
    life.begin(how)
    good, made = life.document(Tree.STANDBY), {key.kid for key in life.outside.keygen.made}
    life.look()
    for name, edited in edits(good):
        life.begin(how)
        life.outside.store.put(Tree.STANDBY, "web", edited)
        life.outside.clock.advance(8.0)
        for _ in range(5):
            reasons = life.look()
            life.outside.clock.advance(2.5)
        made |= {key.kid for key in life.outside.keygen.made}

        assert life.published() <= made, name
        if reasons & FROZEN:
            assert "seal_key" in name or "thawed_at" in name, (name, life.alarm())
        else:
            assert not reasons - {AlarmReason.OVERDUE, AlarmReason.PUBLIC_EDITED}, (name, reasons)
            assert how != RUNNING or life.document(Tree.STANDBY)["seal_key"] == good["seal_key"], name
