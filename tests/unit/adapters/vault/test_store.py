"""
Documents in KV version 2: what proves a save, an absence or a version, and what does not.
"""

import json
import traceback
from datetime import UTC, datetime

import pytest

from rotator.errors import LostReplyError, StoreConflictError, StoreDeniedError, StoreUnavailableError
from rotator.model.document import Tree
from tests.support.peer import Answer, Peer, Request, Script, answer
from tests.support.vault_stores import CREATED, FIELDS, OPERATIONS, mounted, read, saved, scripted

NONSENSE: dict[str, Answer] = {
    "HTML": answer(200, "<html>welcome to the portal CANARY-SECRET</html>"),
    "truncated JSON": answer(200, '{"data": {"version": 1, "created_time": "2026-'),
    "a body cut off": [answer(200, saved(1))[:-9]],
    "nothing": answer(200),
    "a list": answer(200, [saved(1)]),
    "no content": answer(204),
    "JSON nested too deeply": answer(200, "[" * 200_000),
    "no Date": answer(200, saved(1), date=None),
    "a Date that is none": answer(200, saved(1), date="yesterday"),
    "another version": answer(200, saved(3)),
    "a version that is no number": answer(200, {"data": {"version": True, "created_time": CREATED}}),
    "no time of commit": answer(200, {"data": {"version": 1}}),
    "a time that is none": answer(200, {"data": {"version": 1, "created_time": "soon"}}),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "too much": answer(200, b'{"data":"' + b"x" * (5 << 20) + b'"}'),
    "hanging up": b"",
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_a_save_needs_proof(body: Answer) -> None:
    """A 200 that is not KV version 2's answer to this save is a failure, and the save is not sent again."""
    with scripted(lambda _: body) as (peer, store):
        with pytest.raises(StoreUnavailableError) as raised:
            store.save(Tree.KEYS, "web", FIELDS, 0)
        assert [request.method for request in peer.requests].count("POST") == 1
    text = "".join(traceback.format_exception(raised.value))
    assert "CANARY" not in text
    assert "portal" not in text


def test_a_read_is_not_taken_for_a_save() -> None:
    """What a redirected write once brought back, the old document as a success, is a failure."""
    with (
        scripted(lambda _: answer(200, read({"op_id": "of another"}))) as (_, store),
        pytest.raises(StoreUnavailableError),
    ):
        store.save(Tree.KEYS, "web", FIELDS, 0)


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("operation", ["load", "versions", "capabilities"])
def test_a_read_needs_proof(body: Answer, operation: str) -> None:
    """A 200 with anything else in it is not a document, and not the absence of one."""
    with scripted(lambda _: body) as (_, store), pytest.raises(StoreUnavailableError):
        OPERATIONS[operation](store)


@pytest.mark.parametrize(
    "body",
    ["<html>not found</html>", {}, {"errors": ["what?"]}, {"errors": []}],
    ids=["html", "empty", "odd", "version 1"],
)
def test_a_foreign_404_is_not_absence(body: object) -> None:
    """A proxy's 404, and that of a KV version 1 store, must not look like a document that was never written."""

    def script(request: Request) -> bytes:
        return answer(200, mounted("1")) if "internal" in request.path else answer(404, body)

    for name in ("load", "versions"):
        with scripted(script) as (_, store), pytest.raises((StoreUnavailableError, StoreDeniedError)):
            OPERATIONS[name](store)


def test_absence_is_proved_once() -> None:
    """Asking for the mount's version costs a process one request, and none until something is absent."""

    def script(request: Request) -> bytes:
        return answer(200, mounted()) if "internal" in request.path else answer(404, {"errors": []})

    with scripted(script) as (peer, store):
        assert store.load(Tree.KEYS, "web").version == 0
        assert store.load(Tree.KEYS, "web").version == 0
        assert list(store.versions(Tree.KEYS, "web")) == []
        assert len(peer.requests) == 4


def test_nanoseconds_are_cut() -> None:
    """Vault's times have nine digits after the point; six are kept."""
    with scripted(lambda _: answer(200, read({}))) as (_, store):
        assert store.load(Tree.KEYS, "web").created_at == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)


def test_only_what_is_needed_is_sent() -> None:
    """Every save carries its compare-and-set; nothing ever deletes, or touches settings."""

    def script(request: Request) -> bytes:
        if "destroy" in request.path:
            return answer(204)
        if "metadata" in request.path:
            return answer(200, {"data": {"versions": {"1": {"destroyed": False}, "2": {"destroyed": True}}}})
        return answer(200, saved(1) if request.method == "POST" else read({}))

    with scripted(script) as (peer, store):
        for name in ("load", "save", "destroy", "versions"):
            OPERATIONS[name](store)
        assert list(store.versions(Tree.KEYS, "web")) == [1]
    asked = [(request.method, request.path, request.json) for request in peer.requests]
    assert asked[:4] == [
        ("GET", "/v1/kv/data/rotator/keys/web", None),
        ("POST", "/v1/kv/data/rotator/keys/web", {"options": {"cas": 0}, "data": FIELDS}),
        ("POST", "/v1/kv/destroy/rotator/keys/web", {"versions": [1]}),
        ("GET", "/v1/kv/metadata/rotator/keys/web", None),
    ]


def test_secrets_are_sent_as_they_are() -> None:
    """The body of a save is JSON that any reader decodes to the same text."""
    fields = {"current": 'a"b\\c\n\u2603\U0001d11e'}
    with scripted(lambda _: answer(200, saved(1))) as (peer, store):
        store.save(Tree.KEYS, "web", fields, 0)
    assert json.loads(peer.requests[0].body)["data"] == fields


# -- saving ------------------------------------------------------------------------------------------------------------

CONFLICT = {"errors": ["check-and-set parameter did not match the current version"]}


def serving(post: Answer, get: Answer) -> Script:
    """A Vault that answers writes with *post* and reads with *get*."""
    return lambda request: post if request.method == "POST" else get


def posts(peer: Peer) -> int:
    """How many writes arrived."""
    return sum(request.method == "POST" for request in peer.requests)


def test_a_save_that_lost_against_another_is_a_conflict() -> None:
    """The error says which version was expected; another 400 is no conflict."""
    with (
        scripted(serving(answer(400, CONFLICT), answer(200, read({"op_id": "another"}, 3)))) as (_, store),
        pytest.raises(StoreConflictError, match="kv/data/rotator/keys/web has another version than 2"),
    ):
        store.save(Tree.KEYS, "web", FIELDS, 2)
    with (
        scripted(lambda _: answer(400, {"errors": ["no data provided"]})) as (peer, store),
        pytest.raises(StoreUnavailableError, match="did not save kv/data/rotator/keys/web: 400"),
    ):
        store.save(Tree.KEYS, "web", FIELDS, 2)
    assert len(peer.requests) == 1


LOST = {"connection dropped": b"", "502": answer(502), "500": answer(500, {}), "HTML": answer(200, "<html/>")}
lost_replies = pytest.mark.parametrize("lost", LOST.values(), ids=LOST)


@lost_replies
def test_a_save_whose_reply_is_lost_is_read_back(lost: Answer) -> None:
    """The next version with our op_id is the one we wrote: one write, reported as saved."""
    with scripted(serving(lost, answer(200, read(FIELDS, 3)))) as (peer, store):
        stored = store.save(Tree.KEYS, "web", FIELDS, 2)
        assert (posts(peer), peer.requests[-1].path) == (1, "/v1/kv/data/rotator/keys/web?version=3")
    assert (stored.version, stored.fields) == (3, FIELDS)
    assert stored.created_at == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)


@lost_replies
@pytest.mark.parametrize(
    "found",
    [
        answer(200, read({**FIELDS, "op_id": "of another"}, 3)),
        answer(200, read(FIELDS, 4)),
        answer(404, read(None, 3, deletion_time="2026-01-02T03:04:06Z")),
        answer(503),
        answer(403, {}),
    ],
    ids=["another writer", "another version", "deleted since", "sealed", "denied"],
)
def test_a_save_whose_reply_is_lost_may_not_have_happened(lost: Answer, found: Answer) -> None:
    """Without our own document in its place the save failed; it is not sent again."""
    with scripted(serving(lost, found)) as (peer, store):
        with pytest.raises(LostReplyError):
            store.save(Tree.KEYS, "web", FIELDS, 2)
        assert posts(peer) == 1


def test_a_document_without_op_id_is_recognised_by_its_fields() -> None:
    """Every field counts, as JSON brings it back; a conflict over such a document is one."""
    fields = {"jwks": '{"keys":[]}', "n": (1, "x")}
    back = {"jwks": '{"keys":[]}', "n": [1, "x"]}
    with scripted(serving(b"", answer(200, read(back)))) as (_, store):
        assert store.save(Tree.JWKS, "web", fields, 0).version == 1
    with scripted(serving(b"", answer(200, read({**back, "n": [2]})))) as (_, store), pytest.raises(LostReplyError):
        store.save(Tree.JWKS, "web", fields, 0)
    with (
        scripted(serving(answer(400, CONFLICT), answer(200, read(back)))) as (peer, store),
        pytest.raises(StoreConflictError),
    ):
        store.save(Tree.JWKS, "web", fields, 0)
    assert len(peer.requests) == 1


def test_a_conflict_with_ourselves_is_a_success() -> None:
    """A proxy that sent the write twice brings the refusal of its second copy."""
    with scripted(serving(answer(400, CONFLICT), answer(200, read(FIELDS)))) as (_, store):
        assert store.save(Tree.KEYS, "web", FIELDS, 0).version == 1


def test_a_refused_or_sealed_write_is_not_read_back() -> None:
    """It did not happen, and that is known."""
    for reply, error in ((answer(403, {}), StoreDeniedError), (answer(501), StoreUnavailableError)):
        with scripted(serving(reply, answer(200, read(FIELDS)))) as (peer, store):
            with pytest.raises(error):
                store.save(Tree.KEYS, "web", FIELDS, 0)
            assert [request.path for request in peer.requests if "/data/" in request.path] == [
                "/v1/kv/data/rotator/keys/web"
            ]


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [{"deletion_time": "2026-01-02T03:04:06Z"}, {"destroyed": True}])
def test_deleted_and_destroyed_are_not_absent(state: dict[str, object]) -> None:
    """Vault answers 404 with metadata: the version counts, so the document is not created a second time."""
    with scripted(lambda _: answer(404, read(None, 4, **state))) as (peer, store):
        stored = store.load(Tree.KEYS, "web")
        assert len(peer.requests) == 1
    assert (stored.version, stored.fields) == (4, None)
    assert stored.created_at == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)


@pytest.mark.parametrize(("status", "fields"), [(200, None), (404, {"a": "b"})])
def test_status_and_data_must_agree(status: int, fields: dict[str, str] | None) -> None:
    """A 200 without data, or a 404 with some, comes from something else than Vault."""
    with (
        scripted(lambda _: answer(status, read(fields))) as (_, store),
        pytest.raises(StoreUnavailableError, match="proves nothing"),
    ):
        store.load(Tree.KEYS, "web")


def test_one_version_is_read() -> None:
    """Its number is asked for, and the clock of the reply comes with it."""
    with scripted(lambda _: answer(200, read({"a": "b"}, 2), date="Fri, 02 Jan 2026 03:04:05 GMT")) as (peer, store):
        stored = store.load_version(Tree.KEYS, "web", 2)
        assert peer.requests[0].path == "/v1/kv/data/rotator/keys/web?version=2"
    assert (stored.version, stored.fields) == (2, {"a": "b"})
    assert stored.clock.earliest == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "mount",
    [
        {"type": "kv", "path": "kv/", "options": {"version": "1"}},
        {"type": "kv", "path": "kv/", "options": None},
        {"type": "generic", "path": "kv/", "options": {"version": "2"}},
        {"type": "kv", "path": "kv/deeper/", "options": {"version": "2"}},
    ],
)
def test_absence_needs_a_kv_version_2_mount(mount: dict[str, object]) -> None:
    """Others answer 404 as an empty store of version 2 does; the mount is asked for again at the next absence."""

    def script(request: Request) -> bytes:
        return answer(200, {"data": mount}) if "internal" in request.path else answer(404, {"errors": []})

    with scripted(script) as (peer, store):
        for _ in range(2):
            with pytest.raises(StoreDeniedError, match="no KV version 2 store"):
                store.load(Tree.KEYS, "web")
        assert [request.path for request in peer.requests[1::2]] == ["/v1/sys/internal/ui/mounts/kv"] * 2


def test_a_missing_mount_is_named() -> None:
    """Vault's own words for it are known."""
    with (
        scripted(lambda _: answer(404, {"errors": ['no handler for route "kv/data/x"']})) as (_, store),
        pytest.raises(StoreDeniedError, match=r"nothing mounted at kv; mount a KV version 2 store or set vault\.mount"),
    ):
        store.load(Tree.KEYS, "web")


# -- versions ----------------------------------------------------------------------------------------------------------


def test_versions_include_the_deleted_but_not_the_destroyed() -> None:
    """The data of a deleted version can still be had back."""
    versions = {
        "3": {"deletion_time": "", "destroyed": False},
        "2": {"deletion_time": "2026-01-02T03:04:06Z", "destroyed": False},
        "1": {"deletion_time": "", "destroyed": True},
    }
    with scripted(lambda _: answer(200, {"data": {"versions": versions}})) as (_, store):
        assert set(store.versions(Tree.KEYS, "web")) == {2, 3}


@pytest.mark.parametrize("versions", [None, [], {"x": {"destroyed": False}}, {"1": None}, {"1": {}}])
def test_versions_that_are_none_prove_nothing(versions: object) -> None:
    """A purge must not rely on them."""
    with (
        scripted(lambda _: answer(200, {"data": {"versions": versions}})) as (_, store),
        pytest.raises(StoreUnavailableError, match="proves nothing"),
    ):
        store.versions(Tree.KEYS, "web")


def test_versions_are_destroyed_in_order() -> None:
    """Nothing is sent for none of them; anything but a success is a failure."""
    with scripted(lambda _: answer(204)) as (peer, store):
        store.destroy(Tree.STANDBY, "web", [])
        assert peer.requests == []
        store.destroy(Tree.STANDBY, "web", {3, 1, 2})
        (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/v1/kv/destroy/rotator/standby/web")
    assert request.json == {"versions": [1, 2, 3]}
    with (
        scripted(lambda _: answer(404, {"errors": []})) as (_, store),
        pytest.raises(StoreUnavailableError, match="did not destroy versions at kv/destroy/rotator/keys/web: 404"),
    ):
        store.destroy(Tree.KEYS, "web", [1])


def test_versions_are_undeleted_in_order() -> None:
    """Nothing is sent for none of them."""
    with scripted(lambda _: answer(204)) as (peer, store):
        store.undelete(Tree.KEYS, "web", [])
        assert peer.requests == []
        store.undelete(Tree.KEYS, "web", {3, 1, 2})
        (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/v1/kv/undelete/rotator/keys/web")
    assert request.json == {"versions": [1, 2, 3]}


def test_a_document_is_removed_with_its_metadata() -> None:
    """Anything but a success is a failure."""
    with scripted(lambda _: answer(204)) as (peer, store):
        store.remove(Tree.JWKS, "web")
        (request,) = peer.requests
    assert (request.method, request.path) == ("DELETE", "/v1/kv/metadata/rotator/jwks/web")
    with (
        scripted(lambda _: answer(404, {"errors": []})) as (_, store),
        pytest.raises(StoreUnavailableError, match="did not remove the document at kv/metadata/rotator/keys/web: 404"),
    ):
        store.remove(Tree.KEYS, "web")


def test_nothing_is_told_without_a_request() -> None:
    """Vault reports no changes by itself, and a token's end is unknown before the first look."""
    with scripted(lambda _: b"") as (peer, store):
        store.fingerprint()
        store.maintain()
        assert store.token_expires_at is None
        assert peer.requests == []
