"""
The metrics as a scrape reads them: names, labels and values are a promise to dashboards and alert rules.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

import rotator
from rotator.model.reasons import AlarmReason
from rotator.reconcile.alarms import Alarm
from rotator.telemetry.metrics import KeysetSample, Metrics

AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeSamples:
    """What a daemon knows."""

    samples: list[KeysetSample] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    expires_at: datetime | None = None
    redis: str | None = None

    def keysets(self) -> Iterable[KeysetSample]:
        """Return the samples."""
        return self.samples

    def active(self) -> Iterable[Alarm]:
        """Return the alarms."""
        return self.alarms

    def token_expires_at(self) -> datetime | None:
        """Return the moment."""
        return self.expires_at

    def redis_fault(self) -> str | None:
        """Return what a test says, None for no Redis."""
        return self.redis


@pytest.fixture
def samples() -> FakeSamples:
    """
    A daemon without keysets.
    """
    return FakeSamples()


@pytest.fixture
def metrics(samples: FakeSamples) -> Metrics:
    """
    Its metrics.
    """
    made = Metrics()
    made.sample(samples)
    return made


def scrape(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every value of ours by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.name.startswith("rotator")
    }


def test_a_keyset_gives_its_keys_moments_and_counts(metrics: Metrics, samples: FakeSamples) -> None:
    """Moments are absolute, so that a rule compares them with now; what is not known is not there."""
    samples.samples = [
        KeysetSample("web", 7, {"current": 1, "old": 2}, {"current": AT}, AT, AT, True, rotations=3),
        KeysetSample("new", 0, {}, {}, None, None, False),
    ]
    seconds = AT.timestamp()
    assert scrape(metrics) == {
        ("rotator_info", rotator.__version__): 1,
        ("rotator_keys", "web", "current"): 1,
        ("rotator_keys", "web", "old"): 2,
        ("rotator_key_created_timestamp_seconds", "web", "current"): seconds,
        ("rotator_next_rotation_timestamp_seconds", "web"): seconds,
        ("rotator_last_success_timestamp_seconds", "web"): seconds,
        ("rotator_rotations_total", "web"): 3,
        ("rotator_rotations_total", "new"): 0,
        ("rotator_sequence", "web"): 7,
        ("rotator_sequence", "new"): 0,
        ("rotator_notify_pending", "web"): 1,
        ("rotator_notify_pending", "new"): 0,
    }


def test_an_alarm_is_one_while_it_is_active(metrics: Metrics, samples: FakeSamples) -> None:
    """And not there afterwards; its detail is no label, for it may be anything."""
    samples.alarms = [Alarm("web", AlarmReason.OVERDUE, "because of kid-1")]
    assert scrape(metrics)["rotator_alarm", "web", "rotation overdue"] == 1
    assert b"kid-1" not in metrics.render()
    samples.alarms = []
    assert not [key for key in scrape(metrics) if key[0] == "rotator_alarm"]


def test_requests_are_counted_by_operation_and_result(metrics: Metrics) -> None:
    """From any thread."""
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda _: metrics.observe_request("read", "ok"), range(100)))
    metrics.observe_request("write", "conflict")
    found = scrape(metrics)
    assert found["rotator_vault_requests_total", "read", "ok"] == 100
    assert found["rotator_vault_requests_total", "write", "conflict"] == 1


def test_requests_are_counted_before_there_are_samples() -> None:
    """The store is made, and asked, before the daemon knows its keysets."""
    metrics = Metrics()
    metrics.observe_request("read", "ok")
    assert scrape(metrics) == {}
    metrics.sample(FakeSamples())
    assert scrape(metrics)["rotator_vault_requests_total", "read", "ok"] == 1


def test_a_token_that_expires_says_when(metrics: Metrics, samples: FakeSamples) -> None:
    """One that does not is not there."""
    name = ("rotator_vault_token_expiry_timestamp_seconds",)
    assert name not in scrape(metrics)
    samples.expires_at = AT
    assert scrape(metrics)[name] == AT.timestamp()


def test_redis_is_up_or_not_if_there_is_one(metrics: Metrics, samples: FakeSamples) -> None:
    """Without one nothing is said."""
    assert ("rotator_redis_up",) not in scrape(metrics)
    samples.redis = ""
    assert scrape(metrics)["rotator_redis_up",] == 1
    samples.redis = "redis at r.example:6379: connection refused"
    assert scrape(metrics)["rotator_redis_up",] == 0


def test_the_process_is_measured_too(metrics: Metrics) -> None:
    """Its memory, for one."""
    assert b"process_resident_memory_bytes" in metrics.render()
    assert metrics.content_type.startswith("text/plain")


def test_metrics_are_read_from_the_samples_given_last(metrics: Metrics, samples: FakeSamples) -> None:
    """A reload gives others; requests are counted on."""
    samples.samples = [KeysetSample("web", 7, {}, {}, None, None, False)]
    metrics.observe_request("read", "ok")
    others = FakeSamples()
    others.samples = [KeysetSample("new", 1, {}, {}, None, None, False)]
    metrics.sample(others)

    found = scrape(metrics)
    assert found["rotator_sequence", "new"] == 1
    assert ("rotator_sequence", "web") not in found
    assert found["rotator_vault_requests_total", "read", "ok"] == 1


def test_the_last_reading_of_the_configuration_is_told(metrics: Metrics) -> None:
    """Whether it is in force, and since when the one in force is."""
    accepted, at = ("rotator_config_last_reload_successful",), ("rotator_config_last_reload_success_timestamp_seconds",)
    metrics.configuration_read(accepted=True, at=10.0)
    assert (scrape(metrics)[accepted], scrape(metrics)[at]) == (1, 10)
    metrics.configuration_read(accepted=False, at=20.0)
    assert (scrape(metrics)[accepted], scrape(metrics)[at]) == (0, 10)
    metrics.configuration_read(accepted=True, at=30.0)
    assert (scrape(metrics)[accepted], scrape(metrics)[at]) == (1, 30)
