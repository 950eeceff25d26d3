"""
The store of documents in Vault or OpenBao: KV version 2, every save with compare-and-set.
"""

import json
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from hvac.api.secrets_engines import KvV2

from rotator.adapters.vault.session import BAD_REQUEST, NO_CONTENT, NOT_FOUND, OK, VaultConnection, VaultSession
from rotator.adapters.vault.transport import Call, Reply
from rotator.errors import LostReplyError, StoreConflictError, StoreDeniedError, StoreUnavailableError
from rotator.model.document import Fields, Stored, Tree
from rotator.model.times import parse_time

# The rest of the deadline is for reading back after a lost reply.
_SHARE_OF_WRITE = 2 / 3


class VaultStore:
    """
    A DocumentStore below *prefix* in the KV version 2 store at *mount*.

    Never follows a redirect, never touches the settings of a path or of the mount.
    """

    def __init__(self, connection: VaultConnection, mount: str, prefix: str) -> None:
        self.session = VaultSession(connection)
        self._deadline = connection.deadline
        self._mount = mount.strip("/")
        self._prefix = prefix.strip("/")
        self._proved = False

    def load(self, tree: Tree, keyset: str) -> Stored:
        """
        Return the latest version of a document.
        """
        with self.session.operation("load") as deadline:
            return self._load(self._path(tree, keyset), None, deadline)

    def load_version(self, tree: Tree, keyset: str, version: int) -> Stored:
        """
        Return one version of a document; its version is 0 if there is none of that number.
        """
        with self.session.operation("load") as deadline:
            return self._load(self._path(tree, keyset), version, deadline)

    def save(self, tree: Tree, keyset: str, fields: Fields, cas: int) -> Stored:
        """
        Write version *cas* + 1. After a lost reply that version is read back; it is never written again.
        """
        path = self._path(tree, keyset)
        with self.session.operation("save") as deadline:
            writing = deadline - self._deadline * (1 - _SHARE_OF_WRITE)
            try:
                return self._save(path, fields, cas, writing)
            except (LostReplyError, StoreConflictError) as failure:
                # A proxy may have sent the write twice; then we may conflict with ourselves.
                done = self._written(path, fields, cas, deadline, by_op_id=isinstance(failure, StoreConflictError))
                if done is None:
                    raise
                return done

    def versions(self, tree: Tree, keyset: str) -> Collection[int]:
        """
        Return the numbers of the versions whose data still exists, soft-deleted ones included.
        """
        path = self._path(tree, keyset)
        with self.session.operation("versions") as deadline:
            reply = self.session.read(
                f"{self._mount}/metadata/{path}",
                deadline,
                lambda call: KvV2(call).read_secret_metadata(path, mount_point=self._mount),
            )
            if reply.status == NOT_FOUND:
                self._prove_absence(reply, deadline)
                return frozenset()
            try:
                versions = reply.body["data"]["versions"]
                return frozenset(int(number) for number, about in versions.items() if not about["destroyed"])
            except (AttributeError, KeyError, TypeError, ValueError):
                raise self.session.proves_nothing(f"{self._mount}/metadata/{path}") from None

    def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """
        Destroy the data of *versions* for good.
        """
        path = self._path(tree, keyset)
        if not versions:
            return
        with self.session.operation("destroy") as deadline:
            self._change(
                "destroy versions",
                "update",
                f"{self._mount}/destroy/{path}",
                deadline,
                lambda call: KvV2(call).destroy_secret_versions(path, sorted(versions), mount_point=self._mount),
            )

    @property
    def keeps_versions(self) -> bool:
        """
        Always true: as many as the mount's `max_versions`.
        """
        return True

    def undelete(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """
        Bring soft-deleted *versions* back.
        """
        path = self._path(tree, keyset)
        if not versions:
            return
        with self.session.operation("undelete") as deadline:
            self._change(
                "undelete versions",
                "update",
                f"{self._mount}/undelete/{path}",
                deadline,
                lambda call: KvV2(call).undelete_secret_versions(path, sorted(versions), mount_point=self._mount),
            )

    def remove(self, tree: Tree, keyset: str) -> None:
        """
        Delete the metadata of a document, and with it every version.
        """
        path = self._path(tree, keyset)
        with self.session.operation("remove") as deadline:
            self._change(
                "remove the document",
                "delete",
                f"{self._mount}/metadata/{path}",
                deadline,
                lambda call: KvV2(call).delete_metadata_and_all_versions(path, mount_point=self._mount),
            )

    def names(self) -> Collection[str]:
        """
        Return what stands in the tree of signing documents.
        """
        where = f"{self._mount}/metadata/{self._path(Tree.KEYS, '')}"
        with self.session.operation("list") as deadline:
            # As a GET: some proxies know no method LIST.
            reply = self.session.read(
                where, deadline, lambda call: call.get(f"/v1/{where}", params={"list": "true"}), capability="list"
            )
            if reply.status == NOT_FOUND:
                return ()
            names = reply.section("data").get("keys")
            if not isinstance(names, list):
                raise self.session.proves_nothing(where)
            return tuple(name for name in names if isinstance(name, str))

    @property
    def limited(self) -> bool:
        """
        Whether a rate limit lets few of our requests through.
        """
        return self.session.limited

    @property
    def token_expires_at(self) -> datetime | None:
        """
        When our token ends unless it is renewed; None if it never does, or nothing is known yet.
        """
        return self.session.token_expires_at

    def maintain(self) -> str:
        """
        Keep our token alive; cheap if nothing is due, raises nothing. Return what needs a person.
        """
        return self.session.maintain()

    def fingerprint(self) -> None:
        """
        Return None: Vault reports no changes without a request.
        """

    def close(self) -> None:
        """
        Close idle connections, and let a token go that was ours alone.
        """
        self.session.close()

    def _change(self, what: str, capability: str, where: str, deadline: float, send: Callable[[Call], Any]) -> None:
        """
        Change what KV keeps of a document, beside saving it. To do it twice does no harm.
        """
        reply = self.session.ask(capability, where, deadline, send)
        if reply.status not in {OK, NO_CONTENT}:
            raise StoreUnavailableError(f"vault did not {what} at {where}: {reply.status}")

    def _path(self, tree: Tree, keyset: str) -> str:
        return f"{self._prefix}/{tree}/{keyset}".lstrip("/")

    def _load(self, path: str, version: int | None, deadline: float) -> Stored:
        where = f"{self._mount}/data/{path}"
        reply = self.session.read(
            where,
            deadline,
            lambda call: KvV2(call).read_secret_version(
                path, version=version, mount_point=self._mount, raise_on_deleted_version=False
            ),
        )
        metadata = reply.section("data", "metadata")
        if reply.status == NOT_FOUND and not metadata:
            self._prove_absence(reply, deadline)
            return Stored(0, None, None, reply.clock)
        fields = reply.section("data").get("data")
        number = _whole(metadata.get("version"))
        created_at = _time(metadata.get("created_time"))
        if number is None or created_at is None or isinstance(fields, dict) != (reply.status == OK):
            raise self.session.proves_nothing(where)
        return Stored(number, fields, created_at, reply.clock)

    def _save(self, path: str, fields: Fields, cas: int, deadline: float) -> Stored:
        where = f"{self._mount}/data/{path}"
        reply = self.session.ask(
            "update" if cas else "create",
            where,
            deadline,
            lambda call: KvV2(call).create_or_update_secret(path, dict(fields), cas=cas, mount_point=self._mount),
        )
        if reply.status == BAD_REQUEST and reply.says("check-and-set parameter did not match"):
            raise StoreConflictError(f"{where} has another version than {cas}: somebody else saved first")
        if reply.status not in {OK, NO_CONTENT}:
            raise StoreUnavailableError(f"vault did not save {where}: {reply.status}")
        data = reply.section("data")
        created_at = _time(data.get("created_time"))
        if _whole(data.get("version")) != cas + 1 or created_at is None:
            raise self.session.proves_nothing(where)
        return Stored(cas + 1, fields, created_at, reply.clock)

    def _written(self, path: str, fields: Fields, cas: int, deadline: float, *, by_op_id: bool) -> Stored | None:
        """
        Return version *cas* + 1 if it is the one we tried to write.
        """
        if by_op_id and "op_id" not in fields:
            return None
        try:
            found = self._load(path, cas + 1, deadline)
        except (StoreUnavailableError, StoreDeniedError):
            return None
        if found.version != cas + 1 or found.fields is None:
            return None
        ours = (
            all(found.fields.get(name) == fields.get(name) for name in ("op_id", "seen_at"))
            if "op_id" in fields
            else found.fields == json.loads(json.dumps(dict(fields)))
        )
        return found if ours else None

    def _prove_absence(self, reply: Reply, deadline: float) -> None:
        """
        Raise StoreError unless this 404 proves that the document is absent.

        A KV version 1 store answers the same, and a missing mount nearly the same; so the mount is checked, once.
        """
        if reply.says("no handler for route"):
            raise StoreDeniedError(
                f"vault has nothing mounted at {self._mount}; mount a KV version 2 store or set vault.mount"
            )
        if reply.body.get("errors") != []:
            raise self.session.proves_nothing(self._mount)
        if self._proved:
            return
        where = f"sys/internal/ui/mounts/{self._mount}"
        data = self.session.read(where, deadline, lambda call: call.get(f"/v1/{where}")).section("data")
        options = data.get("options")
        version = options.get("version") if isinstance(options, dict) else None
        if data.get("type") != "kv" or version != "2" or data.get("path") != f"{self._mount}/":
            raise StoreDeniedError(
                f"the mount {self._mount} of vault is no KV version 2 store; mount one or set vault.mount"
            )
        self._proved = True


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _time(value: object) -> datetime | None:
    """
    Read Vault's nanoseconds as microseconds.
    """
    try:
        return parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None
