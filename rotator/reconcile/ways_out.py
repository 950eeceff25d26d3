"""
What is wrong with a keyset as the store shows it, and the one command that mends it.
"""

from collections.abc import Collection

from rotator.model.document import Tree
from rotator.model.keyset import Revocation
from rotator.reconcile.remains import Remains


def way_out(
    remains: Remains,
    *,
    configured: bool,
    above: int = 0,
    epoch: str = "",
    distrust_latest: bool = False,
    denied: Collection[Revocation] = (),
) -> str:
    """
    Return which command mends a frozen keyset, with all that it needs, and which would accept what is there.

    *above* is the highest sequence that a daemon saw, of *epoch*, and *denied* the deny-list that it remembers, which *remains*
    know, too. *distrust_latest*: a daemon saw something else in the place of the latest version, whatever that looks like
    by itself.
    """
    name, latest = remains.name, remains.latest
    seen = f" --above {above}" if above > remains.sequence else ""
    seen += "".join(f" --revoked {r.kid}" for r in denied if r.until > remains.clock.earliest)
    good = [
        c
        for c in remains.preferred
        if not (distrust_latest and c.version == remains.version)
        and not (epoch and c.keyset and c.keyset.epoch != epoch)
    ]
    readable = latest is not None and latest.keyset is not None
    restore = f"`rotator restore {name} --version {good[0].version}{seen}`" if good and remains.keeps_versions else ""
    thaw = f"`rotator thaw {name}{seen if readable else ''}`"
    if restore:
        return f"run {restore}" + (f", or to accept what is there {thaw}" if readable else "")
    if latest is not None and remains.signs_revoked(latest):
        anew = f"`rotator thaw {name} --anew{seen}`"
        return f"the key that signs there was revoked: to have it created again, with new ones, run {anew}"
    if readable:
        return f"to accept what is there run {thaw}"
    if not configured:
        return f"nothing of its keys is left: to drop it for good run `rotator remove {name}`"
    return f"nothing of its keys is left: to have it created again, with new ones, run {thaw}"


def absence(remains: Remains, *, configured: bool) -> str:
    """
    Return what is wrong with a keyset that has no signing document, and the way out; "" if it never existed.
    """
    if not has_trace(remains):
        return ""
    name = remains.name
    if remains.damaged:
        what = f"{Tree.KEYS}/{name} is damaged"
    elif remains.latest is not None:
        what = f"version {remains.version} of {Tree.KEYS}/{name}, its latest, was deleted"
    elif remains.version:
        what = f"version {remains.version} of {Tree.KEYS}/{name}, its latest, was destroyed"
    else:
        left = [tree for tree, there in ((Tree.JWKS, remains.public_version), (Tree.STANDBY, remains.standby)) if there]
        found = " and ".join(f"{tree}/{name}" for tree in left)
        what = (
            f"{Tree.KEYS}/{name} is gone with all its versions, and {found} {'are' if left[1:] else 'is'} still there"
        )
    return f"{name}: {what}; {way_out(remains, configured=configured)}"


def has_trace(remains: Remains) -> bool:
    """
    Return whether the keyset existed, and nobody has given it up.
    """
    standby = remains.standby
    if standby is not None and standby.removal is not None and standby.removal.done:
        return False
    if remains.version or remains.damaged:
        return True
    accepted = standby is not None and standby.sealing.thawed_at is not None
    if accepted and standby is not None and (remains.public is None or remains.public.epoch != standby.epoch):
        return False
    return bool(remains.public_version)
