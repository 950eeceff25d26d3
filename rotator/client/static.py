"""
Keys that do not come from rotator: a secret in the environment, and the former one beside it.
"""

from rotator.client import clock
from rotator.client.arguments import require_timing
from rotator.client.jose.keys import DEFAULT_TIMING, Keys, secret_key
from rotator.errors import ConfigError
from rotator.model.algorithms import Algorithm
from rotator.model.policy import Timing
from rotator.model.secret import SecretText
from rotator.model.strength import require_strong


class StaticKeys:
    """
    A Provider of one secret to sign and verify with, and of former (or coming) ones to verify with.

    Raises WeakSecretError for a secret that is not strong. *timing* bounds lifetimes as a keyset's document does.
    Nothing here rotates, and a kid means nothing: each secret is tried.
    """

    def __init__(
        self, current: str, *former: str | None, algorithm: str = "HS256", timing: Timing = DEFAULT_TIMING
    ) -> None:
        if algorithm not in ("HS256", "HS384", "HS512"):
            raise ConfigError(f"algorithm: {algorithm} does not use a shared secret; HS256, HS384 and HS512 do")
        require_timing(timing)
        name = Algorithm(algorithm)
        texts = [current, *(text for text in former if text)]
        for number, text in enumerate(texts):
            require_strong(text, "the current secret" if number == 0 else f"former secret {number}")
        pairs = [secret_key("", name, text.encode()) for text in texts]
        self._keys = Keys(
            verifying={str(number): key for number, (key, _) in enumerate(pairs)},
            signing=pairs[0][1],
            timing=timing,
            secrets=tuple(SecretText(text) for text in texts),
            read_at=clock.now(),
            named=False,
        )

    def verifying(self, *, wait: bool = True) -> Keys:
        """
        Return all of them.
        """
        del wait
        return self._keys

    def signing(self) -> Keys:
        """
        Return all of them, the current one to sign with.
        """
        return self._keys

    def refresh(self) -> Keys:
        """
        Return all of them.
        """
        return self._keys

    async def arefresh(self) -> Keys:
        """
        Return all of them.
        """
        return self._keys

    def search(self, kid: str) -> None:
        """
        Return None: there are no other keys.
        """
        del kid

    async def asearch(self, kid: str) -> None:
        """
        Return None: there are no other keys.
        """
        del kid
