"""
Fakes of the ports and clocks, for tests that move time themselves.
"""

import threading
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa

from rotator.documents.jwk import parse_jwks
from rotator.documents.private_key import pair_of
from rotator.errors import KeyMaterialError, LastSeenWriteError, NotificationError, PublicationError
from rotator.model.algorithms import Algorithm
from rotator.model.event import Event
from rotator.model.keys import GeneratedKey, HmacSecret, Kid
from rotator.model.publication import LastSeen, Publication
from rotator.model.secret import SecretText
from tests.support.memory_store import Fuses

START = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """
    A wall clock and a monotonic one that stand still until a test moves them.
    """

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._elapsed = self._asleep = 0.0

    def now(self) -> datetime:
        """
        Return the wall clock's moment.
        """
        return self._now

    def wall(self) -> datetime:
        """
        Do as `now` does: the Clocks port.
        """
        return self._now

    def monotonic(self) -> float:
        """
        Return seconds since the clock was made.
        """
        return self._elapsed

    def awake(self) -> float:
        """
        Return the same without those of `suspend`.
        """
        return self._elapsed - self._asleep

    def advance(self, by: timedelta | float) -> None:
        """
        Let time pass (seconds, where it is a number).
        """
        by = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self._now += by
        self._elapsed += by.total_seconds()

    def suspend(self, seconds: float) -> None:
        """
        Let time pass as for a machine that is suspended meanwhile.
        """
        self.advance(seconds)
        self._asleep += seconds

    def mark(self) -> tuple[datetime, float]:
        """
        Return what `go_back` takes.
        """
        return self._now, self._elapsed

    def go_back(self, mark: tuple[datetime, float]) -> None:
        """
        Go back to a moment, for another life from there on.
        """
        self._now, self._elapsed = mark

    def step(self, by: timedelta) -> None:
        """
        Set the wall clock, as an operator or NTP does; no time passes.
        """
        self._now += by


class MemoryNotifier:
    """
    A Notifier that keeps all events; `down` makes it fail, `flush` forgets everything.
    """

    def __init__(self, fuses: Fuses | None = None) -> None:
        self.fuses = fuses or Fuses()
        self.down = False
        self.closed = 0
        self.events: list[Event] = []
        self.positions: dict[str, str] = {}
        self.fault = ""

    def announce(self, event: Event) -> None:
        """
        Keep *event*.
        """
        self._up()
        with self.fuses.effect(f"announce {event.type.value}"):
            self.events.append(event)
            if event.type.tells_of_save:
                self.positions[event.keyset] = f"{event.epoch}:{event.sequence}"

    def announced(self, keysets: Iterable[str]) -> Mapping[str, str]:
        """
        Return the positions kept.
        """
        self._up()
        return {name: self.positions[name] for name in keysets if name in self.positions}

    def forget(self, keyset: str) -> None:
        """
        Drop a position.
        """
        self._up()
        with self.fuses.effect(f"forget {keyset}"):
            self.positions.pop(keyset, None)

    def probe(self) -> tuple[str, ...]:
        """
        Return what is wrong: only ever that it is down.
        """
        return ("redis is down",) if self.down else ()

    def close(self) -> None:
        """
        Count the call.
        """
        self.closed += 1

    def flush(self) -> None:
        """
        Lose everything, as FLUSHALL does.
        """
        self.events.clear()
        self.positions.clear()

    def _up(self) -> None:
        self.fault = "redis is down" if self.down else ""
        if self.down:
            raise NotificationError(self.fault)


class MemoryLastSeen:
    """
    A LastSeenStore that lives as long as the process; `failing` makes `record` raise, after it kept what was seen.
    """

    def __init__(self) -> None:
        self.failing = False
        self._known: dict[str, LastSeen] = {}

    def names(self) -> tuple[str, ...]:
        """
        Return the names, sorted.
        """
        return tuple(sorted(self._known))

    def get(self, name: str) -> LastSeen | None:
        """
        Return what was recorded.
        """
        return self._known.get(name)

    def forget(self, name: str) -> None:
        """
        Forget a keyset.
        """
        self._known.pop(name, None)

    def record(self, seen: LastSeen) -> None:
        """
        Keep *seen*, unless a higher sequence of its epoch is kept.
        """
        known = self._known.get(seen.document.keyset)
        if seen.supersedes(known):
            self._known[seen.document.keyset] = seen
            if self.failing:
                raise LastSeenWriteError("the state folder is full")


class MemoryPublisher:
    """
    A JwksPublisher that notes from when on consumers could see what.

    `failing`: it cannot be written or read; `stale`: what is written does not reach consumers until it is switched off.
    `history` holds (moment, keyset, kids) for each change that consumers could see.
    """

    def __init__(self, clock: ManualClock, name: str = "memory", fuses: Fuses | None = None) -> None:
        self.fuses = fuses or Fuses()
        self.failing = False
        self.closed = 0
        self.history: list[tuple[datetime, str, frozenset[Kid]]] = []
        self._clock = clock
        self._name = name
        self._stale = False
        self._written: dict[str, Publication] = {}
        self._visible: dict[str, Publication] = {}

    @property
    def name(self) -> str:
        """
        The name given.
        """
        return self._name

    @property
    def stale(self) -> bool:
        """
        Whether consumers see an old view.
        """
        return self._stale

    @stale.setter
    def stale(self, stale: bool) -> None:
        self._stale = stale
        if not stale:
            for publication in self._written.values():
                self._show(publication)

    def publish(self, publication: Publication) -> None:
        """
        Show *publication*, unless a later one of the same epoch is written.
        """
        self._works()
        try:
            parse_jwks(publication.document.jwks)
        except KeyMaterialError as error:
            raise PublicationError(f"{self._name}: {error}") from error
        name, new = publication.document.keyset, publication.document
        old = self._written[name].document if name in self._written else None
        if old and old.epoch == new.epoch and old.sequence > new.sequence:
            return
        if self._written.get(name) == publication:
            return
        with self.fuses.effect(f"publish {self._name}"):
            self._written[name] = publication
            if not self._stale:
                self._show(publication)

    def served_kids(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids that consumers see.
        """
        self._works()
        visible = self._visible.get(publication.document.keyset)
        return None if visible is None else tuple(parse_jwks(visible.document.jwks))

    def read_back(self, publication: Publication) -> None:
        """
        Return when every key is visible, member for member.
        """
        self._works()
        visible = self._visible.get(publication.document.keyset)
        seen = parse_jwks(visible.document.jwks) if visible else {}
        for kid, member in parse_jwks(publication.document.jwks).items():
            if seen.get(kid) != member:
                raise PublicationError(f"{self._name}: {kid} is not there")

    def close(self) -> None:
        """
        Count the call.
        """
        self.closed += 1

    def withdraw(self, keyset: str) -> None:
        """
        Serve a keyset no more.
        """
        self._works()
        with self.fuses.effect(f"withdraw {self._name}"):
            self.lose(keyset)

    def lose(self, keyset: str) -> None:
        """
        Forget a keyset, as a publisher that lost its disk does.
        """
        self._written.pop(keyset, None)
        self._visible.pop(keyset, None)
        self.history.append((self._clock.now(), keyset, frozenset()))

    def serve(self, publication: Publication) -> None:
        """
        Make consumers see *publication*, whatever was published: an old replica, a restored file.
        """
        self._written[publication.document.keyset] = publication
        self._show(publication)

    def visible(self, keyset: str) -> Publication | None:
        """
        Return what consumers see now.
        """
        return self._visible.get(keyset)

    def _show(self, publication: Publication) -> None:
        name = publication.document.keyset
        if self._visible.get(name) != publication:
            self._visible[name] = publication
            self.history.append((self._clock.now(), name, frozenset(parse_jwks(publication.document.jwks))))

    def _works(self) -> None:
        if self.failing:
            raise PublicationError(f"{self._name} fails")


_pool: list[GeneratedKey] = []
_pool_lock = threading.Lock()


class PooledKeyGenerator:
    """
    A KeyGenerator that is cheap and repeatable.

    RSA pairs are real, from a pool that the session fills as needed, and never given twice by one keygen. Secrets,
    op_ids and epochs are counted. Let the daemons of one test share one keygen.
    """

    def __init__(self) -> None:
        self.made: list[GeneratedKey] = []
        self._pairs = 0
        self._names = 0
        self._seal_keys = 0
        self._lock = threading.Lock()

    def generate(self, algorithm: Algorithm, rsa_bits: int) -> GeneratedKey:  # noqa: ARG002 - all pairs of the pool are of 2048 bits
        """
        Return the next key.
        """
        with self._lock:
            made = self._secret() if algorithm.symmetric else self._pair()
            self.made.append(made)
            return made

    def seal_key(self) -> SecretText:
        """
        Return the next seal key, counted.
        """
        with self._lock:
            self._seal_keys += 1
            return SecretText(f"{self._seal_keys:060x}5ea1")

    def op_id(self) -> str:
        """
        Return the next name of a save.
        """
        return self._name("op")

    def epoch(self) -> str:
        """
        Return the next name of a life.
        """
        return self._name("epoch")

    def _name(self, what: str) -> str:
        with self._lock:
            self._names += 1
            return f"{what}-{self._names}"

    def _secret(self) -> GeneratedKey:
        number = len(self.made) + 1
        return GeneratedKey(Kid(f"{number:032x}"), HmacSecret(SecretText(f"{number:064x}")), None)

    def _pair(self) -> GeneratedKey:
        with _pool_lock:
            if self._pairs == len(_pool):
                _pool.append(pair_of(rsa.generate_private_key(public_exponent=65537, key_size=2048), Algorithm.RS256))
            self._pairs += 1
            return _pool[self._pairs - 1]
