"""
The seal of a document: proof that rotator wrote it, and that nobody changed it since. Pure.

It is HMAC-SHA-256 over the canonical JSON of all other fields, those that this version does not know too, with a key
that lies in the standby document.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rotator.model.document import Fields
from rotator.model.secret import SecretText

SEAL = "seal"
# What a save that only says "still here" changes.
HEARTBEAT = frozenset({SEAL, "seen_at"})


@dataclass(frozen=True, slots=True)
class Sealing:
    """
    What the standby of a keyset says about seals.

    `key` is None for a keyset that was never sealed. `vouched` is the seal that the document would bear which was there
    when the key was made: it bears none, and is believed until the next save. `thawed_at` is when a person last accepted
    what the store held (`rotator thaw`), whatever was seen before. `remade_at` is when a host that remembered the document
    made a lost key again: the memories of other hosts bear seals that do not fit since. `lost`: the documents bear a seal of
    another key, which is in the standby no more.
    """

    key: SecretText | None = None
    vouched: str = ""
    thawed_at: datetime | None = field(default=None, kw_only=True)
    remade_at: datetime | None = field(default=None, kw_only=True)
    lost: bool = field(default=False, kw_only=True)

    def seal(self, fields: Fields) -> Fields:
        """
        Return *fields* with their seal, or as they are if there is no key.
        """
        return {**fields, SEAL: seal_of(fields, self.key)} if self.key else fields

    def fits(self, fields: Fields) -> bool:
        """
        Return whether *fields* bear their seal; without a key, whether they bear none.
        """
        borne = fields.get(SEAL, "")
        if not isinstance(borne, str):
            return False
        if self.key is None:
            return not borne
        seal = seal_of(fields, self.key).encode()
        return hmac.compare_digest(borne.encode(), seal) or hmac.compare_digest(self.vouched.encode(), seal)

    def excuses(self, committed_at: datetime | None) -> bool:
        """
        Return whether a document *committed_at* that moment may bear a former seal: a person accepted what was there later.
        """
        return self.thawed_at is not None and committed_at is not None and committed_at <= self.thawed_at


NEVER_SEALED = Sealing()


def canonical(fields: Fields, without: frozenset[str] = frozenset()) -> bytes:
    """
    Return *fields* but for those *without*, as JSON that is the same for equal documents.
    """
    text = _dump({name: value for name, value in fields.items() if name not in without})
    # A lone surrogate (a byte of an argument that was no UTF-8) comes back from Vault as U+FFFD.
    return (_dump(_without_surrogates(json.loads(text))) if "\\ud" in text else text).encode()


def seal_of(fields: Fields, key: SecretText) -> str:
    """
    Return the seal of *fields*: 64 hex digits.
    """
    return hmac.new(key.reveal().encode(), canonical(fields, frozenset({SEAL})), hashlib.sha256).hexdigest()


def digest_of(fields: Fields) -> str:
    """
    Return what stays the same as long as no save but a heartbeat changes *fields*: 64 hex digits of SHA-256.
    """
    return hashlib.sha256(canonical(fields, HEARTBEAT)).hexdigest()


def differences(one: object, other: object, path: str = "") -> Iterator[str]:
    """
    Yield the names of the fields in which two documents differ, as `keys[0].secret`; never a value.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys((*one, *other)):
            inner = f"{path}.{name}" if path else str(name)
            if name in one and name in other:
                yield from differences(one[name], other[name], inner)
            else:
                yield inner
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif one != other or type(one) is not type(other):
        yield path


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in value]
    if isinstance(value, dict):
        return {str(_without_surrogates(name)): _without_surrogates(inner) for name, inner in value.items()}
    return value
