"""
The configuration: what is accepted, and that every fault is told at once, in its place, without a value in it.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotator.adapters.redis.connection import connection_options
from rotator.config.load import ENVIRONMENT, load, warnings
from rotator.config.schema import KEYSETS, TABLES
from rotator.config.settings import Settings
from rotator.errors import ConfigError
from rotator.model.algorithms import Algorithm
from rotator.model.policy import Readers
from rotator.model.secret import SecretText

ROOT = Path(__file__).parents[3]
MINIMAL = "[keysets.web]\n"
CANARY = "hunter2-Xy9_canary"
Read = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """
    Load a text as configuration, with an environment of its own.
    """

    def do(text: str, environ: Mapping[str, str] | None = None, *, command_line: bool = False) -> Settings:
        (tmp_path / "config.toml").write_text(text)
        return load(tmp_path / "config.toml", environ=environ or {}, command_line=command_line)

    return do


def faults_of(
    read: Read, text: str, environ: Mapping[str, str] | None = None, *, command_line: bool = False
) -> list[str]:
    """
    The faults of a text, without the path of the file before each.
    """
    with pytest.raises(ConfigError) as caught:
        read(text, environ, command_line=command_line)
    assert CANARY not in str(caught.value)
    return [fault.partition("config.toml: ")[2] or fault for fault in caught.value.faults]


# What stands in the file -> how each of its faults begins.
FAULTS = {
    "no keyset": ("", ["[keysets] must hold a table for each"]),
    "empty table of keysets": ("[keysets]", ["[keysets] must hold a table for each"]),
    "keysets is no table": ("keysets = 1", ["[keysets] must hold a table for each"]),
    "a keyset is no table": ("[keysets]\nweb = 1", ["[keysets.web] must be a table"]),
    "a table is no table": (MINIMAL + "[[vault]]", ["[vault] must be a table"]),
    "unknown table": (MINIMAL + "[valt]", ["[valt] is an unknown table; did you mean vault?"]),
    "unknown table like none": (MINIMAL + "[qqqq]", ["[qqqq] is an unknown table"]),
    "option outside any table": (
        "workers = 8\n" + MINIMAL,
        ["workers: is an unknown option outside any table; it belongs into [daemon]"],
    ),
    "unknown option": (MINIMAL + "rotation_periot = '1d'", ["[keysets.web] rotation_periot: is an unknown option; did you mean rotation_period?"]),
    "option of another table": (MINIMAL + "state_dir = '/x'", ["[keysets.web] state_dir: is an unknown option; it belongs into [daemon]"]),
    "unknown option like none": (MINIMAL + "qqqq = 1", ["[keysets.web] qqqq: is an unknown option; remove it"]),
    "name with a secret's length": (MINIMAL + "k" * 64 + " = 1", ["[keysets.web] (a name of 64 characters): is an unknown"]),
    "name of a keyset": ("[keysets.Web]", ["[keysets.Web] is no name for a keyset; use up to 63 of"]),
    "long name of a keyset": (f"[keysets.{'w' * 64}]", ["[keysets.(a name of 64 characters)] is no name for a keyset"]),
    "hyphen first": ("[keysets.-web]", ["[keysets.-web] is no name for a keyset"]),
    "duration without unit": (MINIMAL + "clock_skew = '60'", ["[keysets.web] clock_skew: must be a whole number and a unit"]),
    "duration as number": (MINIMAL + "clock_skew = 60", ["[keysets.web] clock_skew: must be a whole number and a unit"]),
    "duration as ISO 8601": (MINIMAL + "clock_skew = 'PT1M'", ["[keysets.web] clock_skew: must be a whole number and a unit"]),
    "duration as true": (MINIMAL + "clock_skew = true", ["[keysets.web] clock_skew: must be a whole number and a unit"]),
    "later algorithm": (MINIMAL + "algorithm = 'ES256'", ["[keysets.web] algorithm: EC keys (ES256, ES384, ES512) are not supported yet; use RS256"]),
    "EdDSA": (MINIMAL + "algorithm = 'EdDSA'", ["[keysets.web] algorithm: Ed25519 keys (EdDSA) are not supported yet"]),
    "PS256": (MINIMAL + "algorithm = 'PS256'", ["[keysets.web] algorithm: RS384, RS512 and PS256 to PS512 are not supported yet"]),
    "ML-DSA": (MINIMAL + "algorithm = 'ML-DSA-44'", ["[keysets.web] algorithm: ML-DSA keys are not supported yet"]),
    "algorithm in lower case": (MINIMAL + "algorithm = 'rs256'", ['[keysets.web] algorithm: must be written "RS256"']),
    "algorithm none": (MINIMAL + "algorithm = 'none'", ["[keysets.web] algorithm: must be one of RS256, HS256, HS384, HS512"]),
    "rsa_bits of old": (MINIMAL + "rsa_bits = 1024", ["[keysets.web] rsa_bits: must be 2048, 3072 or 4096"]),
    "rsa_bits as text": (MINIMAL + "rsa_bits = '2048'", ["[keysets.web] rsa_bits: must be 2048, 3072 or 4096"]),
    "rsa_bits as float": (MINIMAL + "rsa_bits = 2048.0", ["[keysets.web] rsa_bits: must be 2048, 3072 or 4096"]),
    "bool as text": (MINIMAL + "retain = 'yes'", ["[keysets.web] retain: must be true or false"]),
    "bool as number": (MINIMAL + "retain = 1", ["[keysets.web] retain: must be true or false"]),
    "readers": (MINIMAL + "readers = 'list'", ['[keysets.web] readers: must be "flat" or "keys"']),
    "rsa_bits of a secret": (
        "[keysets.api]\nalgorithm = 'HS256'\nrsa_bits = 2048",
        ["[keysets.api] rsa_bits: is for asymmetric keysets, and this one is HS256; remove it"],
    ),
    "well_known secret": (
        "[keysets.api]\nalgorithm = 'HS256'\nwell_known = false",
        ["[keysets.api] well_known: is for asymmetric keysets"],
    ),
    "readers of key pairs": (MINIMAL + "readers = 'keys'", ["[keysets.web] readers: is for HMAC keysets, and this one is RS256"]),
    "two that must say": (
        MINIMAL + "[keysets.api]",
        ["[keysets.web] well_known: must be said", "[keysets.api] well_known: must be said"],
    ),
    "one of two that must say": (MINIMAL + "well_known = true\n[keysets.api]", ["[keysets.api] well_known: must be said"]),
    "period below propagation": (
        MINIMAL + "rotation_period = '1h'",
        ["[keysets.web] rotation_period (1h) must be longer than propagation_time (2h); raise rotation_period above 2h or lower"],
    ),
    "retention above an HMAC period": (
        "[keysets.api]\nalgorithm = 'HS256'\nrotation_period = '3d'",
        ["[keysets.api] retention (10201m = propagation_time + max_token_lifetime + clock_skew) exceeds rotation_period (3d)"],
    ),
    "impossible defaults are told once": (
        "[defaults]\nrotation_period = '1h'\nwell_known = false\n[keysets.a]\n[keysets.b]\n[publish]\nfile = ''",
        ["[defaults] rotation_period (1h) must be longer than propagation_time (2h)"],
    ),
    "unreadable defaults are told once": (
        "[defaults]\nrotation_period = 'monthly'\nwell_known = false\n[keysets.a]\n[keysets.b]",
        ["[defaults] rotation_period: must be a whole number"],
    ),
    "zero propagation": (
        MINIMAL + "propagation_time = '0s'",
        ["[keysets.web] propagation_time must be at least 1s"],
    ),
    "poll above P/8": (
        "[daemon]\npoll_interval = '5m'\n[keysets.web]\npropagation_time = '80s'",
        ['[daemon] poll_interval: 5m is above an eighth of the propagation_time of web (80s); lower it to at most 10s, or say "auto"'],
    ),
    "poll that nothing could satisfy": (
        "[daemon]\npoll_interval = '1s'\n[keysets.web]\npropagation_time = '4s'",
        ['[daemon] poll_interval: 1s is above an eighth of the propagation_time of web (4s); say "auto"'],
    ),
    "poll of nothing": ("[daemon]\npoll_interval = '0s'\n" + MINIMAL, ["[daemon] poll_interval: must be at least 1s"]),
    "poll as word": ("[daemon]\npoll_interval = 'often'\n" + MINIMAL, ["[daemon] poll_interval: must be a whole number and a unit"]),
    "no workers": ("[daemon]\nworkers = 0\n" + MINIMAL, ["[daemon] workers: must be a whole number from 1 to 64"]),
    "many workers": ("[daemon]\nworkers = 65\n" + MINIMAL, ["[daemon] workers: must be a whole number from 1 to 64"]),
    "workers as true": ("[daemon]\nworkers = true\n" + MINIMAL, ["[daemon] workers: must be a whole number from 1 to 64"]),
    "log": (
        "[log]\nlevel = 'loud'\nformat = 'xml'\n" + MINIMAL,
        ['[log] level: must be "debug", "info", "warning" or "error"', '[log] format: must be "auto", "json" or "console"'],
    ),
    "backend": ("[store]\nbackend = 'consul'\n" + MINIMAL, ['[store] backend: must be "vault" or "file"']),
    "empty path": ("[store]\npath = ''\n" + MINIMAL, ["[store] path: must not be empty"]),
    "home": ("[store]\npath = '~/store'\n" + MINIMAL, ["[store] path: ~ is not expanded"]),
    "address without scheme": ("[vault]\naddress = 'vault:8200'\n" + MINIMAL, ["[vault] address: must be an address, as in"]),
    "address of another scheme": ("[vault]\naddress = 'ftp://vault'\n" + MINIMAL, ["[vault] address: must be an address, as in"]),
    "address with a path": ("[vault]\naddress = 'https://v/v1'\n" + MINIMAL, ["[vault] address: must end after the port"]),
    "address with credentials": (
        f"[vault]\naddress = 'https://me:{CANARY}@v'\n" + MINIMAL,
        ["[vault] address: must not hold credentials"],
    ),
    "address with an odd port": ("[vault]\naddress = 'https://v:99999'\n" + MINIMAL, ["[vault] address: must be an address"]),
    "slashes around a mount": ("[vault]\nmount = '/kv'\nprefix = 'a/'\n" + MINIMAL, ["[vault] mount: must be", "[vault] prefix: must be"]),
    "wildcards": ("[vault]\nmount = 'kv+'\nprefix = 'a/*'\n" + MINIMAL, ["[vault] mount: must be", "[vault] prefix: must be"]),
    "a way up": ("[vault]\nmount = '..'\nprefix = 'a/../b'\n" + MINIMAL, ['[vault] mount: must not have "."', '[vault] prefix: must not have "."']),
    "no prefix": ("[vault]\nprefix = ''\n" + MINIMAL, ["[vault] prefix: must be letters"]),
    "auth": ("[vault]\nauth = 'kubernetes'\n" + MINIMAL, ['[vault] auth: must be "approle" or "token"']),
    "secret in place of a file": ("[vault]\nsecret_id = 'x'\n" + MINIMAL, ["[vault] secret_id: is an unknown option; did you mean secret_id_file?"]),
    "Redis password": (f"[redis]\nurl = 'redis://:{CANARY}@r:6379'\n" + MINIMAL, ["[redis] url: must not hold a user name or password; use username and password_file"]),  # noqa: E501
    "Redis password as parameter": (f"[redis]\nurl = 'redis://r?password={CANARY}'\n" + MINIMAL, ["[redis] url: must have no parameters"]),
    "Redis scheme": ("[redis]\nurl = 'http://r'\n" + MINIMAL, ["[redis] url: must be an address"]),
    "Redis database": ("[redis]\nurl = 'redis://r/zero'\n" + MINIMAL, ["[redis] url: must end after the number"]),
    "Redis authority without TLS": ("[redis]\nca_file = 'ca.pem'\n" + MINIMAL, ["[redis] ca_file: does nothing"]),
    "channel": ("[redis]\nchannel = 'a b'\n" + MINIMAL, ["[redis] channel: must be 1 to 128 letters"]),
    "listen on a port alone": ("[publish]\nhttp = ':8471'\n" + MINIMAL, ["[publish] http: must be HOST:PORT"]),
    "listen on a URL": ("[admin]\nhttp = 'http://127.0.0.1:1'\n" + MINIMAL, ["[admin] http: must be HOST:PORT"]),
    "listen on an odd port": ("[admin]\nhttp = '127.0.0.1:70000'\n" + MINIMAL, ["[admin] http: the port must be at most 65535"]),
    "two listeners on one port": ("[admin]\nhttp = '127.0.0.1:8471'\n" + MINIMAL, ["[admin] http: is the address of [publish] http, too"]),
    "JWKS folder": ("[publish]\nfile = '/srv/www/'\n" + MINIMAL, ["[publish] file: names a folder"]),
    "braces in the folder": ("[publish]\nfile = '/srv/{keyset}/jwks.json'\n" + MINIMAL, ["[publish] file: {keyset} belongs into the name"]),
    "other braces": ("[publish]\nfile = '/srv/{name}.json'\n" + MINIMAL, ["[publish] file: knows no braces but {keyset}"]),
    "verify_urls as text": ("[publish]\nverify_urls = 'https://a'\n" + MINIMAL, ["[publish] verify_urls: must be a list of texts"]),
    "verify_urls one by one": (
        f"[publish]\nverify_urls = ['https://a/j', 'file:///j', 'https://me:{CANARY}@a/j', 1, 'https://a/{{name}}']\n" + MINIMAL,
        [
            "[publish] verify_urls, entry 2: must be an address",
            "[publish] verify_urls, entry 3: must not hold credentials",
            "[publish] verify_urls, entry 4: must be text",
            "[publish] verify_urls, entry 5: knows no braces but {keyset}",
        ],
    ),
    "verify URL that would never be read": (
        "[publish]\nverify_urls = ['https://a/j', 'https://a/{keyset}']\n" + MINIMAL + "well_known = false",
        ["[publish] verify_urls, entry 1: would never be read, since no keyset is in the combined set"],
    ),
    "file that would stay empty": (
        "[publish]\nfile = '/srv/jwks.json'\n" + MINIMAL + "well_known = false",
        ["[publish] file: would stay empty, since no keyset is in the combined set"],
    ),
    "published nowhere": (
        "[publish]\nvault = false\nfile = ''\nhttp = ''\n" + MINIMAL,
        ["[keysets.web] is published nowhere, so nobody could verify its tokens"],
    ),
    "published in a file that leaves it out": (
        "[publish]\nvault = false\nhttp = ''\n[keysets.a]\nwell_known = true\n[keysets.b]\nwell_known = false",
        ["[keysets.b] is published nowhere"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_once_with_table_and_option(read: Read, text: str, expected: list[str]) -> None:
    """
    Each mistake gives exactly its own faults, in its own place, with the way out.
    """
    found = faults_of(read, text)
    assert len(found) == len(expected), found
    for fault, start in zip(found, expected, strict=True):
        assert fault.startswith(start)


def test_all_faults_come_at_once_those_between_options_too(read: Read) -> None:
    """
    One reading finds what is wrong in single options, in unknown ones and between options of several tables.
    """
    found = faults_of(
        read,
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
    Whoever reads a log of several services knows which file to open.
    """
    with pytest.raises(ConfigError) as caught:
        read("[log]\nlevel = 1\n[qqqq]")
    assert all(fault.startswith(f"{tmp_path}/config.toml: [") for fault in caught.value.faults)


def test_what_depends_on_an_unreadable_option_is_not_judged(read: Read) -> None:
    """
    A mistyped duration is one fault, not also an impossible policy made with a default in its place.
    """
    assert (
        len(faults_of(read, "[keysets.api]\nalgorithm = 'HS256'\nrotation_period = '3d'\nmax_token_lifetime = '7'"))
        == 1
    )
    assert (
        len(
            faults_of(
                read, "[defaults]\nalgorithm = 'XS1'\n[keysets.a]\nreaders = 'keys'\n[keysets.b]\nrsa_bits = 2048"
            )
        )
        == 1
    )


OPTIONS = [(table, option) for table, kind in TABLES.items() for option in kind._fields]


@pytest.mark.parametrize(("table", "option"), OPTIONS, ids=[f"{table}.{option}" for table, option in OPTIONS])
@pytest.mark.parametrize(
    "value", [f'"{CANARY} \\u0007"', f'"{CANARY}"', f'["{CANARY}"]', f'{{"{CANARY}" = "{CANARY}"}}', "31337", "3.1337"]
)
def test_no_fault_repeats_a_value(read: Read, table: str, option: str, value: str) -> None:
    """
    A secret pasted anywhere does not come out in the message.
    """
    text = MINIMAL + f"[{table}]\n{option} = {value}\n"
    try:
        read(text)
    except ConfigError as error:
        assert CANARY not in str(error)  # noqa: PT017 - some options take some of these values
        assert "1337" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        f'[vault]\naddress = "{CANARY}',
        f"[vault]\naddress = {CANARY}",
        f"['{CANARY}']\n['{CANARY}']",
        f"x = {{'{CANARY}' = 1, '{CANARY}' = 2}}",
        f"'{CANARY}' = 1\n'{CANARY}'.a = 2",
        f"a.'{CANARY}' = 1\n[a.'{CANARY}']",
        f"x = 2026-99-99 # {CANARY}",
    ],
)
def test_a_syntax_error_names_line_and_column_and_no_text(read: Read, text: str) -> None:
    """
    Text that is not TOML gives one fault that says where.
    """
    (found,) = faults_of(read, text)
    assert found.startswith(("is not valid TOML at line ", "is not valid TOML at end of document: "))


def test_a_syntax_error_says_what_is_wrong_as_far_as_that_is_no_text_of_the_file(read: Read) -> None:
    """
    The parser's reason is kept, without the names that it may quote.
    """
    assert faults_of(read, "[vault]\naddress") == [
        "is not valid TOML at end of document: expected '=' after a key in a key/value pair"
    ]
    (twice,) = faults_of(read, f"['{CANARY}']\n['{CANARY}']")
    assert twice.endswith(": the same table or option is there twice")


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x = " + "9" * 5000])
def test_a_hostile_text_is_one_fault(read: Read, text: str) -> None:
    """
    What exceeds the parser's limits is told like any other syntax error.
    """
    (found,) = faults_of(read, text)
    assert found.startswith("is not valid TOML")


def test_a_file_that_is_not_utf_8_is_one_fault(tmp_path: Path) -> None:
    """
    The position is told, the bytes are not.
    """
    (tmp_path / "c").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 2\)"):
        load(tmp_path / "c", environ={}, command_line=True)


VALUES = st.recursive(
    st.text(max_size=20)
    | st.integers(-(10**6), 10**20)
    | st.booleans()
    | st.sampled_from(["1d", "RS256", "https://a", "a:1"]),
    lambda children: st.lists(children, max_size=3),
    max_leaves=4,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(OPTIONS), VALUES, max_size=4))
def test_whatever_stands_in_the_file_it_loads_or_is_refused(read: Read, options: dict[tuple[str, str], object]) -> None:
    """
    No value makes the reading fail in another way than by ConfigError.
    """
    lines = ["[keysets.web]"]
    for (table, option), value in options.items():
        # A JSON text is a TOML text once DEL is escaped, too.
        lines.append(f"[{table}.x]" if table == KEYSETS else "")
        lines.insert(0, f"{table}.{option} = {json.dumps(value).replace(chr(127), chr(92) + 'u007f')}")
    try:
        assert read("\n".join(lines)).keysets
    except ConfigError as error:
        assert error.faults  # noqa: PT017 - both ends are right


def test_config_toml_is_the_defaults(read: Read, tmp_path: Path) -> None:
    """
    The example loads without faults and, keysets and Redis apart, says what is the case without it.
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


@pytest.mark.parametrize("document", ["config.toml", "docs/configuration.md"])
def test_every_option_is_documented(document: str) -> None:
    """
    No option is added without its line in the example and in the manual.
    """
    text = (ROOT / document).read_text()
    heading, line, end = (
        ("\n## `[{}]`", "\n| `{}` |", "\n## ") if document.endswith("md") else ("\n[{}]", "{} = ", "\n[")
    )
    for table, option in OPTIONS:
        section = text.partition(heading.format(table))[2].partition(end)[0]
        assert line.format(option) in section, f"[{table}] {option}"


def test_config_toml_has_no_option_that_is_none() -> None:
    """
    Every line of the example is an option.
    """
    example = tomllib.loads((ROOT / "config.toml").read_text())
    for table, options in example.items():
        assert table == KEYSETS or options.keys() <= set(TABLES[table]._fields)


def test_keysets_inherit_from_defaults(read: Read) -> None:
    """
    An option in a keyset's own table goes before [defaults], that before the built-in value.
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


def test_a_lone_asymmetric_keyset_is_well_known(read: Read) -> None:
    """
    Beside HMAC keysets one RSA keyset needs no word to be in the combined set; it may say no.
    """
    hmac = "[keysets.api]\nalgorithm = 'HS256'\n"
    assert read(hmac + MINIMAL).keysets["web"].well_known
    assert not read(hmac + MINIMAL).keysets["api"].well_known
    assert not read(hmac + MINIMAL + "well_known = false").keysets["web"].well_known


def test_shared_secrets_alone_need_no_publisher(read: Read) -> None:
    """
    Where nothing is asymmetric, nothing has to be published, and a file set to its default value does no harm.
    """
    hmac = "[keysets.api]\nalgorithm = 'HS256'\n"
    assert read(hmac + "[publish]\nvault = false\nfile = ''\nhttp = ''").keysets
    assert read(hmac + "[publish]\nfile = '/var/lib/rotator/public/jwks.json'").keysets


def test_addresses_and_paths_come_out_in_one_form(read: Read, tmp_path: Path) -> None:
    """
    Slashes at the ends go, relative paths start at the file.
    """
    found = read(
        MINIMAL
        + """
        [vault]
        address = "https://v:8200/"
        mount = "team/kv-2"
        prefix = "a.b/c_d"
        namespace = "admin/"
        [redis]
        url = "rediss://r:6380/3"
        ca_file = "ca.pem"
        password_file = "p"
        [publish]
        file = "public/{keyset}.json"
        http = "[::1]:8471"
        verify_urls = ["https://a/{keyset}/jwks.json?x=1"]
        """
    )
    vault, redis, publish = found.vault, found.redis, found.publish
    assert (vault.address, vault.mount, vault.prefix, vault.namespace) == (
        "https://v:8200",
        "team/kv-2",
        "a.b/c_d",
        "admin",
    )
    assert redis is not None
    assert (redis.url, redis.ca_file, redis.password_file) == ("rediss://r:6380/3", tmp_path / "ca.pem", tmp_path / "p")
    assert publish.file == f"{tmp_path}/public/{{keyset}}.json"
    assert publish.verify_urls == ("https://a/{keyset}/jwks.json?x=1",)
    assert found.path == tmp_path / "config.toml"
    redis = read(MINIMAL + "[redis]\nurl = 'unix:///run/redis/redis.sock?db=1'").redis
    assert redis is not None
    assert connection_options(redis.url, "", None, None).items() >= {"path": "/run/redis/redis.sock", "db": 1}.items()


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
def test_a_fault_in_the_environment_names_the_variable(read: Read, variable: str, value: str) -> None:
    """
    Whoever looks for the mistake is not sent to the file.
    """
    (found,) = faults_of(read, MINIMAL, {variable: value}, command_line=True)
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


def test_the_file_is_looked_for_in_four_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    --config goes before ROTATOR_CONFIG, that before ./config.toml; a named file that is not there is never passed over.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("config.toml", "env.toml", "option.toml"):
        (tmp_path / name).write_text(MINIMAL)
    named = {"ROTATOR_CONFIG": "env.toml"}
    assert load(Path("option.toml"), environ=named, command_line=True).path == tmp_path / "option.toml"
    assert load(None, environ=named, command_line=True).path == tmp_path / "env.toml"
    assert load(None, environ={}, command_line=True).path == tmp_path / "config.toml"
    with pytest.raises(ConfigError, match=r"gone\.toml: does not exist; correct ROTATOR_CONFIG"):
        load(None, environ={"ROTATOR_CONFIG": "gone.toml"}, command_line=True)
    with pytest.raises(ConfigError, match=r"gone\.toml: does not exist; correct --config"):
        load(Path("gone.toml"), environ={}, command_line=True)
    (tmp_path / "config.toml").unlink()
    if not Path("/etc/rotator/config.toml").exists():
        with pytest.raises(
            ConfigError, match=r"--config nor ROTATOR_CONFIG .* /.*/config\.toml, /etc/rotator/config\.toml"
        ):
            load(None, environ={}, command_line=True)


def test_a_file_that_cannot_be_read_is_told_so(tmp_path: Path) -> None:
    """
    A folder, or a file of somebody else, is not "no configuration".
    """
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path, environ={}, command_line=True)


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


def test_settings_do_not_import_pydantic() -> None:
    """
    Whoever is given settings does not pay for how they were read.
    """
    code = "import rotator.config.settings, sys; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
