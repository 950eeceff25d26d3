"""
What is remembered of keysets outside the store: kept over restarts, never lowered, never mistaken for nothing.
"""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.adapters.files.bounded import BoundedCalls
from rotator.adapters.files.last_seen import LastSeenFiles
from rotator.documents.public import public_document
from rotator.errors import FrozenError, LastSeenWriteError
from rotator.model.algorithms import Algorithm
from rotator.model.keys import Kid, NextKey, PublicKey
from rotator.model.keyset import Keyset, Revocation
from rotator.model.policy import Timing
from rotator.model.publication import Jwks, LastSeen, PublicDocument
from tests.support.fakes import START, PooledKeyGenerator
from tests.support.scripted import until


@pytest.fixture(name="document", scope="module")
def _document() -> PublicDocument:
    """
    The public document of a keyset with one key and one revoked kid.
    """
    made = PooledKeyGenerator().generate(Algorithm.RS256, 2048)
    assert isinstance(made.material, PublicKey)
    return public_document(
        Keyset(
            name="web",
            epoch="epoch-1",
            sequence=5,
            op_id="op-5",
            timing=Timing(timedelta(hours=2), timedelta(days=7), timedelta(minutes=1)),
            next=NextKey(kid=made.kid, algorithm=Algorithm.RS256, material=made.material, created_at=START),
            revoked=(Revocation(Kid("stolen"), START, "laptop lost", START + timedelta(days=8)),),
        )
    )


@pytest.fixture(name="seen")
def _seen(document: PublicDocument) -> LastSeen:
    """
    That keyset, as the reconciler remembers it.
    """
    return LastSeen(
        epoch=document.epoch,
        sequence=document.sequence,
        op_id="op-5",
        well_known=True,
        symmetric=False,
        timing=Timing(timedelta(hours=2), timedelta(days=7), timedelta(minutes=1)),
        document=document,
    )


def later(seen: LastSeen, sequence: int, epoch: str = "epoch-1") -> LastSeen:
    """
    The same keyset after other saves.
    """
    document = replace(seen.document, sequence=sequence, epoch=epoch)
    return replace(seen, sequence=sequence, epoch=epoch, op_id=f"op-{sequence}", document=document)


def test_what_was_seen_is_recalled_by_the_next_process(tmp_path: Path, seen: LastSeen) -> None:
    """
    Everything survives but the reason of a revocation, which is not public.
    """
    LastSeenFiles(tmp_path).record(seen)
    revoked = (replace(seen.document.revoked[0], reason=""),)
    assert LastSeenFiles(tmp_path).get("web") == replace(seen, document=replace(seen.document, revoked=revoked))
    assert LastSeenFiles(tmp_path).names() == ("web",)


def test_nothing_is_remembered_at_first(tmp_path: Path) -> None:
    """
    A fresh state folder, or one that is not there, remembers nothing, and asking makes nothing.
    """
    for folder in (tmp_path, tmp_path / "missing"):
        assert LastSeenFiles(folder).names() == ()
        assert LastSeenFiles(folder).get("web") is None
    assert list(tmp_path.iterdir()) == []


def test_files_are_private(tmp_path: Path, seen: LastSeen) -> None:
    """
    Folder 0700, file 0600, whatever the umask; and nothing else lies beside it.
    """
    before = os.umask(0)
    try:
        LastSeenFiles(tmp_path).record(seen)
    finally:
        os.umask(before)
    file = tmp_path / "keysets" / "web.json"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [entry.name for entry in file.parent.iterdir()] == ["web.json"]


def test_a_higher_sequence_is_never_replaced(tmp_path: Path, seen: LastSeen) -> None:
    """
    Within an epoch memory only goes forward, also over a restart.
    """
    memory = LastSeenFiles(tmp_path)
    memory.record(later(seen, 9))
    memory.record(seen)
    LastSeenFiles(tmp_path).record(seen)
    for look in (memory, LastSeenFiles(tmp_path)):
        recalled = look.get("web")
        assert recalled
        assert (recalled.sequence, recalled.op_id) == (9, "op-9")


def test_another_epoch_replaces(tmp_path: Path, seen: LastSeen) -> None:
    """
    Whoever asks to remember another life has judged it; its sequence starts low.
    """
    LastSeenFiles(tmp_path).record(seen)
    LastSeenFiles(tmp_path).record(later(seen, 1, "epoch-2"))
    recalled = LastSeenFiles(tmp_path).get("web")
    assert recalled
    assert (recalled.epoch, recalled.sequence) == ("epoch-2", 1)


def test_the_same_is_not_written_again(tmp_path: Path, seen: LastSeen) -> None:
    """
    No write for what the file says already, in this process or after a restart.
    """
    memory = LastSeenFiles(tmp_path)
    memory.record(seen)
    file = tmp_path / "keysets" / "web.json"
    inode = file.stat().st_ino
    memory.record(seen)
    LastSeenFiles(tmp_path).record(seen)
    assert file.stat().st_ino == inode
    memory.record(replace(seen, well_known=False))
    assert file.stat().st_ino != inode


def test_recall_reads_a_file_once(tmp_path: Path, seen: LastSeen) -> None:
    """
    After the first time there is no I/O, for what is remembered and for what is not.
    """
    LastSeenFiles(tmp_path).record(seen)
    memory = LastSeenFiles(tmp_path)
    first = memory.get("web")
    assert memory.get("api") is None
    (tmp_path / "keysets" / "web.json").rename(tmp_path / "keysets" / "api.json")
    assert memory.get("web") is first
    assert memory.get("api") is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"public": {}}',
    ],
)
def test_a_damaged_file_is_not_nothing(tmp_path: Path, damage: bytes, seen: LastSeen) -> None:
    """
    A file that cannot be understood freezes, naming itself and the way out, each time it is asked.
    """
    file = tmp_path / "keysets" / "web.json"
    file.parent.mkdir()
    file.write_bytes(damage)
    memory = LastSeenFiles(tmp_path)
    for _ in range(2):
        with pytest.raises(FrozenError, match=rf"{file} is damaged.*move the file away"):
            memory.get("web")
    with pytest.raises(FrozenError):
        memory.record(seen)
    assert file.read_bytes() == damage
    assert memory.names() == ("web",)


@pytest.mark.parametrize(
    ("field", "value"),
    [("op_id", None), ("well_known", "no"), ("symmetric", 1), ("propagation_time", "2h"), ("clock_skew", 1e300)],
)
def test_a_file_with_one_wrong_field_is_damaged(tmp_path: Path, seen: LastSeen, field: str, value: object) -> None:
    """
    Each field is checked; a missing one too.
    """
    LastSeenFiles(tmp_path).record(seen)
    file = tmp_path / "keysets" / "web.json"
    good = json.loads(file.read_text())
    missing = {name: kept for name, kept in good.items() if name != field}
    for bad in (missing,) if value is None else (missing, good | {field: value}):
        file.write_text(json.dumps(bad))
        with pytest.raises(FrozenError, match="damaged"):
            LastSeenFiles(tmp_path).get("web")


def test_a_remembered_set_with_a_private_member_is_damaged(tmp_path: Path, seen: LastSeen) -> None:
    """
    What would be served in an outage passes the same scan as what is published.
    """
    leak = Jwks('{"keys":[{"kty":"RSA","kid":"a","use":"sig","alg":"RS256","n":"AQ","e":"AQAB","d":"AQ"}]}')
    LastSeenFiles(tmp_path).record(replace(seen, document=replace(seen.document, jwks=leak)))
    with pytest.raises(FrozenError, match="damaged"):
        LastSeenFiles(tmp_path).get("web")


def test_another_keysets_file_is_damaged(tmp_path: Path, seen: LastSeen) -> None:
    """
    A file copied under another name does not pass for that keyset's.
    """
    LastSeenFiles(tmp_path).record(seen)
    (tmp_path / "keysets" / "web.json").rename(tmp_path / "keysets" / "api.json")
    with pytest.raises(FrozenError, match="damaged"):
        LastSeenFiles(tmp_path).get("api")


def test_what_cannot_be_read_is_not_nothing(tmp_path: Path) -> None:
    """
    A file or folder that the disk refuses to give freezes too.
    """
    (tmp_path / "keysets" / "web.json").mkdir(parents=True)
    with pytest.raises(FrozenError, match="cannot be read"):
        LastSeenFiles(tmp_path).get("web")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "keysets").write_text("")
    with pytest.raises(FrozenError, match="cannot be read"):
        LastSeenFiles(tmp_path / "other").names()


def test_a_failed_write_is_told_known_and_tried_again(tmp_path: Path, seen: LastSeen) -> None:
    """
    When the file cannot be written this process still knows, and the next call writes it though nothing changed.
    """
    state = tmp_path / "state"
    state.write_text("a file where a folder should be")
    memory = LastSeenFiles(tmp_path)
    memory.record(seen)
    hindered = LastSeenFiles(state / "none")
    with pytest.raises(FrozenError):
        hindered.get("web")
    folder = tmp_path / "keysets"
    folder.chmod(0o777)
    with pytest.raises(LastSeenWriteError, match="others may write"):
        memory.record(later(seen, 6))
    recalled = memory.get("web")
    assert recalled
    assert recalled.sequence == 6
    folder.chmod(0o700)
    memory.record(later(seen, 6))
    again = LastSeenFiles(tmp_path).get("web")
    assert again
    assert again.sequence == 6


def test_hidden_and_foreign_files_are_no_keysets(tmp_path: Path, seen: LastSeen) -> None:
    """
    Temporary files of a crash and files of others are not listed.
    """
    memory = LastSeenFiles(tmp_path)
    memory.record(seen)
    for name in (".web.json.0011223344556677.tmp", ".hidden.json", "README"):
        (tmp_path / "keysets" / name).write_text("")
    assert memory.names() == ("web",)


def a_link(file: Path) -> None:
    """Put a link to a file of the same content in its place."""
    other = file.with_name("other")
    file.rename(other)
    file.symlink_to(other)


def a_pipe(file: Path) -> None:
    """Put a FIFO in its place."""
    file.unlink()
    os.mkfifo(file)


STRANGERS: dict[str, Callable[[Path], None]] = {
    "symbolic link": a_link,
    "no regular file": a_pipe,
    "others may write to": lambda file: file.chmod(0o666),
    "others may write to the folder": lambda file: file.parent.chmod(0o777),
    "belongs to user id 65534": lambda file: os.chown(file, 65534, -1),
}


@pytest.mark.parametrize("said", STRANGERS)
def test_what_another_user_may_have_written_is_not_believed(tmp_path: Path, seen: LastSeen, said: str) -> None:
    """It is refused at every read, and the text names the file and what to do."""
    if os.geteuid() and said.startswith("belongs"):
        pytest.skip("only root can give a file away")
    LastSeenFiles(tmp_path).record(seen)
    file = tmp_path / "keysets" / "web.json"
    STRANGERS[said](file)
    memory = LastSeenFiles(tmp_path)
    for _ in range(2):
        with pytest.raises(FrozenError, match=said):
            memory.get("web")
    assert memory.names() == ("web",)


def test_a_file_system_that_hangs_is_given_up(tmp_path: Path, seen: LastSeen) -> None:
    """
    Writing fails within seconds, and the process still knows; once it answers again the same call writes.
    """
    gate = threading.Event()

    class Hanging(LastSeenFiles):
        def _put(self, file: Path, data: bytes) -> None:
            gate.wait(20)
            super()._put(file, data)

    files = Hanging(tmp_path)
    files._calls = BoundedCalls(0.1)
    for _ in range(2):
        begun = time.monotonic()
        with pytest.raises(LastSeenWriteError, match="the file system hangs"):
            files.record(seen)
        assert time.monotonic() - begun < 2
    assert files.get("web") == seen
    gate.set()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "files"])
    files.record(seen)
    written = LastSeenFiles(tmp_path).get("web")
    assert written is not None
    assert (written.epoch, written.sequence) == (seen.epoch, seen.sequence)


def test_the_folder_of_the_state_can_be_entered_and_what_is_in_it_cannot(tmp_path: Path, seen: LastSeen) -> None:
    """
    Whatever the umask: by default the folder of the JWKS file lies in it, to which a web server must get.
    """
    former = os.umask(0o077)
    try:
        LastSeenFiles(tmp_path / "state").record(seen)
    finally:
        os.umask(former)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("state", "state/keysets", "state/keysets/web.json")]
    assert modes == [0o755, 0o700, 0o600]
