"""
The errors of the daemon and its commands, as one tree.

    RotatorError
    ├── ConfigError               the configuration cannot work
    ├── StoreError                a document was not read or written
    │   ├── StoreConflictError    another process saved first
    │   ├── StoreUnavailableError the store did not answer, or not usefully
    │   │   ├── LaggingError      the store shows an older sequence than was seen
    │   │   └── LostReplyError    a write may have happened
    │   ├── StoreDeniedError      the store refused our credentials or rights
    │   ├── DocumentError         a stored document is not ours, or too new
    │   ├── StandbyLostError      the private key of `next` is missing
    │   ├── FrozenError           what is stored contradicts what was seen
    │   │   └── EditedError       a stored document was changed by another hand
    │   └── RemovedError          a person removed the keyset for good
    ├── PublicationError          a JWKS did not reach its consumers
    │   ├── OutrunError           another hand showed a later sequence than ours
    │   ├── PublicationPendingError  the answer that tells is on its way
    │   └── PrivateKeyPublishedError a place shows a private key
    ├── NotificationError         an event did not reach Redis
    ├── KeyMaterialError          a key is unfit
    │   └── WeakSecretError       a shared secret can be guessed
    ├── InvariantError            a transition would break a guarantee
    ├── RefusedError              a command is not safe now
    ├── ArgumentError             a command's argument makes no sense
    ├── UnsafePathError           a file could be swapped under us
    └── LastSeenWriteError        the state folder cannot be written

The client adds its own below the same root (`rotator.client.errors`). Messages start in lower case, end without a full
stop, say what and which, name the way out if there is one, and never hold key material.
"""


class RotatorError(Exception):
    """
    The root of all errors that rotator raises on purpose.
    """


class ConfigError(RotatorError):
    """
    The configuration, or an option of a command, cannot work as it is; `faults` holds every fault found.
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
    The compare-and-set was lost: another process saved first. Not a fault; it means "load again".
    """


class StoreUnavailableError(StoreError):
    """
    The store cannot be reached, is sealed, or gave an answer that proves nothing. Another try later may succeed.
    """


class LaggingError(StoreUnavailableError):
    """
    The store shows an older sequence than was seen: a lagging replica, or a backup that was restored.
    """


class LostReplyError(StoreUnavailableError):
    """
    The request was sent and what came back proves nothing: it may have been carried out.
    """


class StoreDeniedError(StoreError):
    """
    The store refused the credentials, or they lack a capability, which the message names.
    """


class DocumentError(StoreError):
    """
    A stored document is damaged, was not written by rotator, or is *newer* than this version knows.
    """

    def __init__(self, text: str, *, newer: bool = False) -> None:
        super().__init__(text)
        self.newer = newer


class StandbyLostError(StoreError):
    """
    The standby document does not hold the private key of `next`.
    """


class FrozenError(StoreError):
    """
    The stored document contradicts what was seen before. Only a person can say which of the two is right.
    """


class EditedError(FrozenError):
    """
    A stored document is not what rotator wrote: another hand changed it. It is never believed.
    """


class RemovedError(StoreError):
    """
    A person removed the keyset for good, and its gravestone says so.
    """


class PublicationError(RotatorError):
    """
    A JWKS could not be published, or was not found where consumers read it.
    """


class PublicationPendingError(PublicationError):
    """
    A place where consumers read was asked and has not answered yet. Not a fault; it means "ask again soon".
    """


class OutrunError(PublicationError):
    """
    A place shows a document of another hand, whose *sequence* readers take for later than ours: ours must be saved above it.
    """

    def __init__(self, text: str, sequence: int = 0) -> None:
        super().__init__(text)
        self.sequence = sequence


class PrivateKeyPublishedError(PublicationError):
    """
    A place where consumers read shows the private key of *kids*, which are ours. Its value is in no message.
    """

    def __init__(self, text: str, *kids: str) -> None:
        super().__init__(text)
        self.kids = kids


class NotificationError(RotatorError):
    """
    An event could not be sent to Redis. It never holds a rotation: the event is sent again later.
    """


class KeyMaterialError(RotatorError):
    """
    Key material is unfit: too short, malformed, of another type, or private in a place for public keys.
    """


class WeakSecretError(KeyMaterialError):
    """
    A shared secret has fewer than 256 bits, or is text that can be guessed; the message says how to make a strong one.
    """


class InvariantError(RotatorError):
    """
    A transition would break a guarantee; it was refused before anything was saved.
    """


class RefusedError(RotatorError):
    """
    A command was understood and refused because it is not safe now.
    """


class ArgumentError(RotatorError):
    """
    An argument of a command names nothing that exists, or contradicts another.
    """


class UnsafePathError(RotatorError):
    """
    A file could be swapped under us: a symbolic link, no regular file, or in a folder that others may write to.
    """


class LastSeenWriteError(RotatorError):
    """
    What was seen could not be written to the state folder; this process still knows it, the next one will not.
    """
