"""
The command line in this process, on a file store of its own: what a command prints, and its exit code.
"""

import json
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner

from rotator.adapters.files.store import FileStore
from rotator.cli import group
from rotator.cli.context import run_command
from rotator.documents.signing import decode_keyset, encode_keyset
from rotator.model.algorithms import Algorithm
from rotator.model.document import Tree
from rotator.model.keys import CurrentKey, HmacSecret, Kid, NextKey, OldKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing
from rotator.model.secret import SecretText

ENVIRONMENT = dict.fromkeys(
    ("VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT", "VAULT_TOKEN", "REDIS_URL", "ROTATOR_CONFIG", "NOTIFY_SOCKET"), ""
)
WEB_AND_INTERNAL = '[keysets.web]\n[keysets.internal]\nalgorithm = "HS256"\n'
P, LIFE, SKEW = timedelta(hours=2), timedelta(days=7), timedelta(minutes=1)


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str


class CommandLine:
    """
    `rotator` with a configuration in *folder*: the file store, no Redis, no listener, and the timing of the defaults.
    """

    def __init__(self, folder: Path, keysets: str = WEB_AND_INTERNAL, more: str = "") -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.store = FileStore(folder / "store")
        self.config.write_text(
            '[store]\nbackend = "file"\npath = "store"\n'
            '[publish]\nfile = "public/jwks.json"\nhttp = ""\n'
            f'[daemon]\nstate_dir = "state"\n{more or ADMIN_OFF}\n{keysets}'
        )

    def run(self, *arguments: str, stdin: str | bytes = "", terminal: bool = False) -> Answer:
        """Run a command to its end; with *terminal* standard input says that a person sits there."""
        argv = sys.argv
        sys.argv = ["rotator", "--config", str(self.config), *arguments]
        try:
            with CliRunner().isolation(input=stdin, env=ENVIRONMENT) as (stdout, stderr, _):
                sys.stdin.isatty = lambda: terminal  # type: ignore[method-assign]
                code = _exit_code()
                return Answer(code, stdout.getvalue().decode(), stderr.getvalue().decode())
        finally:
            sys.argv = argv

    def keyset(self, name: str) -> Keyset:
        """Return a keyset as it is stored."""
        fields = self.store.load(Tree.KEYS, name).fields
        assert fields is not None, f"{name} is not stored"
        return decode_keyset(fields, name)

    def document_versions(self) -> dict[str, int]:
        """Return the version of every document that is stored."""
        found = sorted((self.folder / "store").glob("*/*.json"))
        return {f"{file.parent.name}/{file.stem}": json.loads(file.read_text())["version"] for file in found}

    def put(self, keyset: Keyset) -> None:
        """Store *keyset* as it is, whatever was there."""
        version = self.store.load(Tree.KEYS, keyset.name).version
        self.store.save(Tree.KEYS, keyset.name, encode_keyset(keyset), version)


ADMIN_OFF = '[admin]\nhttp = ""\n'


def _exit_code() -> int:
    try:
        run_command(group)
    except SystemExit as end:
        return int(str(end.code))


def hmac_keyset(
    name: str = "internal", *, age: timedelta = timedelta(days=1), usable_in: timedelta = timedelta(hours=-1)
) -> Keyset:
    """
    Return a keyset of shared secrets whose current key signs since *age* and whose next one is usable *usable_in* from now.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    began, usable = now - age, now + usable_in
    current = CurrentKey(
        kid=Kid("c" * 32),
        algorithm=Algorithm.HS256,
        material=HmacSecret(SecretText("c0" * 32)),
        created_at=began,
        published_at=began,
        usable_at=began,
        activated_at=began,
        activated_by="op-1",
        longest_token=LIFE,
    )
    following = NextKey(
        kid=Kid("d" * 32),
        algorithm=Algorithm.HS256,
        material=HmacSecret(SecretText("d0" * 32)),
        created_at=usable - P,
        published_at=usable - P,
        usable_at=usable,
    )
    return Keyset(
        name=name,
        epoch="epoch-1",
        sequence=2,
        op_id="op-2",
        timing=Timing(P, LIFE, SKEW),
        current=current,
        next=following,
        rotates_at=began + timedelta(days=30),
    )


def with_old(keyset: Keyset, retires_in: timedelta) -> Keyset:
    """
    Return *keyset* with an old key that retires *retires_in* from now.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    assert keyset.current is not None
    ended = keyset.current.activated_at
    old = OldKey(
        kid=Kid("a" * 32),
        algorithm=Algorithm.HS256,
        material=HmacSecret(SecretText("a0" * 32)),
        created_at=ended,
        published_at=ended,
        usable_at=ended,
        activated_at=ended,
        activated_by="op-0",
        longest_token=LIFE,
        deactivated_at=ended,
        retire_at=now + retires_in,
    )
    return replace(keyset, old=(old,))
