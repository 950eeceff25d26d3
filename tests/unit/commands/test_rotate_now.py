"""
What becomes of a request to rotate now: every result, and every refusal with its way out.
"""

import uuid
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rotator.commands.rotate_now import ATTEMPTS, Outcome, Result, RotateOptions, consequence, hold_of, rotate_now
from rotator.errors import FrozenError, RefusedError, StoreConflictError
from rotator.lifecycle.clock_steps import ClockState, SteadyClock, clock_of
from rotator.lifecycle.holds import Hold
from rotator.model.document import ClockReading, Tree
from rotator.model.policy import Policy
from rotator.model.reasons import HoldReason
from rotator.model.times import format_time
from rotator.reconcile.clock_trust import ClockTrust
from tests.support.process import Overtaken, Place
from tests.support.world import KEYS, policy, seconds

PAIRS, SECRETS = policy(p=8, life=20), policy("HS256", p=8, life=20)
BOTH = pytest.mark.parametrize("rules", [PAIRS, SECRETS], ids=["pairs", "secrets"])


def propagated(rules: Policy = PAIRS) -> Place:
    """Return a place where current signs and next has propagated."""
    place = Place(rules)
    place.live(20, every=5)
    return place


def young(rules: Policy = PAIRS) -> Place:
    """Return a place whose next still propagates, until second 8."""
    place = Place(rules)
    place.reconcile()
    place.clock.advance(3.0)
    return place


def ask(place: Place, **options: object) -> Outcome:
    """Ask for a rotation of the keyset at this moment."""
    started = options.pop("started_at", place.clock.now())
    return rotate_now(place.process.operator, "web", place.policy, RotateOptions(started, **options))  # type: ignore[arg-type]


# -- rotated -----------------------------------------------------------------------------------------------------------


@BOTH
def test_a_propagated_next_is_activated(rules: Policy) -> None:
    """The answer names the save and the key."""
    place = propagated(rules)
    next_key = place.next_key.kid
    outcome = ask(place, reason="drill")

    assert (outcome.result, outcome.kid, outcome.detail) == (Result.ROTATED, next_key, "")
    assert place.current.kid == next_key
    assert place.current.activated_by == outcome.op_id
    assert place.notifier.events[-1].reason == "drill"


def test_the_op_id_of_the_operator_names_the_save() -> None:
    """So that the same request, sent again, is recognised."""
    place = propagated()

    assert ask(place, op_id="op-x").op_id == place.current.activated_by == "op-x"


# -- already rotated ---------------------------------------------------------------------------------------------------


def test_the_same_request_again_changes_nothing() -> None:
    """Its reply may have been lost; hours later it is still that save."""
    place = propagated()
    first = ask(place, op_id="op-x")
    place.clock.advance(50.0)
    before = place.keyset
    again = ask(place, op_id="op-x")

    assert again == Outcome("web", Result.ALREADY, "op-x", first.kid, "current changed already")
    assert place.keyset == before


def test_a_parallel_caller_of_the_same_moment_has_rotated_already() -> None:
    """An op_id that is not ours tells only the second of activation: one that began within it counts."""
    place = propagated()
    started = place.clock.now()
    first = ask(place)
    place.live(10, every=5)
    before = place.keyset

    assert ask(place, started_at=started).result is Result.ALREADY
    assert ask(place, started_at=started + seconds(0.9)).op_id == first.op_id
    assert place.keyset == before
    assert ask(place, started_at=started + seconds(1)).result is not Result.ALREADY


@BOTH
@pytest.mark.parametrize("behind", [20.0, 3600.0, 365 * 86400.0])
def test_a_command_whose_clock_is_behind_does_not_take_an_old_activation_for_its_own(
    rules: Policy, behind: float
) -> None:
    """Its own clock says that it began before; the store's says otherwise. So the request is judged by itself."""
    place = propagated(replace(rules, timing=replace(rules.timing, clock_skew=seconds(60))))
    made = place.clock.now()
    assert ask(place, op_id=op_id_of(made)).result is Result.ROTATED
    place.live(0.5, every=0.5)
    place.store.offset = -seconds(behind)

    outcome = ask(place, started_at=place.clock.now() - seconds(behind))
    assert outcome.result is Result.REFUSED
    assert outcome.detail.startswith(
        "clock not trusted: the local clock is" if behind > 60 else "next still propagating"
    )


@pytest.mark.parametrize("ahead", [-50.0, 50.0])
def test_an_activation_by_a_host_whose_clock_is_wrong_is_not_taken_for_a_parallel_one(ahead: float) -> None:
    """Its op_id tells another time than the store, so it says nothing of who came first."""
    place = propagated()
    started = place.clock.now()
    ask(place, op_id=op_id_of(started + seconds(ahead)))
    place.live(1)

    assert ask(place, started_at=started).result is Result.REFUSED


def test_a_clock_that_is_behind_on_the_host_of_the_files_is_not_trusted() -> None:
    """The document is one of the future then. What the same operator asked for is known all the same."""
    place = propagated()
    ask(place, op_id="op-x")
    place.clock.step(-seconds(3600))

    assert refusal(ask(place)).startswith("clock not trusted: two clocks of the store differ")
    assert ask(place, op_id="op-x").result is Result.ALREADY


def test_what_the_daemon_of_this_host_knows_of_the_clock_counts() -> None:
    """A command has only one reading. By what ran before it the clock is a year ahead."""
    place = propagated()
    steady = ClockState(clock_of(place.snapshot().clock))
    place.process.operator = replace(place.process.operator, clock_trust=ClockTrust(Known(steady)))
    place.clock.step(timedelta(days=365))

    assert "it is 31536000 s ahead of where it should be" in refusal(ask(place, unsafe=True))
    young_next = replace(steady, dated_by={place.next_key.kid: SteadyClock(0.0, 0.0)})
    place.process.operator = replace(place.process.operator, clock_trust=ClockTrust(Known(young_next)))
    place.clock.step(-timedelta(days=365))
    assert refusal(ask(place)).startswith("next still propagating")


class Known:
    """A ClockMemory that was written by a daemon."""

    def __init__(self, state: ClockState) -> None:
        self.state = state

    def recall(self, name: str, reading: ClockReading) -> ClockState | None:
        """Return it."""
        assert (name, reading.read_at >= 0) == ("web", True)
        return self.state

    def remember(self, name: str, state: ClockState) -> None:
        """Keep nothing."""


def op_id_of(moment: datetime) -> str:
    """Return an op_id made at that moment, as ours are."""
    milliseconds = int(moment.timestamp() * 1000)
    return str(uuid.UUID(int=(milliseconds << 80) | (0x7 << 76) | (0b10 << 62)))


def test_an_op_id_of_ours_tells_the_millisecond() -> None:
    """A caller that began a millisecond later asks for another rotation."""
    place = propagated(policy("HS256", p=8, life=20, readers=KEYS))
    made = place.clock.now() + seconds(0.25)
    ask(place, op_id=op_id_of(made))
    place.live(10, every=5)

    assert ask(place, started_at=made - timedelta(milliseconds=1)).result is Result.ALREADY
    assert ask(place, started_at=made).result is Result.ROTATED


@pytest.mark.parametrize(("races", "rotated"), [(1, True), (ATTEMPTS - 1, True), (ATTEMPTS, False)])
def test_a_lost_race_is_tried_again_some_times(races: int, rotated: bool) -> None:
    """Each time the keyset is read again; after eight the operator is asked to try again."""
    place = Place(SECRETS)
    place.store = store = Overtaken(place.clock, place.fuses)
    place.restart()
    place.live(20, every=5)
    store.races = races
    if rotated:
        assert ask(place).result is Result.ROTATED
        return
    with pytest.raises(StoreConflictError, match="changed 8 times"):
        ask(place)


# -- refused -----------------------------------------------------------------------------------------------------------


def refusal(outcome: Outcome) -> str:
    """Return why a request was refused."""
    assert (outcome.result, outcome.op_id) == (Result.REFUSED, "")
    return outcome.detail


@BOTH
def test_a_next_that_propagates_is_refused_with_the_moment_it_is_safe(rules: Policy) -> None:
    """And with the option that waits for it."""
    place = young(rules)
    before = place.keyset
    outcome = ask(place)
    usable = place.next_key.usable_at

    assert refusal(outcome) == (
        f"next still propagating; it becomes safe at {format_time(usable)}, or use --when-ready"
    )
    assert (outcome.safe_at, outcome.kid) == (usable, place.next_key.kid)
    assert place.keyset == before


def test_an_unconfirmed_next_is_refused() -> None:
    """The daemon is at it."""
    place = propagated()
    place.process.effects.unconfirm(place.snapshot(), "memory")

    assert refusal(ask(place)) == (
        "publication not confirmed; the daemon confirms the publication, then propagation_time must pass: "
        "see `rotator status`"
    )


def test_without_a_next_it_is_refused() -> None:
    """The daemon makes one; no key is named."""
    place = propagated()
    ask(place)
    outcome = ask(place, started_at=place.clock.now() + seconds(5))

    assert refusal(outcome) == "no next key; the daemon generates one: see `rotator status`"
    assert outcome.kid == ""


def test_a_first_key_is_activated_like_any_other() -> None:
    """Nothing has rotated before it, whenever the caller began."""
    place = Place(PAIRS)
    place.publisher.stale = True
    place.reconcile()
    refusal(ask(place, started_at=place.clock.now() - seconds(60)))
    place.publisher.stale = False
    place.process.effects.confirm(place.snapshot())

    assert ask(place, started_at=place.clock.now() - seconds(60)).result is Result.ROTATED


@pytest.mark.parametrize("unsafe", [False, True])
def test_a_clock_that_disagrees_is_refused_even_unsafe(unsafe: bool) -> None:
    """Deadlines would be wrong."""
    place = propagated()
    place.store.offset = timedelta(hours=1)

    assert refusal(ask(place, unsafe=unsafe)) == (
        "clock not trusted: the local clock is 3600 s ahead of the store's, more than clock_skew (1s); correct it"
    )


@pytest.mark.parametrize("unsafe", [False, True])
def test_a_lost_standby_is_refused_even_unsafe(unsafe: bool) -> None:
    """There is no private key to sign with."""
    place = propagated()
    place.snapshot()
    place.store.delete(Tree.STANDBY, "web")

    assert refusal(ask(place, unsafe=unsafe)) == (
        "standby does not match next; the daemon withdraws it and makes another"
    )


def test_a_second_flat_secret_is_refused_until_the_first_retires() -> None:
    """Readers of the flat fields would lose the first one."""
    place = propagated(SECRETS)
    ask(place)
    place.live(10, every=5)
    retires = place.keyset.old[0].retire_at

    assert refusal(ask(place)) == (f"old still needed; it becomes safe at {format_time(retires)}, or use --when-ready")


def test_a_set_that_consumers_do_not_find_is_refused() -> None:
    """Found at the last moment; the message names the place."""
    place = propagated()
    before = place.keyset
    place.publisher.lose("web")

    assert refusal(ask(place)) == f"publication not confirmed: memory: {place.current.kid} is not there"
    assert place.keyset == before


def test_a_keyset_that_is_not_there_is_no_answer() -> None:
    """It is an error, with its way out."""
    place = Place(PAIRS)
    with pytest.raises(RefusedError, match="does not exist yet"):
        ask(place)
    place.live(20, every=5)
    place.store.delete(Tree.KEYS, "web")
    with pytest.raises(FrozenError):
        ask(place)


# -- unsafe ------------------------------------------------------------------------------------------------------------


@BOTH
def test_unsafe_activates_what_propagates_and_says_what_it_costs(rules: Policy) -> None:
    """Recorded as such in the event."""
    place = young(rules)
    usable, next_key = place.next_key.usable_at, place.next_key.kid
    outcome = ask(place, unsafe=True)

    assert (outcome.result, outcome.kid) == (Result.ROTATED, next_key)
    assert outcome.detail == (
        f"verifiers that have not noticed the new key refuse fresh tokens until {format_time(usable)}"
    )
    assert place.notifier.events[-1].reason == "rotate-now --unsafe-now"


def test_unsafe_needs_no_excuse_where_it_is_safe() -> None:
    """The activation is an ordinary one, read back like any other."""
    place = propagated()
    place.publisher.lose("web")
    refusal(ask(place, unsafe=True))
    place.publisher.publish(place.snapshot().publication)

    assert ask(place, unsafe=True).detail == ""
    assert place.notifier.events[-1].reason == "rotate-now"


def test_unsafe_cannot_activate_what_is_not_there() -> None:
    """Without a next it is refused as ever."""
    place = propagated()
    ask(place)

    assert refusal(ask(place, unsafe=True, started_at=place.clock.now() + seconds(5))).startswith("no next key")


def test_what_an_unsafe_activation_costs_readers_of_flat_fields() -> None:
    """The old secret by name, and until when it would have been needed."""
    place = propagated(SECRETS)
    ask(place)
    place.live(10, every=5)
    snapshot = place.snapshot()
    (old,) = snapshot.keyset.old
    hold = hold_of(place.process.operator, snapshot)

    assert hold == Hold(HoldReason.OLD_NEEDED, old.retire_at)
    assert consequence(snapshot, hold) == (
        f"readers of the flat fields lose {old.kid}: tokens signed with it fail until {format_time(old.retire_at)}, "
        "by when the last has expired"
    )


def test_what_an_unconfirmed_activation_costs_lasts_a_propagation_time() -> None:
    """Counted from now: no moment is known."""
    place = propagated()
    place.process.effects.unconfirm(place.snapshot(), "memory")
    snapshot = place.snapshot()

    text = consequence(snapshot, Hold(HoldReason.UNCONFIRMED))
    assert text.endswith(f"until {format_time(place.clock.now() + seconds(8))}")


# -- when ready --------------------------------------------------------------------------------------------------------


def test_when_ready_activates_at_once_where_that_is_safe() -> None:
    """There is nothing to wait for."""
    assert ask(propagated(), when_ready=True).result is Result.ROTATED


def test_when_ready_leaves_a_plan_to_the_daemon() -> None:
    """Its activation bears the plan's op_id and comes when it is safe, not before."""
    place = young()
    usable = place.next_key.usable_at
    outcome = ask(place, when_ready=True, op_id="op-x", reason="drill")

    assert (outcome.result, outcome.op_id, outcome.safe_at) == (Result.PLANNED, "op-x", usable)
    assert outcome.detail == "next still propagating; the daemon activates it as soon as that is safe"
    place.live(10)
    assert place.current.activated_by == "op-x"
    assert place.current.activated_at == usable


def test_a_second_plan_is_the_first() -> None:
    """The answer names the request that is open, and saves nothing."""
    place = young()
    first = ask(place, when_ready=True)
    before = place.keyset
    second = ask(place, when_ready=True, op_id="op-y")

    assert (second.result, second.op_id) == (Result.PLANNED, first.op_id)
    assert second.detail.endswith("(asked for before)")
    assert place.keyset == before


# -- dry run -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when_ready", [False, True])
def test_a_dry_run_changes_nothing(when_ready: bool) -> None:
    """It says what would happen: a rotation, a plan, or a refusal."""
    place = propagated()
    before = place.keyset
    assert ask(place, dry_run=True, when_ready=when_ready).result is Result.WOULD_ROTATE
    assert place.keyset == before

    place = young()
    before = place.keyset
    found = ask(place, dry_run=True, when_ready=when_ready)
    assert found.result is (Result.WOULD_PLAN if when_ready else Result.REFUSED)
    assert found.safe_at == place.next_key.usable_at
    assert place.keyset == before


def test_a_dry_run_reads_back_what_consumers_find() -> None:
    """It would be refused for it."""
    place = propagated()
    place.publisher.lose("web")

    assert refusal(ask(place, dry_run=True)) == f"memory: {place.current.kid} is not there"


def test_a_dry_run_of_an_unsafe_activation_says_what_it_costs() -> None:
    """Without reading back, which the real one does not do either."""
    place = young()
    place.publisher.lose("web")
    before = place.keyset
    found = ask(place, dry_run=True, unsafe=True)

    assert found.result is Result.WOULD_ROTATE
    assert "refuse fresh tokens until" in found.detail
    assert place.keyset == before
