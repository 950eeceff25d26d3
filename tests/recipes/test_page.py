"""
The page itself: nothing on it is code that no test runs.
"""

import json
import re
from datetime import timedelta
from pathlib import Path

from rotator.model.times import parse_duration
from tests.recipes.page import PAGE, recipe, recipes

HERE = Path(__file__).parent
DOCUMENTS = PAGE.with_name("documents.md")
DEFAULT = timedelta(hours=2)


def test_every_block_of_code_is_a_recipe_with_a_test() -> None:
    """Each fenced block has a name of its own, and some test takes it by that name."""
    blocks = re.findall(r"^```\w+$", PAGE.read_text(), re.MULTILINE)
    tests = "".join(path.read_text() for path in HERE.glob("*.py"))
    assert len(blocks) == len(recipes())
    assert [name for name in recipes() if f'"{name}"' not in tests] == []


def test_configuration_files_poll_in_time() -> None:
    """What Vault Agent and the operator have as intervals is at most half of the default propagation time."""
    for name, option in (("vault-agent", "static_secret_render_interval"), ("external-secrets", "refreshInterval")):
        (interval,) = re.findall(rf'{option}(?: =|:) "?(\w+)', recipe(name))
        assert parse_duration(interval) <= DEFAULT / 2


def test_external_secrets_names_fields_that_there_are() -> None:
    """Every field in the templates is one of the golden document, which is where the ExternalSecret reads."""
    text = recipe("external-secrets")
    golden = re.search(r"^### `keys/internal`.*?^```json\n(.*?)^```$", DOCUMENTS.read_text(), re.MULTILINE | re.DOTALL)
    assert golden
    fields = re.findall(r"{{ \.(\w+) }}", text)
    assert fields == ["kid", "current", "old", "next"]
    assert set(fields) <= json.loads(golden[1]).keys()
    assert re.findall(r"^ +key: (.+)$", text, re.MULTILINE) == ["rotator/keys/internal"]
    assert "refreshInterval" in text


def test_links_lead_somewhere() -> None:
    """Each link within the page names a heading, as GitHub spells it; each other one a file."""
    text = PAGE.read_text()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^## (.+)$", text, re.MULTILINE)
    }
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in links if link[0] == "#" and link[1:] not in headings] == []
    assert [link for link in links if link[0] != "#" and not (PAGE.parent / link).exists()] == []
    assert len(links) > len(headings)
