"""
The JWS compact serialization (RFC 7515 section 7.1), read more strictly than the RFC asks. Pure.

A token has at most 8 KiB, three segments of canonical base64url, and JSON objects in UTF-8: no member twice, at most 16
levels deep, no NaN, no 1e400. So the same token has one spelling only, and nothing in it can be read in two ways.
"""

import json
import math
from binascii import a2b_base64, b2a_base64
from typing import Any, NoReturn

MAX_TOKEN = 8192
MAX_HEADER = 1024
MAX_DEPTH = 16
_PADDING = (b"", b"=", b"==", b"===")
# To the standard alphabet, which `binascii` reads; the two characters of that one which base64url lacks are in neither.
_TO_STANDARD = bytes.maketrans(b"-_+/", b"+/!!")


def split(token: object) -> tuple[str, str, str]:
    """
    Return header, payload and signature of a compact JWS, still encoded; raises ValueError for anything else.
    """
    if not isinstance(token, str) or len(token) > MAX_TOKEN or not token.isascii():
        raise ValueError("not a compact JWS")
    header, payload, signature = token.split(".")
    if not header or not signature:
        raise ValueError("not a compact JWS")
    return header, payload, signature


def decode_segment(segment: str) -> bytes:
    """
    Return the bytes of canonical base64url without padding (RFC 7515 section 2).

    Raises ValueError for any other spelling.
    """
    standard = segment.encode().translate(_TO_STANDARD)
    data = a2b_base64(standard + _PADDING[-len(standard) % 4])
    # Encoded again, canonical base64url is the same text: no stray character, padding or unused bit was passed over.
    if b2a_base64(data, newline=False).rstrip(b"=") != standard:
        raise ValueError("not canonical base64url")
    return data


def parse_object(data: bytes) -> dict[str, Any]:
    """
    Return the JSON object that *data* is; raises ValueError for anything else.
    """
    text = data.decode()
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one error for all that may be wrong with a token
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if "\\u" in text:
        # A lone surrogate is not a character: code that used such a text would fail later, and elsewhere.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member appears twice")
    return members


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("not a number in JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        # 1e400 is JSON, but it would be written again as Infinity, which is not.
        raise ValueError("a number out of range")
    return value


def _depth(value: object) -> int:
    """
    Return how deeply objects and arrays are nested; counted level by level, so that depth costs no stack.
    """
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
