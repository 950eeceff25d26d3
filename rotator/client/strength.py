"""
Whether a text that somebody chose is fit to be an HMAC secret: 256 bits, and not to be guessed.

Random secrets pass, whatever their alphabet. What a person typed from common words, sequences and repetitions does not.
"""

import math
import re
import zlib
from collections import Counter

from rotator.client.errors import WeakSecretError

SHORTEST = 32
FEWEST_BITS = 100  # a random text of 256 bits is estimated at 130 to 200
_BITS_OF_A_WORD = 11
_WAY_OUT = "make one with `rotator generate` (256 random bits as 64 hex digits)"
_COMMON = re.compile(
    r"secret|passw(?:or)?d|passphrase|change|please|replace|default|example|sample|insecure|private|public|token|admin|"
    r"production|development|staging|testing|signing|session|cookie|random|string|super|strong|hello|world|jwt|hmac|sha|"
    r"auth|test|prod|demo|todo|your|this|that|with|must|should|very|long|key|the|not|for|and|least|bits?|bytes?|"
    r"characters?|256|384|512|20[0-9]{2}|qwerty|asdf|letmein|correct|horse|battery|staple|my|me|is|at|an?|be|to|of|in",
    re.IGNORECASE,
)


def require_strong(text: str, what: str) -> None:
    """
    Return when *text* may be a shared secret; *what* names it in the WeakSecretError that is raised otherwise.
    """
    size = len(text.encode(errors="surrogatepass"))
    if size < SHORTEST:
        raise WeakSecretError(f"{what} has {size} bytes, fewer than {SHORTEST}: too weak to sign with; {_WAY_OUT}")
    if text.startswith("-----BEGIN "):
        raise WeakSecretError(f"{what} is a PEM key, and no shared secret; {_WAY_OUT}")
    if guessable_bits(text) < FEWEST_BITS:
        raise WeakSecretError(f"{what} can be guessed: common words, sequences or repetition; {_WAY_OUT}")


def guessable_bits(text: str) -> float:
    """
    Return an upper estimate of the bits that *text* holds for whoever knows common words, sequences and repetitions.
    """
    rest = _COMMON.sub(" ", text) if not re.fullmatch(r"[0-9a-fA-F]+", text) else text
    rest = "".join(char for before, char in zip(" " + rest, rest, strict=False) if not _continues(before, char))
    if not rest:
        return 0.0
    counts = Counter(rest)
    by_character = sum(count * math.log2(len(rest) / count) for count in counts.values())
    # What repeats itself deflates; 2 is what an empty stream takes.
    by_repetition = 8 * (len(zlib.compress(rest.encode(errors="surrogatepass"), 9, wbits=-15)) - 2)
    words = text.split()
    by_word = _BITS_OF_A_WORD * len(words) if len(words) > 1 else math.inf
    return min(by_character, by_repetition, by_word)


def _continues(before: str, char: str) -> bool:
    """
    Whether *char* was to be expected after *before*: the same, or its neighbour.
    """
    return abs(ord(char) - ord(before)) <= 1
