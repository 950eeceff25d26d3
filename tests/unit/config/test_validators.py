"""
Single options: what value each of them takes, and what is said of any other.
"""

from pathlib import Path

import pytest

from rotator.adapters.redis.connection import RedisConnection
from rotator.errors import ConfigError
from tests.support.configuration import CANARY, MINIMAL, OPTIONS, FaultsOf, Read

# The text of the file -> how each of its faults begins.
FAULTS = {
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
    "poll of nothing": ("[daemon]\npoll_interval = '0s'\n" + MINIMAL, ["[daemon] poll_interval: must be at least 1s"]),
    "poll as word": ("[daemon]\npoll_interval = 'often'\n" + MINIMAL, ["[daemon] poll_interval: must be a whole number and a unit"]),
    "no workers": ("[daemon]\nworkers = 0\n" + MINIMAL, ["[daemon] workers: must be a whole number from 1 to 64"]),
    "many workers": ("[daemon]\nworkers = 65\n" + MINIMAL, ["[daemon] workers: must be a whole number from 1 to 64"]),
    "workers as true": ("[daemon]\nworkers = true\n" + MINIMAL, ["[daemon] workers: must be a whole number from 1 to 64"]),
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
    "Redis password": (f"[redis]\nurl = 'redis://:{CANARY}@r:6379'\n" + MINIMAL, ["[redis] url: must not hold a user name or password; use username and password_file"]),  # noqa: E501
    "Redis password as parameter": (f"[redis]\nurl = 'redis://r?password={CANARY}'\n" + MINIMAL, ["[redis] url: must have no parameters"]),
    "Redis scheme": ("[redis]\nurl = 'http://r'\n" + MINIMAL, ["[redis] url: must be an address"]),
    "Redis database": ("[redis]\nurl = 'redis://r/zero'\n" + MINIMAL, ["[redis] url: must end after the number"]),
    "Redis user": ("[redis]\nusername = 'a b'\n" + MINIMAL, ["[redis] username: must be at most 128 ASCII characters without spaces"]),
    "verify URL with a fragment": ("[publish]\nverify_urls = ['https://a/j#x']\n" + MINIMAL, ['[publish] verify_urls, entry 1: must not hold a fragment ("#...")']),  # noqa: E501
    "verify URL with braces in the host": ("[publish]\nverify_urls = ['https://{keyset}.a/j']\n" + MINIMAL, ["[publish] verify_urls, entry 1: {keyset} belongs into the path"]),  # noqa: E501
    "channel": ("[redis]\nchannel = 'a b'\n" + MINIMAL, ["[redis] channel: must be 1 to 128 letters"]),
    "listen on a port alone": ("[publish]\nhttp = ':8471'\n" + MINIMAL, ["[publish] http: must be HOST:PORT"]),
    "listen on a URL": ("[admin]\nhttp = 'http://127.0.0.1:1'\n" + MINIMAL, ["[admin] http: must be HOST:PORT"]),
    "listen on an odd port": ("[admin]\nhttp = '127.0.0.1:70000'\n" + MINIMAL, ["[admin] http: the port must be at most 65535"]),
    "JWKS folder": ("[publish]\nfile = '/srv/www/'\n" + MINIMAL, ["[publish] file: names a folder"]),
    "braces in the folder": ("[publish]\nfile = '/srv/{keyset}/jwks.json'\n" + MINIMAL, ["[publish] file: {keyset} belongs into the name"]),
    "other braces": ("[publish]\nfile = '/srv/{name}.json'\n" + MINIMAL, ["[publish] file: knows no braces but {keyset}"]),
    "verify_urls one by one": (
        f"[publish]\nverify_urls = ['https://a/j', 'file:///j', 'https://me:{CANARY}@a/j', 1, 'https://a/{{name}}']\n" + MINIMAL,
        [
            "[publish] verify_urls, entry 2: must be an address",
            "[publish] verify_urls, entry 3: must not hold credentials",
            "[publish] verify_urls, entry 4: must be text",
            "[publish] verify_urls, entry 5: knows no braces but {keyset}",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_reported_once_with_table_and_option(faults_of: FaultsOf, text: str, expected: list[str]) -> None:
    """
    Each mistake gives exactly its own faults, in its own place, with the way out.
    """
    found = faults_of(text)
    assert len(found) == len(expected), found
    for fault, start in zip(found, expected, strict=True):
        assert fault.startswith(start)


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
    assert RedisConnection(redis.url).options().items() >= {"path": "/run/redis/redis.sock", "db": 1}.items()
