"""
The structured log: events with fields, no sentences.
"""

from typing import Protocol


class Log(Protocol):
    """
    A structured log: an event name and fields, never sentences and never key material.
    """

    def debug(self, event: str, **fields: object) -> object:
        """
        Log what only a developer needs.
        """
        ...

    def info(self, event: str, **fields: object) -> object:
        """
        Log a step.
        """
        ...

    def warning(self, event: str, **fields: object) -> object:
        """
        Log what an operator may want to check.
        """
        ...

    def error(self, event: str, **fields: object) -> object:
        """
        Log an alarm.
        """
        ...

    def exception(self, event: str, **fields: object) -> object:
        """
        Log the exception being handled, without local variables.
        """
        ...
