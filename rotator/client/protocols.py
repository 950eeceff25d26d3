"""
What a provider of keys is to verifiers and signers, and what hints of changes are to a reader.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rotator.client.errors import Doubt
from rotator.client.jose.keys import Keys
from rotator.model.event import Hint


class Provider(Protocol):
    """
    A source of keys for a Verifier and a Signer: a KeysetReader, or StaticKeys.
    """

    def verifying(self, *, wait: bool = True) -> Keys:
        """
        Return the keys to verify with.

        If there are none, and *wait* allows it, wait for some; raises KeysUnavailableError.
        """
        ...

    def signing(self) -> Keys:
        """
        Return the keys to sign with; raises KeysUnavailableError.
        """
        ...

    def search(self, kid: str) -> Keys | None:
        """
        Refresh to find *kid*, if that is allowed now; return keys that hold it, or None.
        """
        ...

    async def asearch(self, kid: str) -> Keys | None:
        """
        Do as `search` does, but block neither the event loop nor one of its threads: anyone can name unknown kids.
        """
        ...

    def refresh(self) -> Keys:
        """
        Refresh now, and return the keys to verify with, which are the cached ones if that fails.

        Raises KeysUnavailableError.
        """
        ...

    async def arefresh(self) -> Keys:
        """
        Do as `refresh` does, without blocking the event loop.
        """
        ...


class Listener(Protocol):
    """
    A listener for hints, which listens until `stop`; `fault` says why it hears none, or is "".
    """

    fault: str

    def stop(self) -> None:
        """
        Stop listening.
        """
        ...


class Hints(Protocol):
    """
    A place that announces changes, such as RedisHints. It has no authority: a hint only makes a reader refresh.
    """

    def listen(self, on_hint: Callable[[Hint], None], on_gap: Callable[[], None]) -> Listener:
        """
        Call *on_hint* for each change, and *on_gap* after any may have been missed.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """
    The state of a reader, for a readiness probe: `age` of its keys in seconds, `fault` of the last refresh or "".

    `stale` means that it gives no keys to verify with: they are too old, there are none, or the reader is closed.
    `doubt` says why its keys may be the past, with the details in `fault`: UNREAD, the last refresh failed; UNSEEN, no
    daemon saved the document for so long that it does not sign; BEHIND, a change that was announced does not arrive.
    """

    place: str
    age: float | None
    stale: bool
    fault: str
    epoch: str
    sequence: int
    hints: str
    doubt: Doubt | None = None
