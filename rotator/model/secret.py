"""
Secret text that is not printed, logged, compared in variable time or pickled by accident.

`grep reveal` lists every place that reads key material.
"""

import hmac
import re
import weakref
from typing import NoReturn

_GENERATED = re.compile(r"[0-9a-f]{64}|-----BEGIN ")
_live: "weakref.WeakSet[SecretText]" = weakref.WeakSet()


class SecretText:
    """
    The text of an HMAC secret, or a private key as PEM; `reveal()` is the only way to it.

    Equality takes constant time. Pickling and copying are refused, and the hash says nothing of the text.
    """

    __slots__ = ("__weakref__", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        # The log's redaction knows the shape of generated secrets and of PEM; imported secrets have none.
        if not _GENERATED.match(text):
            _live.add(self)

    def reveal(self) -> str:
        """
        Return the text itself. Never log, format or raise what this returns.
        """
        return self._text

    def __repr__(self) -> str:
        return f"SecretText({len(self._text)} characters)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretText):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        # By identity, for the weak set only: a hash of the text would be something computed from a secret.
        return id(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


def live_secrets() -> tuple[str, ...]:
    """
    Return the secrets alive in this process that have no recognisable shape (imported ones), for the log's redaction.
    """
    return tuple(secret.reveal() for secret in tuple(_live))
