"""
Where steps are told.
"""

from typing import Protocol


class Log(Protocol):
    """
    Where steps are told: an event name and fields, never sentences and never key material.
    """

    def debug(self, event: str, **fields: object) -> object:
        """
        Tell what only a developer wants to know.
        """
        ...

    def info(self, event: str, **fields: object) -> object:
        """
        Tell a step.
        """
        ...

    def warning(self, event: str, **fields: object) -> object:
        """
        Tell what may need a look.
        """
        ...

    def error(self, event: str, **fields: object) -> object:
        """
        Tell an alarm.
        """
        ...

    def exception(self, event: str, **fields: object) -> object:
        """
        Tell the exception being handled, without local variables.
        """
        ...
