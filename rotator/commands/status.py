"""
What `rotator status` reports of a keyset, apart from how it is printed.

Named tuples, because dataclasses of this size would cost the command a noticeable part of its start-up.
"""

from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple, Self

from rotator.lifecycle.holds import GOOD, Hold, activation_hold, due_at, overdue
from rotator.lifecycle.timeline import Milestone, timeline
from rotator.model.algorithms import Algorithm
from rotator.model.keys import CurrentKey, Key, Kid, NextKey, State
from rotator.model.keyset import Keyset, Revocation
from rotator.model.policy import Policy

MAX_MILESTONES = 8


class KeyReport(NamedTuple):
    """
    One key without its material.

    `at` is from when it is usable (next; None until its publication is confirmed), since when it signs (current), or
    when it retires (old).
    """

    kid: Kid
    state: State
    algorithm: Algorithm
    created_at: datetime
    age: timedelta
    at: datetime | None

    @classmethod
    def of(cls, key: Key, now: datetime) -> Self:
        """
        Return the report of *key* at *now*.
        """
        if isinstance(key, NextKey):
            state, at = State.NEXT, key.usable_at
        elif isinstance(key, CurrentKey):
            state, at = State.CURRENT, key.activated_at
        else:
            state, at = State.OLD, key.retire_at
        return cls(key.kid, state, key.algorithm, key.created_at, now - key.created_at, at)


class KeysetReport(NamedTuple):
    """
    A keyset at one moment, without key material.

    `hold` is what forbids an activation now, None when it is safe; `rotates_at` when the next one is due, None when
    none is planned; `overdue` for how long it has been. `keys` holds current, next, then old, the last demoted first;
    `timeline` the next MAX_MILESTONES steps, if every publication is confirmed at once.
    """

    name: str
    algorithm: Algorithm
    epoch: str
    sequence: int
    now: datetime
    rotates_at: datetime | None
    hold: Hold | None
    overdue: timedelta
    requested: str
    keys: tuple[KeyReport, ...]
    revoked: tuple[Revocation, ...]
    timeline: tuple[Milestone, ...]

    @property
    def held(self) -> Hold | None:
        """
        What holds a rotation that is due; None when nothing does, or none is due.
        """
        due = self.rotates_at is not None and self.now >= self.rotates_at
        return self.hold if due else None

    @classmethod
    def of(cls, keyset: Keyset, policy: Policy, now: datetime) -> Self:
        """
        Return the report of *keyset* at *now*, from the stored document alone.

        The clock, the standby and the publishers are taken to be good; the daemon's alarms say when they are not.
        """
        horizon = policy.rotation_period + policy.timing.retention
        return cls(
            name=keyset.name,
            algorithm=keyset.algorithm,
            epoch=keyset.epoch,
            sequence=keyset.sequence,
            now=now,
            rotates_at=due_at(keyset, policy, now),
            hold=activation_hold(keyset, policy, GOOD, now),
            overdue=overdue(keyset, policy, now),
            requested=keyset.rotate_requested.op_id if keyset.rotate_requested else "",
            keys=tuple(KeyReport.of(key, now) for key in keyset.keys()),
            revoked=keyset.revoked,
            timeline=tuple(islice(timeline(keyset, policy, now, horizon), MAX_MILESTONES)),
        )
