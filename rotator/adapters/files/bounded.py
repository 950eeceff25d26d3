"""
Work on files that may hang, as on a network mount whose server is away: given up after a while.
"""

import errno
import threading
from collections.abc import Callable
from typing import TypeVar

TIMEOUT = 5.0
_T = TypeVar("_T")


class BoundedCalls:
    """
    Makes calls in threads of their own, and gives one up after *timeout* seconds. Safe to use from several threads.

    No program can end a call that hangs in the file system. So the thread stays, but only one: while it hangs, later
    calls fail at once.
    """

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._hanging: threading.Thread | None = None

    def call(self, work: Callable[[], _T]) -> _T:
        """
        Return what *work* returns, and raise what it raises; raises TimeoutError, a kind of OSError, if it hangs.
        """
        if self._hanging is not None:
            if self._hanging.is_alive():
                raise self._timed_out("an earlier call still hangs")
            self._hanging = None
        results: list[_T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
                errors.append(error)

        thread = threading.Thread(target=run, name="files", daemon=True)
        thread.start()
        thread.join(self._timeout)
        if errors:
            raise errors[0]
        if not results:
            self._hanging = thread
            raise self._timed_out(f"no answer within {self._timeout:g} s")
        return results[0]

    @staticmethod
    def _timed_out(what: str) -> TimeoutError:
        return TimeoutError(errno.ETIMEDOUT, f"the file system hangs ({what}); is it a network mount that is away?")
