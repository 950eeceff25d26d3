"""
One look at one keyset: load, converge, decide, effect, save, and again until there is nothing to do.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Protocol, assert_never

from rotator.documents.jwk import parse_jwks
from rotator.documents.public import decode_public
from rotator.errors import (
    FrozenError,
    KeyMaterialError,
    LastSeenWriteError,
    PublicationError,
    StandbyLostError,
    StoreConflictError,
    StoreError,
    StoreUnavailableError,
)
from rotator.lifecycle.decisions import Activate, Confirm, Decision, Extend, Generate, Retire, Unconfirm, Wait, decide
from rotator.lifecycle.holds import overdue
from rotator.lifecycle.rollback import Contradiction, Lagging, absent_contradiction, assess
from rotator.model.document import ClockReading, Stored, Tree
from rotator.model.event import Event, EventType
from rotator.model.policy import Policy
from rotator.model.publication import LastSeen, Publication, PublicDocument
from rotator.model.reasons import Reason
from rotator.ports.clocks import Clocks
from rotator.ports.last_seen import LastSeenStore
from rotator.ports.log import Log
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.effects import Effects, publication_of
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.tracker import Watch

ATTEMPTS = 3
MAX_STEPS = 16
MIN_LAG = 60.0


class JwksCache(Protocol):
    """
    Where this process shows what it knows of keysets before (or without) a publication.
    """

    def put(self, publication: Publication) -> None:
        """
        Show a remembered publication.
        """
        ...

    def mark_absent(self, name: str) -> None:
        """
        Note that a keyset has nothing to show for now.
        """
        ...


class Reconciler:
    """
    Looks at keysets. Two looks at the same keyset at once are not allowed; looks at different ones may run in threads.
    """

    def __init__(
        self,
        effects: Effects,
        memory: LastSeenStore | None,
        showcase: JwksCache,
        alarms: Alarms,
        log: Log,
        clocks: Clocks,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._effects = effects
        self._memory = memory
        self._showcase = showcase
        self._alarms = alarms
        self._log = log
        self._clocks = clocks
        self._pause = pause
        self.stopping = False

    def look(self, watch: Watch, announced: Mapping[str, str] | None, *, clock_stepped: bool = False) -> Wait:
        """
        Bring one keyset to where it should be now, and return what it waits for.

        *announced* holds the positions that Redis knows, None when it could not be asked. Raises StoreError and
        InvariantError; a lost compare-and-set is looked at again, three times.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._pass(watch, announced, clock_stepped=clock_stepped)
            except StoreConflictError as error:
                self._log.info("lost_race", keyset=watch.name, attempt=attempt + 1, detail=str(error))
                watch.converged = None
                self._pause(random.uniform(0.01, 0.2) * (attempt + 1))  # noqa: S311 - jitter, not a secret
        return Wait(None)

    def recall(self, watch: Watch, *, ask: bool) -> bool:
        """
        Show what was last verified of a keyset that cannot be looked at; False where there is nothing to show.

        Where nothing is remembered, *ask* reads the store's public document.
        """
        name, policy = watch.name, watch.policy
        remembered = self._remembered(name)
        if remembered is not None:
            publication = Publication(
                remembered.document, remembered.timing, remembered.well_known, remembered.symmetric
            )
        elif ask and (document := self._public(name)) is not None:
            publication = Publication(document, policy.timing, policy.well_known, policy.algorithm.symmetric)
        else:
            return False
        self._showcase.put(publication)
        return True

    def _remembered(self, name: str) -> LastSeen | None:
        try:
            return self._memory.get(name) if self._memory else None
        except FrozenError:
            return None  # its file is damaged, which the look has said already

    def _public(self, name: str) -> PublicDocument | None:
        try:
            stored = self._effects.store.load(Tree.JWKS, name)
            document = decode_public(stored.fields, name) if stored.fields is not None else None
            if document is not None:
                parse_jwks(document.jwks)
        except (StoreError, KeyMaterialError):
            return None
        return document

    # -- one pass ------------------------------------------------------------------------------------------------------

    def _pass(self, watch: Watch, announced: Mapping[str, str] | None, *, clock_stepped: bool) -> Wait:
        view, moment = self._load(watch)
        trusted = self._trust(watch, moment, clock_stepped=clock_stepped)
        policy = self._policy(watch, view)
        if view is None:
            self._showcase.mark_absent(watch.name)
            if isinstance(
                decision := decide(None, policy, watch.evidence(clock_trusted=trusted), moment.earliest), Wait
            ):
                return decision
            view = self._effects.bootstrap(watch.name, policy, moment)
        elif watch.converged != (view.keyset.epoch, view.keyset.sequence) or self._stale(watch):
            watch.missing_from = self._effects.missing_from(view, policy)
            first = decide(view.keyset, policy, watch.evidence(clock_trusted=trusted), moment.earliest)
            if isinstance(first, Unconfirm):
                view = self._unconfirm(watch, view, policy)
            self._converge(watch, view, policy)
        self._announce(watch, view, announced)
        for _ in range(MAX_STEPS):
            watch.view = view
            evidence = watch.evidence(clock_trusted=trusted, committed_at=view.committed_at)
            decision = decide(view.keyset, policy, evidence, view.moment.earliest)
            if isinstance(decision, Wait) or self.stopping:
                break
            view = self._apply(watch, view, policy, decision)
        self._purge(watch, view, policy)
        self._settled(watch, view)
        wait = decision if isinstance(decision, Wait) else Wait(view.moment.earliest)
        self._judge(watch, view, policy, wait)
        return wait

    def _load(self, watch: Watch) -> tuple[Snapshot | None, ClockReading]:
        name, store = watch.name, self._effects.store
        remembered = self._memory.get(name) if self._memory else None
        stored = store.load(Tree.KEYS, name)
        if stored.fields is None:
            return self._absent(name, remembered, stored)
        view = Snapshot.of(stored, name)
        verdict = assess(remembered, view.keyset)
        if isinstance(verdict, Contradiction):
            raise FrozenError(verdict.text)
        if isinstance(verdict, Lagging):
            self._lagging(watch, view)
        watch.lagging_since = None
        self._alarms.clear(name, Reason.LAGGING)
        return view, stored.moment

    def _absent(self, name: str, remembered: LastSeen | None, stored: Stored) -> tuple[Snapshot | None, ClockReading]:
        public = self._effects.store.load(Tree.JWKS, name)
        text = absent_contradiction(remembered, stored.version, public.version)
        if text is not None:
            raise FrozenError(f"{name}: {text}")
        again = self._effects.store.load(Tree.KEYS, name)
        if again.version != stored.version:
            raise StoreConflictError(f"{name}: created while it was looked at")
        return None, again.moment

    def _lagging(self, watch: Watch, view: Snapshot) -> None:
        now = self._clocks.monotonic()
        if watch.lagging_since is None:
            watch.lagging_since = now
        patience = max(MIN_LAG, watch.policy.timing.propagation_time.total_seconds() / 4)
        text = f"{watch.name}: the store shows sequence {view.keyset.sequence}, lower than was seen before"
        if now - watch.lagging_since >= patience:
            raise FrozenError(
                f"{text}, for {patience:.0f} s; a backup was restored or the document rolled back. Put the latest version back, "
                "or to accept this one stop the daemon, move its file in state_dir/keysets away and start it again"
            )
        self._alarms.raise_(watch.name, Reason.LAGGING, text)
        raise StoreUnavailableError(text)

    def _trust(self, watch: Watch, moment: ClockReading, *, clock_stepped: bool) -> bool:
        skew = watch.policy.timing.clock_skew
        if clock_stepped or not moment.trusted(skew):
            detail = (
                "the wall clock stepped against the monotonic clock"
                if clock_stepped
                else f"the local clock is {moment.offset.total_seconds():.0f} s ahead of the store's, more than clock_skew; correct it"
            )
            self._alarms.raise_(watch.name, Reason.CLOCK, detail)
            return False
        self._alarms.clear(watch.name, Reason.CLOCK)
        return True

    def _policy(self, watch: Watch, view: Snapshot | None) -> Policy:
        policy = watch.policy
        if view is None or (policy.rotates and policy.algorithm.symmetric == view.keyset.symmetric):
            return policy
        detail = (
            f"algorithm {policy.algorithm} cannot follow {view.keyset.algorithm}: a symmetric and an asymmetric key need two "
            "keysets; name a new one"
            if policy.rotates
            else "served and retired on time, never rotated; put it back into the configuration"
        )
        self._alarms.raise_(watch.name, Reason.NOT_CONFIGURED, detail)
        return replace(policy, rotates=False, timing=view.keyset.timing, algorithm=view.keyset.algorithm)

    def _stale(self, watch: Watch) -> bool:
        period = watch.policy.timing.propagation_time.total_seconds()
        return self._clocks.monotonic() - watch.converged_at >= period or watch.standby_doubted_at is not None

    def _converge(self, watch: Watch, view: Snapshot, policy: Policy) -> None:
        self._remember(view, policy)
        published = self._effects.publish(view, policy)
        watch.doubt_standby(view.moment.earliest, matches=self._effects.standby_matches(view.keyset))
        if watch.standby_doubted_at:
            self._alarms.raise_(watch.name, Reason.STANDBY_LOST, "next is withdrawn and made anew unless it comes back")
        else:
            self._alarms.clear(watch.name, Reason.STANDBY_LOST)
        if published:
            watch.missing_from = ""
            watch.converged_at = self._clocks.monotonic()

    def _settled(self, watch: Watch, view: Snapshot) -> None:
        failed = any(a.keyset == watch.name and a.reason is Reason.PUBLISH_FAILED for a in self._alarms.active())
        watch.converged = None if failed else (view.keyset.epoch, view.keyset.sequence)
        watch.last_success = view.moment.earliest
        watch.seen_at = self._clocks.monotonic()

    def saved(self, view: Snapshot, policy: Policy) -> None:
        """
        Remember a save that the store has acknowledged; the effects call this.
        """
        self._remember(view, policy)

    def _remember(self, view: Snapshot, policy: Policy) -> None:
        if self._memory is None:
            return
        publication = publication_of(view.keyset, policy)
        seen = LastSeen(
            epoch=view.keyset.epoch,
            sequence=view.keyset.sequence,
            op_id=view.keyset.op_id,
            well_known=publication.well_known,
            symmetric=publication.symmetric,
            timing=publication.timing,
            document=publication.document,
        )
        try:
            self._memory.record(seen)
        except LastSeenWriteError as error:
            # This process still knows; the next one may not notice a store gone back in time, so a person must.
            self._alarms.raise_(view.keyset.name, Reason.STATE_DIR, str(error))
        else:
            self._alarms.clear(view.keyset.name, Reason.STATE_DIR)

    # -- effects and what follows from their failure -------------------------------------------------------------------

    def _apply(self, watch: Watch, view: Snapshot, policy: Policy, decision: Decision) -> Snapshot:
        effects, now = self._effects, view.moment.earliest
        match decision:
            case Generate(replaces=replaces):
                view = effects.generate(view, policy, replaces)
                watch.doubt_standby(now, matches=True)
                watch.confirmed()
                self._alarms.clear(watch.name, Reason.STANDBY_LOST)
            case Confirm():
                try:
                    view = effects.confirm(view, policy)
                except PublicationError as error:
                    self._unpublished(watch, view, policy, error)
                else:
                    self._published(watch)
            case Activate():
                try:
                    view = effects.activate(view, policy, decision)
                except PublicationError as error:
                    self._unpublished(watch, view, policy, error)
                except StandbyLostError:
                    watch.doubt_standby(now, matches=False)
                else:
                    watch.rotations += 1
                    self._published(watch)
            case Unconfirm():
                view = self._unconfirm(watch, view, policy)
            case Retire(kids=kids):
                view = effects.retire(view, policy, kids)
            case Extend():
                view = effects.extend(view, policy)
            case Wait():
                pass
            case _:
                assert_never(decision)
        return view

    def _unpublished(self, watch: Watch, view: Snapshot, policy: Policy, error: PublicationError) -> None:
        watch.confirmation_failed(view.moment.earliest)
        watch.missing_from = self._effects.missing_from(view, policy)
        self._alarms.raise_(watch.name, Reason.UNCONFIRMED, str(error))
        if not watch.missing_from or view.keyset.next is None or view.keyset.next.published_at is None:
            self._effects.publish(view, policy)

    def _published(self, watch: Watch) -> None:
        watch.confirmed()
        self._alarms.clear(watch.name, Reason.UNCONFIRMED, Reason.PUBLISHER_LACKED)

    def _unconfirm(self, watch: Watch, view: Snapshot, policy: Policy) -> Snapshot:
        lacked, watch.missing_from = watch.missing_from, ""
        self._alarms.raise_(
            watch.name, Reason.PUBLISHER_LACKED, f"{lacked} did not show next; its propagation starts anew"
        )
        return self._effects.unconfirm(view, policy, lacked)

    def _announce(self, watch: Watch, view: Snapshot, announced: Mapping[str, str] | None) -> None:
        if announced is None or not view.loaded:
            return
        epoch, _, sequence = announced.get(watch.name, "").rpartition(":")
        if epoch != view.keyset.epoch or not sequence.isdecimal() or int(sequence) < view.keyset.sequence:
            self._effects.announce(view, EventType.CHANGED)
        else:
            self._effects.unannounced.discard(watch.name)

    def _purge(self, watch: Watch, view: Snapshot, policy: Policy) -> None:
        now = self._clocks.monotonic()
        if self._effects.purge(view, policy):
            watch.purge_since = None
            self._alarms.clear(watch.name, Reason.PURGE_PENDING)
            return
        watch.purge_since = watch.purge_since or now
        if now - watch.purge_since >= view.keyset.timing.propagation_time.total_seconds():
            below = view.keyset.purge_below
            self._alarms.raise_(
                watch.name,
                Reason.PURGE_PENDING,
                f"versions below {below} could not be destroyed; see the log, and `rotator check` for missing capabilities",
            )

    def _judge(self, watch: Watch, view: Snapshot, policy: Policy, wait: Wait) -> None:
        """
        Tell when a rotation becomes held or overdue, and when it no longer is.
        """
        now = view.moment.earliest
        if wait.held and wait.held is not watch.held:
            self._log.warning("rotation_held", keyset=watch.name, reason=wait.held.value, until=wait.until)
            self._tell(EventType.HELD, view, wait.held.value)
        watch.held = wait.held
        late = overdue(view.keyset, policy, now)
        if late > timedelta(0):
            reason = (wait.held or Reason.OVERDUE).value
            self._alarms.raise_(watch.name, Reason.OVERDUE, f"by {late.total_seconds():.0f} s; held: {reason}")
            if not watch.overdue:
                self._tell(EventType.OVERDUE, view, reason)
        else:
            self._alarms.clear(watch.name, Reason.OVERDUE)
        watch.overdue = late > timedelta(0)

    def _tell(self, kind: EventType, view: Snapshot, reason: str) -> None:
        keyset = view.keyset
        kid = keyset.next.kid if keyset.next else ""
        self._effects.tell(
            Event(
                kind,
                self._effects.keygen.epoch(),
                keyset.name,
                keyset.epoch,
                keyset.sequence,
                view.moment.earliest,
                kid,
                reason,
            )
        )
