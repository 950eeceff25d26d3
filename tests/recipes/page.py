"""
The recipes as they stand in docs/consumers.md: each fenced block under a comment `<!-- recipe: NAME -->`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "consumers.md"
_BLOCK = re.compile(r"^<!-- recipe: ([a-z-]+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def recipes() -> dict[str, str]:
    """
    Return every recipe of the page by name.
    """
    return dict(_BLOCK.findall(PAGE.read_text()))


def recipe(name: str, places: Mapping[str, str] | None = None) -> str:
    """
    Return the text of a recipe.

    A configuration file cannot read the environment: *places* maps what the page says to what a test puts there.
    """
    text = recipes()[name]
    for said, here in (places or {}).items():
        assert said in text, said
        text = text.replace(said, here)
    return text
