"""
The client's log: the standard library's logger `rotator.client`.
"""

import logging


class StdlibLog:
    """
    A Log that writes each event as a line of the standard library's logger `rotator.client`.
    """

    _log = logging.getLogger("rotator.client")

    def debug(self, event: str, **fields: object) -> None:
        """
        Log what only a developer needs.
        """
        self._log.debug("%s %s", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """
        Log a normal step.
        """
        self._log.info("%s %s", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """
        Log what may need attention.
        """
        self._log.warning("%s %s", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """
        Log an alarm.
        """
        self._log.error("%s %s", event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """
        Log an alarm, without the traceback of the exception being handled: it could quote a secret.
        """
        self._log.error("%s %s", event, fields)
