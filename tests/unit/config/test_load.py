"""
Loading as a whole: defaults and inheritance, the environment, credentials, all faults at once, and warnings.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.config.load import ENVIRONMENT, load, warnings
from rotator.errors import ConfigError
from rotator.model.algorithms import Algorithm
from rotator.model.policy import Readers
from rotator.model.secret import SecretText
from tests.support.configuration import CANARY, MINIMAL, FaultsOf, Read

ROOT = Path(__file__).parents[3]


def test_all_faults_come_at_once_those_between_options_too(faults_of: FaultsOf) -> None:
    """
    One reading finds what is wrong in single options, in unknown ones and between options of several tables.
    """
    found = faults_of(
        """
        [vault]
        address = "vault"
        [daemon]
        poll_interval = "1h"
        [keysets.web]
        rotation_period = "1h"
        [keysets.api]
        algorithm = "HS256"
        rsa_bits = 2048
        retain = "no"
        [kesets.late]
        """,
    )
    starts = ("[kesets]", "[vault] address", "[keysets.api] retain", "[keysets.web] rotation_period", "[keysets.api] rsa_bits", "[daemon] poll_interval")  # fmt: skip  # noqa: E501
    assert [any(fault.startswith(start) for fault in found) for start in starts] == [True] * 6
    assert len(found) == 6


def test_each_fault_begins_with_the_file(read: Read, tmp_path: Path) -> None:
    """
    In a log of several services it says which file to open.
    """
    with pytest.raises(ConfigError) as caught:
        read("[log]\nlevel = 1\n[qqqq]")
    assert all(fault.startswith(f"{tmp_path}/config.toml: [") for fault in caught.value.faults)


def test_config_toml_is_the_defaults(read: Read, tmp_path: Path) -> None:
    """
    The example loads without faults and, keysets and Redis apart, equals the built-in defaults.
    """
    example = load(ROOT / "config.toml", environ={}, command_line=False)
    minimal = read("[redis]\n[keysets.web]\n[keysets.internal]\nalgorithm = 'HS256'")
    moved = replace(minimal, path=example.path)
    here, there = tmp_path, ROOT
    for name in ("role_id_file", "secret_id_file", "token_file"):
        assert getattr(minimal.vault, name).parent == here
        assert getattr(example.vault, name).parent == there
        moved = replace(moved, vault=replace(moved.vault, **{name: getattr(example.vault, name)}))
    assert example == moved
    assert not example.vault.token


def test_keysets_inherit_from_defaults(read: Read) -> None:
    """
    An option in a keyset's own table overrides [defaults], which overrides the built-in value.
    """
    found = read(
        """
        [defaults]
        rotation_period = "10d"
        max_token_lifetime = "1h"
        rsa_bits = 3072
        well_known = true
        [keysets.web]
        max_token_lifetime = "2h"
        [keysets.api]
        algorithm = "HS512"
        readers = "keys"
        retain = true
        """
    ).keysets
    web, api = found["web"], found["api"]
    assert list(found) == ["web", "api"]
    assert (web.rotation_period, web.timing.max_token_lifetime) == (timedelta(days=10), timedelta(hours=2))
    assert (web.timing.propagation_time, web.timing.clock_skew) == (timedelta(hours=2), timedelta(minutes=1))
    assert (web.algorithm, web.rsa_bits, web.well_known, web.retain) == (Algorithm.RS256, 3072, True, False)
    assert (api.algorithm, api.well_known, api.readers, api.retain) == (Algorithm.HS512, False, Readers.KEYS, True)
    assert api.timing.max_token_lifetime == timedelta(hours=1)


def test_without_its_table_redis_is_off(read: Read) -> None:
    """
    Leaving the table out turns notification off; REDIS_URL alone turns it on.
    """
    assert read(MINIMAL).redis is None
    on = read(MINIMAL, {"REDIS_URL": "redis://r/1"}).redis
    assert on is not None
    assert (on.url, on.channel) == ("redis://r/1", "rotator:events")


def test_the_environment_wins(read: Read) -> None:
    """
    The conventional names go before the file, even where the file is faulty; an empty one counts as unset.
    """
    text = MINIMAL + "[vault]\naddress = 'nonsense'\nnamespace = 'a'\n[redis]\nurl = 'redis://file'\n"
    environ = {
        "VAULT_ADDR": "http://127.0.0.1:1",
        "VAULT_NAMESPACE": "",
        "VAULT_CACERT": "ca.pem",
        "REDIS_URL": "redis://env",
    }
    found = read(text, environ)
    assert (found.vault.address, found.vault.namespace) == ("http://127.0.0.1:1", "a")
    assert found.vault.ca_file == Path.cwd() / "ca.pem"
    assert found.redis is not None
    assert found.redis.url == "redis://env"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VAULT_ADDR", CANARY),
        ("VAULT_NAMESPACE", f"../{CANARY}"),
        ("REDIS_URL", f"redis://:{CANARY}@r"),
        ("VAULT_TOKEN", f"{CANARY} and more"),
    ],
)
def test_a_fault_in_the_environment_names_the_variable(faults_of: FaultsOf, variable: str, value: str) -> None:
    """
    The mistake is not in the file, so the file is not named.
    """
    (found,) = faults_of(MINIMAL, {variable: value}, command_line=True)
    assert found.startswith(f"environment {variable}: ")
    assert variable == "VAULT_TOKEN" or variable in ENVIRONMENT


def test_credentials_are_looked_up_where_systemd_puts_them(read: Read, tmp_path: Path) -> None:
    """
    A relative name is looked up in CREDENTIALS_DIRECTORY, then beside the file; an absolute one is taken as it is.
    """
    granted = tmp_path / "granted"
    granted.mkdir()
    (granted / "role_id").write_text("x")
    text = MINIMAL + "[redis]\npassword_file = 'role_id'\n[vault]\ntoken_file = '/etc/hostname'"
    found = read(text, {"CREDENTIALS_DIRECTORY": str(granted)})
    assert found.vault.role_id_file == granted / "role_id"
    assert found.vault.secret_id_file == tmp_path / "secret_id"
    assert found.vault.token_file == Path("/etc/hostname")
    assert found.redis is not None
    assert found.redis.password_file == granted / "role_id"


def test_vault_token_counts_for_commands_and_for_a_daemon_that_asks_for_it(read: Read) -> None:
    """
    An operator's token is used for commands; the daemon ignores it, and says so, unless its auth is "token".
    """
    environ, token = {"VAULT_TOKEN": "hvs.abc"}, SecretText("hvs.abc")
    assert read(MINIMAL, environ, command_line=True).vault.token == token
    assert read(MINIMAL + "[vault]\nauth = 'token'", environ).vault.token == token
    ignoring = read(MINIMAL, environ)
    assert ignoring.vault.token is None
    assert any(text.startswith("VAULT_TOKEN is ignored") for text in warnings(ignoring, environ))
    assert not any("VAULT_TOKEN" in text for text in warnings(ignoring, {}))
    assert read(MINIMAL + "[store]\nbackend = 'file'", environ, command_line=True).vault.token is None
    assert "abc" not in repr(read(MINIMAL, environ, command_line=True))


def test_warnings_say_what_is_likely_not_wanted(read: Read) -> None:
    """
    Own copies only, and plaintext to another machine, are warned of; the same on loopback, or over TLS, is not.
    """
    quiet = MINIMAL + "[publish]\nverify_urls = ['https://a/jwks.json']\n"
    assert warnings(read(quiet), {}) == []
    assert warnings(read(quiet + "[vault]\naddress = 'http://localhost:1'\n[redis]\nurl = 'unix:///r'"), {}) == []
    assert warnings(read(quiet + "[vault]\naddress = 'http://[::1]:1'\n[redis]\nurl = 'rediss://r'"), {}) == []
    loud = warnings(read(MINIMAL + "[vault]\naddress = 'http://vault:1'\n[redis]\nurl = 'redis://127.evil.org'"), {})
    starts = ["[publish] verify_urls is empty", "[vault] address has no TLS", "[redis] url has no TLS"]
    assert [text.startswith(start) for text, start in zip(loud, starts, strict=True)] == [True] * 3
    assert warnings(read("[keysets.api]\nalgorithm = 'HS256'"), {}) == []
    (many,) = warnings(
        read(
            "[keysets.api]\nalgorithm = 'HS256'\nreaders = 'keys'\nrotation_period = '3h'\nmax_token_lifetime = '30d'"
        ),
        {},
    )
    assert many.startswith("[keysets.api] would hold 240 old keys at once")
