"""
The metrics for Prometheus, read from the daemon's state at each scrape. A kid is never a label.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import rotator
from rotator.reconcile.alarms import Alarm


@dataclass(frozen=True, slots=True)
class KeysetSample:
    """
    One keyset at one moment: the number of keys in each state, and when the oldest of each was made.

    `rotations` counts the activations that this process made.
    """

    name: str
    sequence: int
    states: Mapping[str, int]
    created: Mapping[str, datetime]
    rotates_at: datetime | None
    last_success: datetime | None
    notify_pending: bool
    rotations: int = 0


class Samples(Protocol):
    """
    Source of the values. The methods do no I/O and may be called from any thread.
    """

    def keysets(self) -> Iterable[KeysetSample]:
        """
        Return one sample for each keyset.
        """
        ...

    def active(self) -> Iterable[Alarm]:
        """
        Return the active alarms.
        """
        ...

    def token_expires_at(self) -> datetime | None:
        """
        Return when the Vault token expires; None if there is none, or it never expires.
        """
        ...

    def redis_fault(self) -> str | None:
        """
        Return why Redis could not be reached lately, "" if it could; None if none is configured.
        """
        ...


class Metrics:
    """
    The metrics of one daemon, in their own registry. Safe to use from several threads.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests: Counter[tuple[str, str]] = Counter()
        self._collector: _Collector | None = None
        self._lock = threading.Lock()
        ProcessCollector(registry=self._registry)
        self._configuration: _Configuration | None = None

    def sample(self, samples: Samples) -> None:
        """
        Read the metrics from *samples* at each scrape, no longer from those given before.
        """
        if self._collector is None:
            self._collector = _Collector(samples, self.requests)
            self._registry.register(self._collector)
        self._collector.samples = samples

    def configuration_read(self, *, accepted: bool, at: float) -> None:
        """
        Note how the last reading of the configuration ended, *at* seconds since the epoch.
        """
        if self._configuration is None:
            self._configuration = _Configuration()
            self._registry.register(self._configuration)
        self._configuration.accepted = accepted
        if accepted:
            self._configuration.accepted_at = at

    def observe_request(self, operation: str, result: str) -> None:
        """
        Count one request to Vault; both words come from small fixed sets, since they are labels.
        """
        with self._lock:
            self._requests[operation, result] += 1

    def requests(self) -> Mapping[tuple[str, str], int]:
        """
        Return the requests counted so far, by operation and result.
        """
        with self._lock:
            return dict(self._requests)

    def render(self) -> bytes:
        """
        Return all metrics in Prometheus' text format.
        """
        return generate_latest(self._registry)


class _Configuration(Collector):
    accepted = True
    accepted_at = 0.0

    def collect(self) -> Iterator[Metric]:
        """
        Yield what is known of the configuration, under names like those of Prometheus itself.
        """
        yield GaugeMetricFamily(
            "rotator_config_last_reload_successful",
            "1 if the configuration read last is in force, 0 if it was refused",
            self.accepted,
        )
        yield GaugeMetricFamily(
            "rotator_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was read",
            self.accepted_at,
        )


class _Collector(Collector):
    def __init__(self, samples: Samples, requests: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self.samples = samples
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        """
        Yield every metric as of now.
        """
        yield InfoMetricFamily("rotator", "The version that runs", value={"version": rotator.__version__})
        alarm = GaugeMetricFamily("rotator_alarm", "1 while the alarm stands", labels=["keyset", "reason"])
        for active in self.samples.active():
            alarm.add_metric([active.keyset, active.reason.value], 1)
        yield alarm
        yield from _of_keysets(tuple(self.samples.keysets()))
        requests = CounterMetricFamily("rotator_vault_requests", "Requests to Vault", labels=["op", "result"])
        for labels, count in sorted(self._requests().items()):
            requests.add_metric(labels, count)
        yield requests
        if (fault := self.samples.redis_fault()) is not None:
            yield GaugeMetricFamily("rotator_redis_up", "0 while Redis cannot be told of changes", float(not fault))
        if (expires_at := self.samples.token_expires_at()) is not None:
            yield GaugeMetricFamily(
                "rotator_vault_token_expiry_timestamp_seconds", "When the Vault token expires", expires_at.timestamp()
            )


def _of_keysets(samples: tuple[KeysetSample, ...]) -> Iterator[Metric]:
    keys = GaugeMetricFamily("rotator_keys", "Keys in each state", labels=["keyset", "state"])
    created = GaugeMetricFamily(
        "rotator_key_created_timestamp_seconds", "When the oldest key of a state was made", labels=["keyset", "state"]
    )
    for sample in samples:
        for state, count in sample.states.items():
            keys.add_metric([sample.name, state], count)
        for state, at in sample.created.items():
            created.add_metric([sample.name, state], at.timestamp())
    yield keys
    yield created
    yield _moments(
        "rotator_next_rotation_timestamp_seconds",
        "When rotation is due",
        {sample.name: sample.rotates_at for sample in samples},
    )
    yield _moments(
        "rotator_last_success_timestamp_seconds",
        "When the keyset was last looked at with success, by the store's clock",
        {sample.name: sample.last_success for sample in samples},
    )
    rotations = CounterMetricFamily("rotator_rotations", "Activations made by this process", labels=["keyset"])
    sequence = GaugeMetricFamily("rotator_sequence", "Saves of the keyset", labels=["keyset"])
    pending = GaugeMetricFamily("rotator_notify_pending", "1 while Redis is yet to be told", labels=["keyset"])
    for sample in samples:
        rotations.add_metric([sample.name], sample.rotations)
        sequence.add_metric([sample.name], sample.sequence)
        pending.add_metric([sample.name], sample.notify_pending)
    yield from (rotations, sequence, pending)


def _moments(name: str, text: str, moments: Mapping[str, datetime | None]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["keyset"])
    for keyset, at in moments.items():
        if at is not None:
            family.add_metric([keyset], at.timestamp())
    return family
