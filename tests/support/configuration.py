"""
Configurations of a test, and what is wrong with them.
"""

from collections.abc import Callable

from rotator.config.schema import TABLES
from rotator.config.settings import Settings

MINIMAL = "[keysets.web]\n"
CANARY = "hunter2-Xy9_canary"
OPTIONS = [(table, option) for table, kind in TABLES.items() for option in kind._fields]
Read = Callable[..., Settings]
FaultsOf = Callable[..., list[str]]
