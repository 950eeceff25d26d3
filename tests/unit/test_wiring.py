"""
How parts are joined: which store, publishers and policies the settings give, and what is said of a part that cannot be had.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.adapters.files.last_seen import LastSeenFiles
from rotator.adapters.files.store import FileStore
from rotator.adapters.vault.login.approle import AppRoleLogin
from rotator.adapters.vault.login.token import TokenLogin
from rotator.adapters.vault.store import VaultStore
from rotator.config.load import load
from rotator.config.settings import Settings
from rotator.documents.signing import decode_keyset
from rotator.errors import ConfigError, FrozenError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Tree
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.reasons import AlarmReason
from rotator.model.secret import SecretText
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.forgotten import remembered
from rotator.reconcile.saving import SeenRecord
from rotator.wiring import (
    Engine,
    deadline,
    in_combined_set,
    make_hint_listener,
    make_notifier,
    make_probed_store,
    make_store,
    wire_engine,
    wire_operator,
)
from tests.support.fakes import MemoryLastSeen
from tests.support.process import RecordingLog, snapshot_of
from tests.support.world import World, policy

FILES = """
[store]
backend = "file"
path = "store"
[publish]
file = ""
http = ""
[daemon]
state_dir = "state"
"""
VAULT = """
[vault]
address = "https://127.0.0.1:1"
token_file = "token"
role_id_file = "role"
secret_id_file = "secret"
"""
WEB = '[keysets.web]\nalgorithm = "RS256"\n'
INTERNAL = '[keysets.internal]\nalgorithm = "HS256"\n'
Read = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """
    Load a text as configuration, in a folder of its own.
    """

    def do(text: str, **environ: str) -> Settings:
        (tmp_path / "config.toml").write_text(text)
        return load(tmp_path / "config.toml", environ=environ, command_line=True)

    return do


def remember(settings: Settings, name: str, rules: Policy) -> None:
    """Have this host remember a keyset of shared secrets under *rules*."""
    world = World(policy("HS256"))
    world.run(20)
    keyset = replace(world.keyset, name=name, timing=rules.timing)
    last_seen = LastSeenFiles(settings.daemon.state_dir)
    SeenRecord(last_seen, Alarms(RecordingLog())).record(snapshot_of(keyset, rules))


def names(engine: Engine) -> list[str]:
    """Return the keysets that an engine looks after."""
    return [tracker.name for tracker in engine.queue.trackers]


# -- the engine --------------------------------------------------------------------------------------------------------


def stored(store: FileStore, name: str) -> Keyset:
    """Return a keyset as it is stored."""
    fields = store.load(Tree.KEYS, name).fields
    assert fields is not None
    return decode_keyset(fields, name)


def test_an_engine_makes_a_pass_over_the_keysets_of_its_settings(read: Read) -> None:
    """On the file store, without Redis or listener; a second keyset of the combined set waits for its propagation."""
    settings = read(f"{FILES}{WEB}well_known = true\n[keysets.api]\nwell_known = true\n{INTERNAL}")
    log = RecordingLog()
    engine = wire_engine(settings, log)
    assert names(engine) == ["web", "api", "internal"]
    assert engine.publishing._notifier is None
    assert engine.cache.missing() == ("api", "web")

    with closing(engine), ThreadPoolExecutor(1) as workers:
        engine.queue.run_once(workers)
    assert engine.alarms.active() == ()
    assert engine.cache.missing() == ()
    store = FileStore(settings.store.path)
    assert stored(store, "internal").current is not None
    first, second = stored(store, "web").next, stored(store, "api").next
    assert first is not None
    assert second is not None
    assert first.usable_at == first.published_at
    assert second.usable_at
    assert second.published_at
    assert second.usable_at - second.published_at == timedelta(hours=2)
    remembered = LastSeenFiles(settings.daemon.state_dir)
    assert remembered.names() == ("api", "internal", "web")


def test_an_engine_looks_after_what_the_configuration_forgot(read: Read) -> None:
    """After those that are configured; under the durations it was last seen with, and never rotated."""
    settings = read(FILES + WEB)
    rules = policy("HS256", p=40, well_known=True)
    remember(settings, "gone", rules)
    engine = wire_engine(settings, RecordingLog())
    with closing(engine):
        web, gone = engine.queue.trackers

    assert (web.name, gone.name) == ("web", "gone")
    assert web.policy.rotates
    assert gone.policy == Policy(
        algorithm=Algorithm.HS256,
        rotation_period=timedelta(seconds=80),
        timing=rules.timing,
        rotates=False,
    )


def test_a_configured_keyset_has_the_policy_of_the_configuration(read: Read) -> None:
    """What was remembered of it does not matter."""
    settings = read(FILES + INTERNAL)
    remember(settings, "internal", policy("HS256", p=40))
    tracked = remembered(settings.keysets, LastSeenFiles(settings.daemon.state_dir), RecordingLog())

    assert tracked == {}


def test_a_damaged_memory_of_a_keyset_that_is_gone_is_logged_and_skipped(read: Read) -> None:
    """Of the others nothing is lost."""
    settings = read(FILES + WEB)
    remember(settings, "gone", policy("HS256", p=40))
    (settings.daemon.state_dir / "keysets" / "broken.json").write_text("damaged")
    log = RecordingLog()
    tracked = remembered(settings.keysets, LastSeenFiles(settings.daemon.state_dir), log)

    assert list(tracked) == ["gone"]
    (told,) = log.events
    assert told[:2] == ("error", "memory_damaged")
    assert told[2]["keyset"] == "broken"
    assert "damaged" in str(told[2]["detail"])


class Forgetful(MemoryLastSeen):
    """
    A memory that loses a keyset between two questions.
    """

    def names(self) -> tuple[str, ...]:
        """Return a name that `get` does not know."""
        return ("gone",)


def test_a_memory_that_is_lost_meanwhile_is_skipped(read: Read) -> None:
    """A person moved its file away."""
    settings = read(FILES + WEB)

    assert remembered(settings.keysets, Forgetful(), RecordingLog()) == {}


def test_a_memory_that_cannot_be_listed_stops_the_start(read: Read, tmp_path: Path) -> None:
    """Which keysets are to be served is not known then."""
    settings = read(FILES + WEB)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "keysets").write_text("no folder")

    with pytest.raises(FrozenError):
        wire_engine(settings, RecordingLog())


def test_pairs_marked_well_known_share_the_combined_set() -> None:
    """Secrets are in no JWKS."""
    policies = {
        "web": policy("RS256", well_known=True),
        "alone": policy("RS256"),
        "internal": policy("HS256", well_known=True),
        "api": policy("RS256", well_known=True),
    }

    assert in_combined_set(policies) == ("web", "api")


# -- the operator ------------------------------------------------------------------------------------------------------


def test_an_operator_works_on_the_same_store_and_leaves_no_trace_on_this_host(read: Read) -> None:
    """Files and listeners belong to the daemon, what was seen too."""
    settings = read(f"{FILES.replace(chr(34) * 2, chr(34) + 'jwks.json' + chr(34), 1)}{INTERNAL}")
    assert settings.publish.file
    operator = wire_operator(settings, RecordingLog())
    rules = settings.keysets["internal"]
    with closing(operator):
        clock = operator.store.load(Tree.KEYS, "internal").clock
        operator.effects.create("internal", rules, clock)

    assert stored(FileStore(settings.store.path), "internal").current is not None
    assert not Path(settings.publish.file).exists()
    assert not settings.daemon.state_dir.exists()


# -- stores ------------------------------------------------------------------------------------------------------------


def vault_of(settings: Settings) -> VaultStore:
    """Return the store that *settings* name, which must be Vault."""
    store = make_store(settings, RecordingLog(), state_dir=settings.daemon.state_dir)
    assert isinstance(store, VaultStore)
    return store


def test_the_file_backend_is_a_folder_and_has_nothing_to_probe(read: Read) -> None:
    """It has no rights and no settings."""
    settings = read(FILES + WEB)

    assert isinstance(make_store(settings, RecordingLog()), FileStore)
    store, probe = make_probed_store(settings, RecordingLog())
    assert isinstance(store, FileStore)
    assert probe is None


def test_a_token_of_the_environment_goes_before_every_way_to_log_in(read: Read) -> None:
    """VAULT_TOKEN, which commands obey as the vault CLI does."""
    settings = read(f'{VAULT}auth = "approle"\n{WEB}', VAULT_TOKEN="from-the-environment")

    login = vault_of(settings).session._connection.login
    assert login == TokenLogin(SecretText("from-the-environment"))


def test_a_token_is_read_from_its_file(read: Read, tmp_path: Path) -> None:
    """Without its trailing newline; a file that is not there is named with its option."""
    settings = read(f'{VAULT}auth = "token"\n{WEB}')
    with pytest.raises(ConfigError, match=r"\[vault\] token_file: .*token cannot be read"):
        make_store(settings, RecordingLog())
    (tmp_path / "token").write_text("from-the-file\n")

    assert vault_of(settings).session._connection.login == TokenLogin(SecretText("from-the-file"))


def test_an_approle_reads_its_files_at_every_log_in(read: Read, tmp_path: Path) -> None:
    """They need not be there yet; failed log-ins are remembered in the state folder."""
    connection = vault_of(read(f'{VAULT}auth = "approle"\n{WEB}')).session._connection

    assert connection.login == AppRoleLogin(tmp_path / "role", tmp_path / "secret")
    assert connection.attempts_file is not None
    assert connection.attempts_file.name == "login.json"


def test_a_command_remembers_no_failed_log_ins(read: Read) -> None:
    """The state folder is the daemon's."""
    store = make_store(read(f'{VAULT}auth = "approle"\n{WEB}'), RecordingLog())
    assert isinstance(store, VaultStore)

    assert store.session._connection.attempts_file is None


def test_store_and_probe_share_one_log_in(read: Read) -> None:
    """A check must not use up two."""
    store, probe = make_probed_store(read(f'{VAULT}auth = "approle"\n{WEB}'), RecordingLog())
    assert isinstance(store, VaultStore)

    assert probe is not None
    assert getattr(probe, "_session", None) is store.session


@pytest.mark.parametrize(
    ("propagation", "seconds"), [("2h", 10.0), ("40s", 10.0), ("20s", 5.0), ("8s", 2.0), ("4s", 2.0)]
)
def test_an_operation_takes_at_most_a_quarter_of_the_shortest_propagation_time(
    read: Read, propagation: str, seconds: float
) -> None:
    """Between 2 s and 10 s, whatever that is."""
    settings = read(f'{VAULT}{WEB}propagation_time = "{propagation}"\nmax_token_lifetime = "1m"\n{INTERNAL}')

    assert deadline(settings) == seconds


# -- publishers and Redis ----------------------------------------------------------------------------------------------


def test_publishers_come_in_the_order_they_are_written(read: Read) -> None:
    """The store first, what others serve last; commands write the store only."""
    text = FILES.replace('file = ""', 'file = "jwks.json"\nverify_urls = ["https://example.com/jwks.json"]')
    settings = read(text + WEB)
    engine = wire_engine(settings, RecordingLog(), lambda: "http://127.0.0.1:1")
    with closing(engine):
        found = [publisher.name for publisher in engine.publishing._publishers]

    assert found == ["store", "file", "http", "verify_urls"]
    commands = wire_operator(settings, RecordingLog()).publishing
    assert [publisher.name for publisher in commands._publishers] == ["store", "verify_urls"]


def test_publishers_that_are_off_are_not_made(read: Read) -> None:
    """Here all but the listener, which is not there either."""
    settings = read(FILES.replace("[publish]", "[publish]\nvault = false") + INTERNAL)
    engine = wire_engine(settings, RecordingLog())
    with closing(engine):
        assert engine.publishing._publishers == ()


def test_an_authority_that_cannot_be_used_stops_the_start(read: Read, tmp_path: Path) -> None:
    """The option is named, and the cause; a good one is used for `verify_urls`."""
    text = FILES.replace('file = ""', 'file = ""\nca_file = "ca.pem"\nverify_urls = ["https://example.com/jwks.json"]')
    settings = read(text + WEB)
    spoils: dict[str, Callable[[Path], object]] = {
        "No such file": lambda path: path.unlink(missing_ok=True),
        "": lambda path: path.write_text("no certificate"),
        "it is no regular file": lambda path: (path.unlink(), os.mkfifo(path)),
    }
    for said, spoil in spoils.items():
        spoil(tmp_path / "ca.pem")
        with pytest.raises(ConfigError, match=rf"^\[publish\] ca_file: {tmp_path}/ca.pem cannot be used \(.*{said}"):
            wire_engine(settings, RecordingLog())


def test_without_redis_nothing_is_announced_or_heard(read: Read) -> None:
    """There is no notifier and no listener."""
    settings = read(FILES + WEB)

    assert settings.redis is None
    assert make_notifier(settings) is None
    assert make_hint_listener(settings, on_hint=lambda _: None, on_gap=lambda: None) is None


def test_with_redis_there_are_both(read: Read, tmp_path: Path) -> None:
    """Neither connects before it is used; the password is read when they are made."""
    settings = read(f'{FILES}[redis]\nurl = "redis://127.0.0.1:1/0"\npassword_file = "password"\n{WEB}')
    with pytest.raises(ConfigError, match=r"\[redis\] password_file: "):
        make_notifier(settings)
    (tmp_path / "password").write_text("secret\n")

    notifier = make_notifier(settings)
    assert notifier is not None
    notifier.close()
    listener = make_hint_listener(settings, on_hint=lambda _: None, on_gap=lambda: None)
    assert listener is not None


def test_an_engine_with_redis_closes_it(read: Read) -> None:
    """Nothing was announced, so no connection was made."""
    engine = wire_engine(read(f'{FILES}[redis]\nurl = "redis://127.0.0.1:1/0"\n{WEB}'), RecordingLog())
    assert engine.publishing._notifier is not None

    engine.close()


def test_authorities_that_cannot_be_read_are_a_fault_before_the_first_connection(read: Read) -> None:
    """As with the password: a reload must find it."""
    settings = read(f'{FILES}[redis]\nurl = "rediss://127.0.0.1:1/0"\nca_file = "missing"\n{WEB}')

    with pytest.raises(ConfigError, match=r"\[redis\] ca_file: "):
        make_notifier(settings)


def test_an_engine_that_takes_over_shares_what_was_seen_and_serves_on(read: Read) -> None:
    """One that has made no pass yet has the keysets' states and sets."""
    settings = read(FILES + WEB + INTERNAL)
    before = wire_engine(settings, RecordingLog())
    with ThreadPoolExecutor(1) as workers:
        before.queue.run_once(workers)
    before.alarms.raise_("web", AlarmReason.OVERDUE)
    after = wire_engine(read(FILES + WEB), RecordingLog(), last_seen=before.last_seen)
    after.take_over(before, same_store=True)
    before.close()

    with closing(after):
        web, internal = after.queue.trackers
        assert (web.policy.rotates, internal.policy.rotates) == (True, False)
        assert web.status is before.queue.trackers[0].status
        assert after.last_seen is before.last_seen
        assert after.cache.get("web") is before.cache.get("web")
        assert after.alarms.active() == before.alarms.active()
