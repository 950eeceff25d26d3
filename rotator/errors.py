"""
The errors of rotator: one root, a family for each thing that can be wrong.

They stand apart from what raises them so that any module may import them. Messages start in lower case, end without a full
stop, say what and which, name the way out where there is one, and never hold key material.
"""


class RotatorError(Exception):
    """
    The root of all errors that rotator raises on purpose.
    """


class ConfigError(RotatorError):
    """
    The configuration, or an option of a command, cannot work as it is; every fault found is in `faults`.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class StoreError(RotatorError):
    """
    The store of keysets did not do what was asked.
    """


class StoreConflictError(StoreError):
    """
    The compare-and-set was lost: somebody else saved first. Not a fault; it means "look again".
    """


class StoreUnavailableError(StoreError):
    """
    The store cannot be reached, is sealed, or gave an answer that proves nothing. Trying again later may help.
    """


class StoreDeniedError(StoreError):
    """
    The store refused our credentials, or what they may do; the message names the missing capability.
    """


class DocumentError(StoreError):
    """
    A stored document is not one of ours, or of a schema newer than this program knows.
    """


class FrozenError(StoreError):
    """
    What is stored contradicts what was seen before; only a person can say which is right.
    """


class PublicationError(RotatorError):
    """
    A JWKS could not be published, or was not found where consumers read it.
    """


class NotificationError(RotatorError):
    """
    Redis could not be told; never a reason to hold a rotation.
    """


class KeyMaterialError(RotatorError):
    """
    Key material is unfit: too short, malformed, of another type, or private where only public may be.
    """


class InvariantError(RotatorError):
    """
    A transition would break the promise; it was refused before anything was saved.
    """


class RefusedError(RotatorError):
    """
    A command was understood and refused because it is not safe now.
    """


class ArgumentError(RotatorError):
    """
    An argument of a command names nothing that is there, or cannot go with another.
    """


class WeakSecretError(KeyMaterialError):
    """
    A shared secret has fewer than 256 bits, or is text that can be guessed; the message says how to make a strong one.
    """
