"""
Whether a text that a person chose is fit to be an HMAC secret: 256 bits (RFC 7518 section 3.2), and not guessable.

Random secrets pass, whatever their alphabet. Texts made of common words, sequences and repetitions do not.
"""

import math
import re
import zlib
from base64 import urlsafe_b64decode
from collections import Counter
from contextlib import suppress

from rotator.errors import WeakSecretError

MIN_BYTES = 32
MIN_BITS = 100  # a random text of 256 bits is estimated at 130 to 200
_BITS_OF_A_WORD = 11
_BITS_OF_A_BYTE = 6  # in hexadecimal; so that 128 bits never pass, and 192 do
_WAY_OUT = "make one with `rotator generate` (256 random bits as 64 hex digits)"
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")
_ENCODINGS = (
    (_HEXADECIMAL, bytes.fromhex),
    (re.compile(r"[A-Za-z0-9+/_-]+={0,2}"), lambda text: urlsafe_b64decode(text + "=" * (-len(text) % 4))),
)
# A public key is long and random, but everyone may know it.
_KEY_OF_A_PAIR = re.compile(r'-----BEGIN |---- BEGIN |"kty"|^\s*(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-')
_COMMON = re.compile(
    r"secret|passw(?:or)?d|passphrase|change|please|replace|default|example|sample|insecure|private|public|token|admin|"
    r"production|development|staging|testing|signing|session|cookie|random|string|super|strong|hello|world|jwt|hmac|sha|"
    r"auth|test|prod|demo|todo|your|this|that|with|must|should|very|long|key|the|not|for|and|least|bits?|bytes?|"
    r"characters?|256|384|512|20[0-9]{2}|qwerty|asdf|letmein|correct|horse|battery|staple|my|me|is|at|an?|be|to|of|in|"
    r"quick|brown|fox|jumps|over|lazy|dog|1qaz|2wsx|3edc|4rfv|5tgb|6yhn|7ujm|8ik|9ol",
    re.IGNORECASE,
)


def require_strong(text: str, what: str) -> None:
    """
    Raise WeakSecretError unless *text* may be a shared secret; *what* names it in the message, which never holds it.
    """
    size = _size(text, what)
    if size < MIN_BYTES:
        raise WeakSecretError(f"{what} has {size} bytes, fewer than {MIN_BYTES}: too weak to sign with; {_WAY_OUT}")
    if _KEY_OF_A_PAIR.search(text):
        raise WeakSecretError(f"{what} is a PEM key, an SSH key or a JWK, and no shared secret; {_WAY_OUT}")
    if guessable_bits(text) < MIN_BITS:
        at_most = (
            f"holds at most {4 * len(text)} bits, in hexadecimal digits, or " if _HEXADECIMAL.fullmatch(text) else ""
        )
        raise WeakSecretError(f"{what} {at_most}can be guessed: common words, sequences or repetition; {_WAY_OUT}")


def _size(text: object, what: str) -> int:
    if not isinstance(text, str):
        raise WeakSecretError(f"{what} is not set, or no text ({type(text).__name__}); {_WAY_OUT}")
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        # Not chained: such an error holds the text. A variable in the environment may be any bytes.
        raise WeakSecretError(f"{what} is not UTF-8 text; {_WAY_OUT}") from None


def guessable_bits(text: str) -> float:
    """
    Estimate, from above, how many bits an attacker who tries common words, sequences and repetitions must guess.

    Writing the same text as base64 or hexadecimal adds none.
    """
    return min(map(_bits, [text, *_decoded(text)]))


def _decoded(text: str) -> list[str]:
    found = []
    for alphabet, decode in _ENCODINGS:
        with suppress(ValueError):
            inner = decode(text).decode("ascii") if alphabet.fullmatch(text) else ""
            if inner.isprintable() and inner:
                found.append(inner)
    return found


def _bits(text: str) -> float:
    hexadecimal = _HEXADECIMAL.fullmatch(text) is not None
    once = _once(text)
    rest = _unexpected(once if hexadecimal else _COMMON.sub(" ", once))
    # Repetition deflates well; an empty stream takes 2 bytes.
    by_repetition = 8 * (len(zlib.compress(rest.encode(errors="surrogatepass"), 9, wbits=-15)) - 2)
    words = once.split()
    by_word = _BITS_OF_A_WORD * len(words) if len(words) > 1 else math.inf
    # In hexadecimal, bytes that count up are not seen as a sequence.
    by_byte = math.inf
    if hexadecimal and len(text) % 2 == 0:
        by_byte = _BITS_OF_A_BYTE * len(set(_unexpected(bytes.fromhex(text).decode("latin-1"))))
    counts = Counter(rest)
    by_character = sum(count * math.log2(len(rest) / count) for count in counts.values())
    return min(by_character, by_repetition, by_word, by_byte)


def _once(text: str) -> str:
    """
    Return the shortest start of *text* that, repeated, gives all of it.
    """
    borders = [0] * len(text)
    for place in range(1, len(text)):
        border = borders[place - 1]
        while border and text[place] != text[border]:
            border = borders[border - 1]
        borders[place] = border + (text[place] == text[border])
    return text[: len(text) - borders[-1]] if text else ""


def _unexpected(text: str) -> str:
    return "".join(char for before, char in zip(" " + text, text, strict=False) if not _continues(before, char))


def _continues(before: str, char: str) -> bool:
    """
    Whether *char* is easy to guess after *before*: the same, or its neighbour.
    """
    return abs(ord(char) - ord(before)) <= 1
