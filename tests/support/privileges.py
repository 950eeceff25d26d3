"""
Modes that count for root too.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_VERSION_3 = 0x20080522
_OVER_MODES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_WORDS = ctypes.c_uint32 * 2
_SETS = ctypes.c_uint32 * 6  # effective, permitted, inheritable; then the same for capabilities 32 and up


def with_modes(call: Callable[[], T]) -> T:
    """
    Call *call* as one who obeys the modes of files, which root does not (capabilities(7)).

    In a thread of its own: capabilities belong to a thread, and those given up do not come back.
    """
    with ThreadPoolExecutor(1, initializer=_give_up) as executor:
        return executor.submit(call).result()


def _give_up() -> None:
    libc, header, sets = ctypes.CDLL(None, use_errno=True), _WORDS(_VERSION_3, 0), _SETS()
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    for which in range(2):
        sets[which] &= ~_OVER_MODES
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())
