"""
The verdict: whether the store agrees with what was last seen of a keyset. What follows is in `observe.py`. Pure.

A contradiction freezes the keyset. A restored backup and a deletion by hand appear as one; only a person can say which
state is right. (TUF keeps trusted local state for the same purpose: to notice a rollback.)
A lower sequence raises the alarm LAGGING and ends the pass; after 60 s or P/4, whichever is longer, the keyset is
frozen, too (`_lag` in `reconcile/observe.py`). What was seen is kept by `adapters/files/last_seen.py`.
"""

from dataclasses import dataclass
from datetime import datetime

from rotator.model.keyset import Keyset
from rotator.model.publication import LastSeen


@dataclass(frozen=True, slots=True)
class Consistent:
    """
    The keyset as it was last seen, a later one, or one never seen before.
    """


@dataclass(frozen=True, slots=True)
class Lagging:
    """
    An older sequence than was seen. If that passes it was a lagging replica; if it stays, a restored backup.
    """


@dataclass(frozen=True, slots=True)
class Contradiction:
    """
    A contradiction. *text* names the keyset and what contradicts; the caller adds the way out.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Edited:
    """
    What no save of rotator makes of the document that was seen; *what* says it.
    """

    what: str


Verdict = Consistent | Lagging | Contradiction | Edited


def assess(seen: LastSeen | None, keyset: Keyset, digest: str, now: datetime) -> Verdict:
    """
    Compare a loaded keyset, of the content *digest*, with what was last *seen* of it, None if it never was.
    """
    if seen is None:
        return Consistent()
    name = keyset.name
    if keyset.epoch != seen.epoch:
        return Contradiction(
            f"{name}: keys/{name} has epoch {keyset.epoch}, but {seen.epoch} was seen before: it was "
            "removed and created anew, or this is another store; check that address, mount and prefix (or path) "
            "are the right ones"
        )
    if keyset.sequence < seen.sequence:
        return Lagging()
    if keyset.sequence == seen.sequence and keyset.op_id != seen.op_id:
        return Contradiction(
            f"{name}: keys/{name} has sequence {keyset.sequence} from another save ({keyset.op_id}) than was "
            f"seen before ({seen.op_id}): an older document was put back and changed since"
        )
    if keyset.sequence == seen.sequence and seen.digest and digest != seen.digest:
        return Edited("its content is another than that of the same save before")
    # A moment further away than the longest stay was dated by a clock that was wrong, and says nothing.
    timing = keyset.timing.longest(seen.timing)
    believed = now + timing.retention + timing.clock_skew
    early = [kid for kid, until in seen.stay_until.items() if now < until <= believed and not keyset.knows(kid)]
    if early:
        return Edited(f"{', '.join(early)} left before its time")
    return Consistent()


def absent_contradiction(name: str, seen: LastSeen | None, version_of_keys: int, version_of_jwks: int) -> str | None:
    """
    Return why a missing signing document must not be created, None if there is no trace that it ever existed.

    The versions are those of the replies, 0 for a bare 404. The caller puts the keyset's name before the text, and the
    way out behind it.
    """
    if not (version_of_keys or version_of_jwks or seen):
        return None
    if version_of_keys:
        return f"the latest version of keys/{name}, {version_of_keys}, was deleted or destroyed"
    if version_of_jwks:
        return f"keys/{name} is gone with all its versions, and its public document in jwks/ is there"
    return (
        "the store has no trace of this keyset, and yet it was seen before; check that address, namespace, mount "
        "and prefix (or path) are the right ones"
    )
