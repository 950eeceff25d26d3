"""
Removes key material from text that leaves the process: the last resort behind types that hide their secrets.

It recognises PEM and its base64, 256 bits as hex, long base64, Vault tokens, JWTs, private members of a JWK, and every
secret that is alive in this process (`rotator.model.secret`). Kids and UUIDs stay readable. Every log line passes here
(`logs.py`), and so do alarms on /readyz, the status for systemd, and what commands print to stderr.
"""

import base64
import json
import re

from rotator.model.secret import live_secrets

REDACTED = "[redacted]"
MIN_LIVE = 6

# repr, JSON or both may have escaped a line break; a list of lines has quotes and commas instead.
_BREAK = r"""\\{1,4}[nr]|\\{0,3}['"],\s?\\{0,3}b?\\{0,3}['"]"""
_PEM_BODY = rf"(?:[A-Za-z0-9+/=\s]|{_BREAK})*"
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"-----BEGIN [A-Z0-9 ]{{1,40}}-----{_PEM_BODY}-----END [A-Z0-9 ]{{1,40}}-----",
        r"-----BEGIN [A-Z0-9 ]{1,40}-----(?:[A-Za-z0-9+/=\s]|\\{1,4}[nr])*",
        r"LS0tLS1CRUdJTi[A-Za-z0-9+/_=-]*",
        r"MII[A-Za-z0-9+/_-]{17,}={0,2}(?:(?:\s|\\{1,4}[nr])+[A-Za-z0-9+/]{16,}={0,2})*",
        r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{64}(?![A-Za-z0-9+/])",
        r"[0-9a-fA-F]{64,}",
        r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){1,4}",
        r"hv[sbr]\.[A-Za-z0-9_-]{8,}",
        r"(?:(?<=\\n)|(?<![A-Za-z0-9_]))[sbr]\.[A-Za-z0-9]{24,}",
    )
)
_MEMBER = re.compile(
    r"""(?P<name>(?P<quote>\\{0,4}["'])(?:d|p|q|dp|dq|qi|k|priv)(?P=quote)\s?:\s?b?(?P<open>\\{0,4}["']))[^"'\\]*"""
)
_LONG = re.compile(r"[A-Za-z0-9+/_-]{80,}={0,2}")


def redact(text: str) -> str:
    """
    Return *text* with everything that resembles key material replaced; JSON stays valid JSON.
    """
    # The longest first: a shorter secret within it must not break it up.
    for secret in sorted(live_secrets(), key=len, reverse=True):
        if len(secret) >= MIN_LIVE:
            text = re.sub(_patterns_of(secret), REDACTED, text)
    for pattern in _PATTERNS:
        text = pattern.sub(REDACTED, text)
    text = _MEMBER.sub(rf"\g<name>{REDACTED}", text)
    return _LONG.sub(_unless_path, text)


def _unless_path(match: re.Match[str]) -> str:
    """
    Keep the paths of a traceback, which have many slashes: in base64 one character of 64 is a slash.
    """
    return match[0] if match[0].count("/") * 16 > len(match[0]) else REDACTED


def _patterns_of(secret: str) -> str:
    """
    Return a pattern of *secret* as it is, escaped by repr or JSON any number of times, as base64 and as hex.
    """
    data = secret.encode(errors="surrogatepass")
    encoded = (base64.b64encode(data), base64.urlsafe_b64encode(data), data.hex().encode())
    return "|".join([*(re.escape(form.decode().rstrip("=")) for form in encoded), "".join(map(_escaped, secret))])


def _escaped(char: str) -> str:
    if char in "\"'":
        return rf"\\*{char}"
    if char == "\\":
        return r"\\+"
    if " " <= char <= "~":
        return re.escape(char)
    names = {
        json.dumps(char)[1:-1],
        repr(char)[1:-1],
        ascii(char)[1:-1],
        repr(char.encode(errors="surrogatepass"))[2:-1],
    }
    names |= {f"\\x{ord(char):02x}", f"\\u{ord(char):04x}"}
    forms = [re.escape(name).replace(r"\\", r"\\+") for name in sorted(names - {char})]
    return f"(?:{'|'.join([re.escape(char), *forms])})"
