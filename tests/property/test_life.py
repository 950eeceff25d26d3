"""
A keyset's life under random passes, crashes at every effect, lost replies, outages, commands and policy changes.

What consumers could see is compared with what signers may have signed: a key must be visible from half a propagation
time before it signs until its last token has expired, for a signer and a verifier that each lag by half of it.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rotator.commands.revoke import revoke
from rotator.commands.rotate_now import RotateOptions, rotate_now
from rotator.documents.signing import decode_keyset
from rotator.errors import RefusedError, StoreConflictError, StoreUnavailableError
from rotator.model.document import Tree
from rotator.model.keys import Kid
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from tests.support.fakes import START
from tests.support.memory_store import Crash
from tests.support.process import MemoryClockMemory, Outside, Process
from tests.support.world import policy, seconds

P, LIFE, SKEW, PERIOD = 8.0, 20.0, 2.0, 60.0
YEAR = 365 * 86400.0


class Life(RuleBasedStateMachine):
    """Two daemons and an operator on one keyset."""

    algorithm = "RS256"

    @initialize()
    def begin(self) -> None:
        """Start from nothing."""
        self.outside = Outside()
        self.clock, self.fuses, self.store = self.outside.clock, self.outside.fuses, self.outside.store
        self.publisher, self.notifier = self.outside.publisher, self.outside.notifier
        self.policy: Policy = policy(self.algorithm, period=PERIOD, p=P, life=LIFE, skew=SKEW)
        self.memories = [MemoryClockMemory(), MemoryClockMemory()]
        self.daemons = [self.start(0), self.start(1)]
        self.sequence = 0
        self.unsafe: set[Kid] = set()
        self.revoked: set[Kid] = set()

    def start(self, which: int) -> Process:
        """Begin a process on one of the two hosts."""
        return Process(self.outside, self.policy, clock_memory=self.memories[which])

    def truth(self) -> datetime:
        """Return the time that no step changes."""
        return START + seconds(self.clock.monotonic())

    # -- what happens --------------------------------------------------------------------------------------------------

    @rule(by=st.integers(0, 25))
    def time_passes(self, by: int) -> None:
        """Let some seconds pass."""
        self.clock.advance(float(by))

    @rule(which=st.integers(0, 1))
    def reconcile(self, which: int) -> None:
        """One daemon makes a pass."""
        daemon = self.daemons[which]
        daemon.tracker.policy = self.policy
        try:
            daemon.reconciler.reconcile(daemon.tracker, self.outside.announced())
        except StoreUnavailableError:
            pass
        except Crash:
            self.daemons[which] = self.start(which)
        self.fuses.disarm()

    @rule(nth=st.integers(1, 9), after=st.booleans(), lost=st.booleans())
    def arm(self, nth: int, after: bool, lost: bool) -> None:
        """The nth effect from now crashes the process, or its reply is lost."""
        if lost:
            self.fuses.blow(nth, after=after, with_=StoreUnavailableError)
        else:
            self.fuses.blow(nth, after=after)

    @rule(away=st.booleans())
    def outage(self, away: bool) -> None:
        """The store goes or comes back."""
        self.store.away = away

    @rule(failing=st.booleans(), stale=st.booleans())
    def publisher_fails(self, failing: bool, stale: bool) -> None:
        """The publisher fails, or consumers of it see an old view."""
        self.publisher.failing, self.publisher.stale = failing, stale

    @rule(down=st.booleans())
    def redis(self, down: bool) -> None:
        """Redis goes or comes back, having forgotten everything."""
        self.notifier.down = down
        self.notifier.flush()

    @rule(offset=st.sampled_from([0, 0, 3600]))
    def clock_disagrees(self, offset: int) -> None:
        """The local clock is off, or right again."""
        self.store.offset = seconds(offset)

    @rule(which=st.integers(0, 1), unsafe=st.booleans(), when_ready=st.booleans())
    def rotate(self, which: int, unsafe: bool, when_ready: bool) -> None:
        """An operator types rotate-now."""
        before = self.keyset()
        next_kid = before.next.kid if before and before.next else None
        options = RotateOptions(self.clock.now(), unsafe=unsafe and not when_ready, when_ready=when_ready)
        try:
            rotate_now(self.daemons[which].operator, "web", self.policy, options)
        except (StoreUnavailableError, RefusedError, StoreConflictError):
            pass
        except Crash:
            self.daemons[which] = self.start(which)
        after = self.keyset()
        if options.unsafe and after and after.current and next_kid == after.current.kid:
            self.unsafe.add(after.current.kid)
        self.fuses.disarm()

    @precondition(lambda self: self.keyset() and self.keyset().current)
    @rule(which=st.integers(0, 1), nth=st.integers(0, 3))
    def revoke(self, which: int, nth: int) -> None:
        """A key is compromised."""
        keyset = self.keyset()
        assert keyset is not None
        keys = list(keyset.keys())
        kid = keys[nth % len(keys)].kid
        try:
            revoke(self.daemons[which].operator, "web", self.policy, kid, "stolen", document_leaked=False)
        except (StoreUnavailableError, RefusedError, StoreConflictError):
            pass
        except Crash:
            self.daemons[which] = self.start(which)
        after = self.keyset()
        assert after is not None
        self.revoked |= {revocation.kid for revocation in after.revoked}
        if after.current and kid in self.revoked:
            self.unsafe.add(after.current.kid)
        self.fuses.disarm()

    @rule(life=st.sampled_from([10.0, LIFE, 25.0]), p=st.sampled_from([P, 10.0]))
    def policy_changes(self, life: float, p: float) -> None:
        """The configuration is edited; consumers are only ever as slow as the shortest P."""
        timing = replace(self.policy.timing, max_token_lifetime=seconds(life), propagation_time=seconds(p))
        self.policy = replace(self.policy, timing=timing)

    # -- what must hold ------------------------------------------------------------------------------------------------

    def keyset(self) -> Keyset | None:
        """Return what is stored now, outage or not."""
        history = self.store.history(Tree.KEYS, "web")
        return decode_keyset(history[-1], "web") if history and history[-1] else None

    @invariant()
    def sequence_grows_and_one_key_signs(self) -> None:
        """The sequence never falls; once a key was current there is one."""
        if not hasattr(self, "store") or (keyset := self.keyset()) is None:
            return
        assert keyset.sequence >= self.sequence
        assert keyset.sequence == len(self.store.history(Tree.KEYS, "web"))
        self.sequence = keyset.sequence
        seen = getattr(self, "signed", {})
        now = self.truth()
        if keyset.current:
            begin, _, life = seen.get(keyset.current.kid, (now, now, timedelta(0)))
            seen[keyset.current.kid] = (begin, now, max(life, keyset.timing.max_token_lifetime))
        else:
            assert not seen
        self.signed: dict[Kid, tuple[datetime, datetime, timedelta]] = seen

    @invariant()
    def every_token_verifies(self) -> None:
        """A key that may have signed is visible to the slowest verifier until its last token has expired."""
        if not hasattr(self, "signed"):
            return
        lag, now = seconds(P / 2), self.truth()
        keyset = self.keyset()
        assert keyset is not None
        kids = {key.kid for key in keyset.keys()}
        visible = self.publisher.visible("web")
        shown = kids if keyset.symmetric or visible is None else _kids(visible.document.jwks)
        for kid, (_, last, life) in self.signed.items():
            if kid in self.revoked or now >= last + lag + life:
                continue
            assert kid in kids, f"{kid} signed until {last} and is gone from the document at {now}"
            if kid not in self.unsafe:
                assert kid in shown, f"{kid} signed until {last} and verifiers do not see it at {now}"

    def teardown(self) -> None:
        """Without faults the keyset comes to rest: rotated, announced, and no version holds anything retired."""
        if not hasattr(self, "store"):
            return
        self.store.away, self.store.offset = False, seconds(0)
        self.publisher.failing = self.publisher.stale = self.notifier.down = False
        for _ in range(40):
            self.clock.advance(3.0)
            for which in (0, 1):
                self.reconcile(which)
            self.sequence_grows_and_one_key_signs()
            self.every_token_verifies()
        keyset = self.keyset()
        assert keyset is not None
        assert keyset.current is not None
        assert keyset.next is not None
        assert keyset.next.usable_at is not None
        assert self.clock.now() - keyset.current.activated_at < seconds(PERIOD + 2 * P + LIFE)
        assert self.notifier.positions["web"] == f"{keyset.epoch}:{keyset.sequence}"
        alive = {key.kid for key in keyset.keys()}
        for version in self.store.history(Tree.KEYS, "web"):
            for key in version["keys"] if version else ():
                assert key["kid"] in alive
                assert "private" not in key or key["kid"] == keyset.current.kid
        for standby in self.store.history(Tree.STANDBY, "web"):
            assert standby is None or standby["kid"] in {keyset.next.kid, ""}


def _kids(jwks: str) -> set[str]:
    return {entry["kid"] for entry in json.loads(jwks)["keys"]}


class SteppingLife(Life):
    """
    The same life where store and daemons share a clock that steps, by itself or for good.
    """

    shift = 0.0

    @initialize()
    def begin(self) -> None:
        """Start from nothing; both hosts have seen the clock once."""
        super().begin()
        for which in (0, 1):
            self.reconcile(which)

    @rule(shift=st.sampled_from([0.0, 0.0, 30.0, 600.0, -600.0, YEAR, -YEAR]))
    def clock_steps(self, shift: float) -> None:
        """The clock goes wrong, or comes back."""
        self.clock.step(seconds(shift - self.shift))
        self.shift = shift

    @rule(for_=st.integers(8, 40))
    def live(self, for_: int) -> None:
        """Both daemons go on for a while, which a step needs to be believed."""
        for _ in range(0, for_, 2):
            self.clock.advance(2.0)
            for which in (0, 1):
                self.reconcile(which)
            self.sequence_grows_and_one_key_signs()
            self.every_token_verifies()

    def teardown(self) -> None:
        """The clock is right in the end."""
        if hasattr(self, "store"):
            self.clock_steps(0.0)
        super().teardown()


class HmacSteppingLife(SteppingLife):
    """The same with shared secrets."""

    algorithm = "HS256"


class HmacLife(Life):
    """The same life with shared secrets."""

    algorithm = "HS256"


MANY = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestPairs = Life.TestCase
TestPairs.settings = MANY
TestSecrets = HmacLife.TestCase
TestSecrets.settings = MANY
TestPairsUnderSteps = SteppingLife.TestCase
TestPairsUnderSteps.settings = settings(MANY, max_examples=30, stateful_step_count=25)
TestSecretsUnderSteps = HmacSteppingLife.TestCase
TestSecretsUnderSteps.settings = settings(MANY, max_examples=30, stateful_step_count=25)
