"""
What a command works with.
"""

from dataclasses import dataclass

from rotator.ports.store import DocumentStore
from rotator.reconcile.operator_effects import OperatorEffects
from rotator.reconcile.publishing import Publishing


@dataclass(frozen=True, slots=True)
class Operator:
    """
    The store to read, the publications to read back, and the effects of what is asked for.
    """

    store: DocumentStore
    publishing: Publishing
    effects: OperatorEffects

    def close(self) -> None:
        """
        Close the connections to the store, to publishers and to Redis.
        """
        self.publishing.close()
        self.store.close()
