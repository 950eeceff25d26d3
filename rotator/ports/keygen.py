"""
Where new keys and names come from.
"""

from typing import Protocol

from rotator.model.algorithms import Algorithm
from rotator.model.keys import GeneratedKey


class KeyGenerator(Protocol):
    """
    Makes keys and names; tests bring their own, cheap and repeatable.
    """

    def generate(self, algorithm: Algorithm, rsa_bits: int) -> GeneratedKey:
        """
        Return a new key, proved fit for use.
        """
        ...

    def op_id(self) -> str:
        """
        Return a name for a save.
        """
        ...

    def epoch(self) -> str:
        """
        Return a name for a new keyset's life.
        """
        ...
