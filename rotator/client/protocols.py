"""
What a keyset kept fresh is to those who use it, and what hints of changes are to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rotator.client.jose.keys import Keys


class Provider(Protocol):
    """
    Who has keys for a Verifier and a Signer: a KeysetReader, or StaticKeys.
    """

    def verifying(self, *, wait: bool = True) -> Keys:
        """
        Return the keys to verify with; raises KeysUnavailableError, without trying to get some unless it may *wait*.
        """
        ...

    def signing(self) -> Keys:
        """
        Return the keys to sign with; raises KeysUnavailableError.
        """
        ...

    def search(self, kid: str) -> Keys | None:
        """
        Return keys that hold *kid* after looking for it anew, None where there is no such key or no looking now.
        """
        ...

    async def asearch(self, kid: str) -> Keys | None:
        """
        Do as `search` does, and hold up neither an event loop nor one of its threads: anybody can name unknown kids.
        """
        ...

    def refresh(self) -> Keys:
        """
        Read now, and return the keys to verify with; those in hand where that fails. Raises KeysUnavailableError.
        """
        ...

    async def arefresh(self) -> Keys:
        """
        Do as `refresh` does.
        """
        ...


class Listener(Protocol):
    """
    Somebody who listens for hints, from now until `stop`.
    """

    fault: str

    def stop(self) -> None:
        """
        Listen no more.
        """
        ...


class Hints(Protocol):
    """
    A place that tells of changes, such as RedisHints. Without any authority: whoever is told reads again.
    """

    def listen(self, on_hint: Callable[[str, str, int], None], on_gap: Callable[[], None]) -> Listener:
        """
        Call *on_hint* with keyset, epoch and sequence of a change, *on_gap* where some may have been missed.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """
    How a reader is doing, for a readiness probe: `age` in seconds of what it read, `fault` of the last reading or "".

    `stale`: it gives no keys, for they are too old, or it is closed.
    """

    place: str
    age: float | None
    stale: bool
    fault: str
    epoch: str
    sequence: int
    hints: str
