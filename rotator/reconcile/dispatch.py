"""
Handing keysets to workers: side by side, or one after another while the store lets few requests through.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress

from rotator.errors import NotificationError
from rotator.ports.log import Log
from rotator.ports.notifier import Notifier

Announced = Mapping[str, str] | None


class Dispatcher:
    """
    Makes passes over keysets that the queue has marked busy: by *reconcile*, or by *release* if one is left for later.

    *limited* says whether keysets had better not compete, *held* whether no more passes are to begin now.
    """

    def __init__(
        self,
        reconcile: Callable[[str, Announced], None],
        release: Callable[[str], None],
        notifier: Notifier | None,
        log: Log,
        limited: Callable[[], bool],
        held: Callable[[], bool],
    ) -> None:
        self._reconcile = reconcile
        self._release = release
        self._notifier = notifier
        self._log = log
        self._limited = limited
        self._held = held
        self._discover: Callable[[], None] | None = None
        self._discover_first = False

    def discover_with(self, discover: Callable[[], None], *, first: bool) -> None:
        """
        Call *discover* at each pass, beside it, or *first*, once, before it. It raises nothing.
        """
        self._discover, self._discover_first = discover, first

    def discover(self) -> None:
        """
        Look for more keysets now.
        """
        if self._discover is not None:
            self._discover()

    def dispatch(self, names: Sequence[str], workers: Executor) -> None:
        """
        Make a pass over each of *names*, here and in *workers*. Runs in a worker itself.
        """
        if self._discover_first:
            self._discover_first = False
            self.discover()
        elif self._discover is not None:
            with suppress(RuntimeError):  # the daemon is stopping
                workers.submit(self._discover)
        announced = self.announced(names)
        if self._limited():
            self._one_after_another(names, announced)
            return
        for name in names[1:]:
            try:
                workers.submit(self._beside, name, announced)
            except RuntimeError:  # the same
                self._release(name)
        self._reconcile(names[0], announced)

    def announced(self, names: Sequence[str]) -> Announced:
        """
        Return the positions in the feed, None if there is no feed or it cannot be read.
        """
        if self._notifier is None:
            return None
        try:
            return self._notifier.announced(names)
        except NotificationError as error:
            self._log.debug("announced_unknown", detail=str(error))
            return None

    def _one_after_another(self, names: Sequence[str], announced: Announced) -> None:
        for name in names:
            if self._limited() and not self._held():
                self._reconcile(name, announced)
            else:
                self._release(name)

    def _beside(self, name: str, announced: Announced) -> None:
        if self._limited():
            self._release(name)
        else:
            self._reconcile(name, announced)
