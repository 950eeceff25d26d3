"""
A keyset as the daemon would judge it, for every command: what is wrong, and the one command that mends it.
"""

from rotator.errors import DocumentError, FrozenError, RefusedError, StoreDeniedError
from rotator.model.policy import Policy
from rotator.ports.store import DocumentStore
from rotator.reconcile.loading import Loader
from rotator.reconcile.snapshot import Snapshot, load


def examine(store: DocumentStore, name: str, policy: Policy) -> Snapshot:
    """
    Return the keyset as it is stored now, for a command that shows it; raises as `believed` does.

    Who may not read the standby cannot see whether rotator wrote it.
    """
    try:
        return believed(store, Loader(store), name, policy)
    except StoreDeniedError:
        return load(store, name, policy)


def believed(store: DocumentStore, loader: Loader, name: str, policy: Policy) -> Snapshot:
    """
    Return the keyset as it is stored now, for a command that changes it.

    Raises RefusedError if it does not exist yet, FrozenError or DocumentError, with the way out, if it cannot be believed.
    """
    try:
        return loader.load(name, policy)
    except DocumentError as error:
        if error.newer or "`rotator thaw" in str(error):  # a damaged file says its way out itself
            raise
        raise DocumentError(f"{error}; {_way_out(store, loader, name, policy)}") from error
    except FrozenError as error:
        raise type(error)(_way_out(store, loader, name, policy, str(error))) from error
    except RefusedError:
        text = _way_out(store, loader, name, policy, "")
        if not text:
            raise
        raise FrozenError(text) from None


def _way_out(store: DocumentStore, loader: Loader, name: str, policy: Policy, said: str | None = None) -> str:
    """
    Return what is wrong, which is *said* unless there is no signing document, and the way out.
    """
    # Imported here: `status` pays for it in trouble only.
    from rotator.reconcile.remains import remains_of  # noqa: PLC0415
    from rotator.reconcile.ways_out import absence, way_out  # noqa: PLC0415

    remains = remains_of(store, name, loader)
    if remains.fields is None and said is not None:
        return absence(remains, configured=policy.rotates)
    way = way_out(remains, configured=policy.rotates)
    return f"{said}; {way}" if said else way
