"""
Loading a signing document, and noticing if another hand edited it: it is believed only if rotator wrote it.

Checked at every load, in this order: its shape, that one key is current, that the flat fields and the pairs fit, and
the seal. What this host saw before is compared afterwards (`observe.py`).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from rotator.documents.integrity import faults_of
from rotator.documents.seal import HEARTBEAT, Sealing, canonical, differences, digest_of
from rotator.documents.signing import decode_keyset, encode_keyset
from rotator.errors import DocumentError, EditedError, FrozenError, RefusedError, StoreError
from rotator.model.document import Fields, Stored, Tree
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.publication import LastSeen
from rotator.ports.store import DocumentStore
from rotator.reconcile.seals import Seals
from rotator.reconcile.snapshot import Snapshot, in_force
from rotator.reconcile.traces import later_trace

MAX_LOOK_BACK = 16
MAX_NAMED = 8


@dataclass(frozen=True, slots=True)
class _Judged:
    """
    A document that was judged: the digest of all its fields, and why it is not believed ("" if it is).
    """

    version: int
    created_at: datetime | None
    digest: bytes
    sealing: Sealing
    fault: str = ""

    def is_same(self, stored: Stored) -> bool:
        """
        Return whether *stored* is that very document: no store changes a version once it is committed.
        """
        return self.created_at is not None and (self.version, self.created_at) == (stored.version, stored.created_at)


class Loader:
    """
    The signing documents of a store, checked at every load. Safe to use from several threads.
    """

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._judged: dict[str, _Judged] = {}
        self._latest: dict[str, tuple[int, str]] = {}
        self.seals = Seals(store)

    def load(self, name: str, policy: Policy) -> Snapshot:
        """
        Return the keyset as it is stored now, under the policy in force; raises as `check` does.

        Raises RefusedError if there is none, FrozenError if its document was deleted or destroyed, or an older one was put
        back in its place.
        """
        stored = self._store.load(Tree.KEYS, name)
        if stored.fields is None and stored.version:
            raise FrozenError(f"{name}: its document was deleted or destroyed; see the daemon's alarm for the way out")
        if stored.fields is None:
            raise RefusedError(f"{name}: does not exist yet; start the daemon or run `rotator tick` to create it")
        snapshot = self.check(stored, name, policy)
        if trace := self.later_trace(snapshot):
            if self._store.load(Tree.KEYS, name).version != stored.version:
                return self.load(name, policy)
            raise FrozenError(rolled_back_text(snapshot, trace))
        return replace(snapshot, policy=in_force(policy, snapshot.keyset))

    def check(
        self, stored: Stored, name: str, policy: Policy, seen: LastSeen | None = None, known: Keyset | None = None
    ) -> Snapshot:
        """
        Return the keyset of a document just loaded.

        *seen* is what this host saw last, *known* the keyset that this process believed last. Raises DocumentError for a
        document that is not ours at all, or too new; EditedError if another hand changed ours.
        """
        fields, judged = stored.fields or {}, self._judged.get(name)
        if judged and not judged.fault and judged.is_same(stored) and judged.sealing is self.seals.get(name):
            unsealed = None if judged.sealing.key else fields
            return replace(Snapshot.of(stored, name, policy, judged.sealing), unsealed=unsealed)
        digest = hashlib.sha256(canonical(fields)).digest()
        try:
            snapshot = Snapshot.of(stored, name, policy)
            faults = tuple(faults_of(fields, snapshot.keyset))
        except DocumentError as error:
            if error.newer:
                raise
            if not (seen or known or self.seals.get(name).key):
                raise DocumentError(f"{error}; move keys/{name} away, or give rotator a prefix of its own") from error
            faults, snapshot = ("it is not rotator's, or damaged",), None
        sealing = self._fitting(fields, name, seen)
        if snapshot is None or faults or sealing is None:
            raise EditedError(self._fault(stored, name, faults, seen, known, digest))
        self._judged[name] = _Judged(stored.version, stored.created_at, digest, sealing)
        return replace(snapshot, sealing=sealing, unsealed=None if sealing.key else fields)

    def later_trace(self, snapshot: Snapshot) -> str:
        """
        Return where the store shows a later save than *snapshot*, "" if nowhere; looks once for each document.
        """
        looked = (snapshot.version, snapshot.keyset.op_id)
        if self._latest.get(snapshot.name) == looked:
            return ""
        trace = later_trace(self._store, snapshot)
        if not trace:
            self._latest[snapshot.name] = looked
        return trace

    def fault(self, stored: Stored, name: str) -> str:
        """
        Return why one version of a signing document is not to be believed by itself, "" if it is.
        """
        try:
            faults = tuple(faults_of(stored.fields or {}, decode_keyset(stored.fields or {}, name)))
        except DocumentError as error:
            return str(error)
        return "; ".join(faults) or ("" if self.seals.get(name).fits(stored.fields or {}) else "its seal does not fit")

    def digest(self, name: str) -> bytes:
        """
        Return what stays the same as long as the document that was believed last does; b"" if there was none.
        """
        judged = self._judged.get(name)
        return judged.digest if judged and not judged.fault else b""

    def _fitting(self, fields: Fields, name: str, seen: LastSeen | None) -> Sealing | None:
        """
        Return what seals the document, None if its seal does not fit.

        Without a key, too, the standby is read again: another process may have sealed the keyset since. A seal whose key
        is lost proves nothing; then the document must be the very one that this host saw last.
        """
        sealing = self.seals.get(name)
        if sealing.key and sealing.fits(fields):
            return sealing
        sealing = self.seals.read(name)
        if sealing.fits(fields):
            return sealing
        if sealing.key is None and seen and seen.digest == digest_of(fields):
            return replace(sealing, lost=True)
        return None

    # -- what the alarm says -------------------------------------------------------------------------------------------

    def _fault(
        self,
        stored: Stored,
        name: str,
        faults: tuple[str, ...],
        seen: LastSeen | None,
        known: Keyset | None,
        digest: bytes,
    ) -> str:
        """
        Return why the document is not believed; the store is searched for the last good version once per document.
        """
        judged, sealing = self._judged.get(name), self.seals.get(name)
        if judged and judged.fault and judged.digest == digest and judged.sealing is sealing:
            return judged.fault
        fields = stored.fields or {}
        good = next(self._good_versions(stored, name), None)
        before: Fields | None = good.fields if good else dict(encode_keyset(known)) if known else None
        changed = tuple(differences(_content(before), _content(fields))) if before is not None else ()
        names = ", ".join(changed[:MAX_NAMED]) + (
            f" and {len(changed) - MAX_NAMED} more" if changed[MAX_NAMED:] else ""
        )
        what = "; ".join((*([f"changed: {names}"] if changed else []), *faults))
        if sealing.key is None and not faults:
            what = f"its seal cannot be checked, since standby/{name} holds no seal key"
        version = good.version if good else seen.version if seen and seen.version < stored.version else 0
        since = stored.version
        if good:
            since = min((v for v in self._versions(name) if v > good.version), default=stored.version)
        text = edited_text(name, what or "its seal does not fit", since, version)
        self._judged[name] = _Judged(stored.version, stored.created_at, digest, sealing, text)
        return text

    def _good_versions(self, stored: Stored, name: str) -> Iterator[Stored]:
        """
        Yield the versions before *stored* that rotator wrote, the latest first.
        """
        for version in sorted((v for v in self._versions(name) if v < stored.version), reverse=True)[:MAX_LOOK_BACK]:
            try:
                found = self._store.load_version(Tree.KEYS, name, version)
            except StoreError:
                continue
            if found.fields is not None and not self.fault(found, name):
                yield found

    def _versions(self, name: str) -> tuple[int, ...]:
        try:
            return tuple(self._store.versions(Tree.KEYS, name))
        except StoreError:
            return ()


def rolled_back_text(snapshot: Snapshot, trace: str) -> str:
    """
    Return what is wrong with a document that a *trace* of a later save contradicts. The caller adds the way out.
    """
    return (
        f"{snapshot.name}: keys/{snapshot.name} has sequence {snapshot.keyset.sequence}, but {trace}: an older document was "
        "put back"
    )


def edited_text(name: str, what: str, since: int, good: int) -> str:
    """
    Return the text of the alarm `document edited`: what differs, and since when. The caller adds the way out.

    *good* is the number of the last good version, 0 if it is not known.
    """
    last = f"the last good version is {good}" if good else "the last good version is not known"
    return (
        f"{name}: another hand changed keys/{name} (version {since}): {what}; {last}. It is not believed, and the last "
        "good set is served"
    )


def _content(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in HEARTBEAT}
