"""
Where the client tells what happens: the standard library's logger `rotator.client`.
"""

import logging


class StdlibLog:
    """
    A log for what the adapters tell, as lines of the standard library's logger `rotator.client`.
    """

    _log = logging.getLogger("rotator.client")

    def debug(self, event: str, **fields: object) -> None:
        """
        Tell what only a developer wants to know.
        """
        self._log.debug("%s %s", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """
        Tell a step.
        """
        self._log.info("%s %s", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """
        Tell what may need a look.
        """
        self._log.warning("%s %s", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """
        Tell an alarm.
        """
        self._log.error("%s %s", event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """
        Tell an alarm with the exception being handled.
        """
        self._log.error("%s %s", event, fields)
