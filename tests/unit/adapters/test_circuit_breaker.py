"""
The circuit breaker, on a clock that only the test moves.
"""

from rotator.adapters.circuit_breaker import Breaker, random_backoff
from rotator.model.times import MAX_BACKOFF
from tests.support.fakes import ManualClock


def test_a_sound_circuit_lets_all_through() -> None:
    """
    Also many at once.
    """
    breaker = Breaker(ManualClock().monotonic)
    assert [breaker.enter() for _ in range(5)] == [0.0] * 5


def test_a_failure_shuts_it_and_one_caller_tries() -> None:
    """
    After the back-off one is let through, the others stay out until that one knows.
    """
    clock = ManualClock()
    breaker = Breaker(clock.monotonic)
    breaker.enter()
    breaker.failed()
    assert breaker.enter() == 1.0
    clock.advance(1)
    assert breaker.enter() == 0.0
    assert breaker.enter() > 0
    breaker.worked()
    assert breaker.enter() == 0.0


def test_callers_that_fail_together_count_once() -> None:
    """
    Eight workers caught by one outage do not make the first pause a long one; it begins with the last of them.
    """
    clock = ManualClock()
    breaker = Breaker(clock.monotonic)
    for _ in range(8):
        breaker.enter()
    for _ in range(8):
        clock.advance(0.25)
        breaker.failed()
    assert breaker.enter() == 1.0


def test_a_caller_that_never_reports_does_not_shut_it_for_good() -> None:
    """
    The one that tries may die with its thread; later another one does.
    """
    clock = ManualClock()
    breaker = Breaker(clock.monotonic)
    breaker.enter()
    breaker.failed()
    clock.advance(1)
    assert breaker.enter() == 0.0
    clock.advance(MAX_BACKOFF)
    assert breaker.enter() == 0.0


def test_the_pause_grows_to_half_a_minute() -> None:
    """
    From 1 s doubling, with full jitter, never below 1 s.
    """
    assert {random_backoff(1) for _ in range(20)} == {1.0}
    for failures in range(1, 100):
        pauses = [random_backoff(failures) for _ in range(20)]
        assert all(1.0 <= pause <= min(30.0, 2.0 ** (failures - 1)) for pause in pauses)
    assert max(random_backoff(60) for _ in range(200)) > 20


def test_probes_that_fail_one_after_another_make_the_pauses_longer() -> None:
    """
    Each counts, however many callers it kept out; else an outage of hours would be asked about once a second.
    """
    pauses = []
    for _ in range(50):
        clock = ManualClock()
        breaker = Breaker(clock.monotonic)
        for _ in range(6):
            clock.advance(MAX_BACKOFF)
            assert breaker.enter() == 0.0
            breaker.failed()
        pauses.append(breaker.enter())
    assert max(pauses) > 8
    assert min(pauses) >= 1
