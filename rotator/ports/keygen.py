"""
The source of new keys and names.
"""

from typing import Protocol

from rotator.model.algorithms import Algorithm
from rotator.model.keys import GeneratedKey
from rotator.model.secret import SecretText


class KeyGenerator(Protocol):
    """
    Makes keys and names; tests use their own, cheap and repeatable.
    """

    def generate(self, algorithm: Algorithm, rsa_bits: int) -> GeneratedKey:
        """
        Return a new key for *algorithm*; a pair has signed and verified once. *rsa_bits* counts for RSA only.
        """
        ...

    def seal_key(self) -> SecretText:
        """
        Return 256 random bits as 64 hex digits: what seals the documents of a keyset.
        """
        ...

    def op_id(self) -> str:
        """
        Return a name for a save.
        """
        ...

    def epoch(self) -> str:
        """
        Return a name for the life of a new keyset.
        """
        ...
