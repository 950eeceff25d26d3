"""
What will happen to a keyset and when, by replaying the decisions into the future. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from rotator.lifecycle.changes import Activated, AddNext, Change, Confirmed, Extended, Retired, Stamp
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
from rotator.lifecycle.holds import GOOD
from rotator.model.keys import HmacSecret, Kid, NextKey, PublicKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.secret import SecretText

_PLANNED = SecretText("0" * 64)


@dataclass(frozen=True, slots=True)
class Milestone:
    """
    One step at *at*, with the kid that it concerns; `new-1`, `new-2` ... stand for keys that do not exist yet.
    """

    at: datetime
    step: str
    kid: Kid


def timeline(keyset: Keyset, policy: Policy, now: datetime, horizon: timedelta) -> Iterator[Milestone]:
    """
    Yield the milestones from *now* to *now* + *horizon*, if every confirmation succeeds at once and no one intervenes.
    """
    end, made = now + horizon, 0
    while now <= end:
        decision = decide(keyset, policy, GOOD, now)
        change: Change
        match decision:
            case Wait(until=None):
                return
            case Wait(until=until):
                assert until is not None  # noqa: S101 - the case above took None
                now = until
                continue
            case Generate():
                made += 1
                kid = Kid(f"new-{made}")
                material = HmacSecret(_PLANNED) if policy.algorithm.symmetric else PublicKey("planned")
                change = AddNext(
                    NextKey(kid=kid, algorithm=policy.algorithm, material=material, created_at=now), decision.replaces
                )
            case Confirm() | Unconfirm() | Converge():
                change = Confirmed(now)
                kid = keyset.next.kid if keyset.next else Kid("")
            case Activate(reason=reason):
                kid = keyset.next.kid if keyset.next else Kid("")
                change = Activated(reason, None if keyset.symmetric else _PLANNED)
            case Retire(kids=kids):
                kid = kids[0]
                change = Retired(kids)
            case Extend() | Heartbeat():
                kid = Kid("")
                change = Extended()
            case _:
                assert_never(decision)
        yield Milestone(now, type(decision).__name__.lower(), kid)
        keyset = evolve(
            keyset, change, policy, Stamp(now, now, f"planned-{keyset.sequence + 1}", keyset.purge_below + 1)
        )
