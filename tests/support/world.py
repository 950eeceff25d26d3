"""
A pure world for tests of the core: decisions replayed on a clock that only the test moves.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from rotator.lifecycle.changes import (
    Activated,
    AddNext,
    Change,
    Confirmed,
    Create,
    Extended,
    Retired,
    Seen,
    Stamp,
    Unconfirmed,
)
from rotator.lifecycle.decisions import (
    Activate,
    Confirm,
    Converge,
    Extend,
    Generate,
    Heartbeat,
    Retire,
    Unconfirm,
    Wait,
    decide,
)
from rotator.lifecycle.evolve import evolve
from rotator.lifecycle.holds import Evidence
from rotator.model.algorithms import Algorithm
from rotator.model.keys import CurrentKey, HmacSecret, Kid, NextKey, PublicKey
from rotator.model.keyset import Keyset, RotateRequest
from rotator.model.policy import Policy, Readers, Timing
from rotator.model.secret import SecretText

START = datetime(2026, 1, 1, tzinfo=UTC)


def seconds(n: float) -> timedelta:
    """Return n seconds."""
    return timedelta(seconds=n)


def at(n: float) -> datetime:
    """Return the moment n seconds after the start of the world."""
    return START + seconds(n)


def policy(
    algorithm: str = "RS256", *, period: float = 100, p: float = 10, life: float = 30, skew: float = 1, **more: object
) -> Policy:
    """Return a policy in seconds; by default retention is 41 s."""
    return Policy(
        algorithm=Algorithm(algorithm),
        rotation_period=seconds(period),
        timing=Timing(seconds(p), seconds(life), seconds(skew)),
        **more,  # type: ignore[arg-type]
    )


KEYS = Readers.KEYS


@dataclass
class World:
    """One keyset, made and moved by nothing but decide and evolve."""

    policy: Policy
    stored: Keyset | None = None
    made: int = 0
    steps: list[tuple[int, str]] = field(default_factory=list)
    evidence: Evidence = field(default_factory=Evidence)
    shared: bool = False

    @property
    def keyset(self) -> Keyset:
        """The keyset; there must be one."""
        assert self.stored is not None, "there is no keyset"
        return self.stored

    @keyset.setter
    def keyset(self, keyset: Keyset) -> None:
        self.stored = keyset

    @property
    def current(self) -> CurrentKey:
        """The key that signs; there must be one."""
        assert self.keyset.current is not None, "no key signs"
        return self.keyset.current

    @property
    def next_key(self) -> NextKey:
        """The next key; there must be one."""
        assert self.keyset.next is not None, "there is no next key"
        return self.keyset.next

    def ask(self, moment: float, op_id: str = "op") -> None:
        """Note a request to rotate at second *moment*."""
        self.keyset = replace(self.keyset, rotate_requested=RotateRequest(op_id, at(moment), "test"))

    def key(self, now: datetime) -> NextKey:
        """Return a fresh next."""
        self.made += 1
        kid = Kid(f"k{self.made}")
        material = HmacSecret(SecretText("0" * 64)) if self.policy.algorithm.symmetric else PublicKey(f"pem-{kid}")
        return NextKey(kid=kid, algorithm=self.policy.algorithm, material=material, created_at=now)

    def stamp(self, now: datetime) -> Stamp:
        """Return the stamp of the next save."""
        sequence = self.stored.sequence if self.stored else 0
        return Stamp(now, now, f"op-{sequence + 1}", sequence + 1)

    def change(self, change: Change, now: datetime) -> Keyset:
        """Save a change."""
        self.keyset = evolve(self.stored, change, self.policy, self.stamp(now))
        return self.keyset

    def create(self, now: datetime) -> Change:
        """Return how this keyset begins."""
        if self.policy.algorithm.symmetric:
            first = self.key(now)
            return Create("web", "epoch", self.key(now), first)
        return Create("web", "epoch", self.key(now))

    def private(self) -> SecretText | None:
        """Return a private key where one is needed."""
        return None if self.policy.algorithm.symmetric else SecretText("0" * 64)

    def act(self, now: datetime) -> Wait:
        """Do what is due now, note each step, and return the wait."""
        for _ in range(20):
            decision = decide(self.stored, self.policy, self.evidence, now)
            change: Change
            match decision:
                case Wait():
                    return decision
                case Generate(replaces=replaces):
                    change = AddNext(self.key(now), replaces) if self.stored else self.create(now)
                case Confirm():
                    change = Confirmed(now, self.shared)
                case Unconfirm():
                    change, self.evidence = Unconfirmed(), Evidence()
                case Activate(reason=reason):
                    change = Activated(reason, self.private())
                case Retire(kids=kids):
                    change = Retired(kids)
                case Extend():
                    change = Extended()
                case Heartbeat(at=moment):
                    change = Seen(moment)
                case Converge():
                    raise AssertionError("a pure world is always converged")
            self.steps.append((int((now - START).total_seconds()), type(decision).__name__))
            self.change(change, now)
        raise AssertionError("the decisions do not come to rest")

    def run(self, until: float, begin: float = 0, every: float = 1) -> list[tuple[int, str]]:
        """Act every so many seconds from begin until the end; return all steps so far."""
        for now in _range(begin, until, every):
            self.act(at(now))
        return self.steps


def _range(begin: float, until: float, every: float) -> Iterator[float]:
    now = begin
    while now <= until:
        yield now
        now += every
