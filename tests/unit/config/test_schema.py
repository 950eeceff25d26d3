"""
Tables and options: which there are, of which type, and that each is documented.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotator.config.schema import KEYSETS, TABLES
from rotator.errors import ConfigError
from tests.support.configuration import MINIMAL, OPTIONS, FaultsOf, Read

ROOT = Path(__file__).parents[3]

# The text of the file -> how each of its faults begins.
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
    "bool as text": (MINIMAL + "retain = 'yes'", ["[keysets.web] retain: must be true or false"]),
    "bool as number": (MINIMAL + "retain = 1", ["[keysets.web] retain: must be true or false"]),
    "readers": (MINIMAL + "readers = 'list'", ['[keysets.web] readers: must be "flat" or "keys"']),
    "log": (
        "[log]\nlevel = 'loud'\nformat = 'xml'\n" + MINIMAL,
        ['[log] level: must be "debug", "info", "warning" or "error"', '[log] format: must be "auto", "json" or "console"'],
    ),
    "backend": ("[store]\nbackend = 'consul'\n" + MINIMAL, ['[store] backend: must be "vault" or "file"']),
    "auth": ("[vault]\nauth = 'kubernetes'\n" + MINIMAL, ['[vault] auth: must be "approle" or "token"']),
    "secret in place of a file": ("[vault]\nsecret_id = 'x'\n" + MINIMAL, ["[vault] secret_id: is an unknown option; did you mean secret_id_file?"]),
    "verify_urls as text": ("[publish]\nverify_urls = 'https://a'\n" + MINIMAL, ["[publish] verify_urls: must be a list of texts"]),
    "unreadable defaults are told once": (
        "[defaults]\nrotation_period = 'monthly'\nwell_known = false\n[keysets.a]\n[keysets.b]",
        ["[defaults] rotation_period: must be a whole number"],
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
    No value makes loading fail other than with ConfigError.
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


def test_settings_do_not_import_pydantic() -> None:
    """
    A process that only uses settings does not pay for pydantic.
    """
    code = "import rotator.config.settings, sys; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
