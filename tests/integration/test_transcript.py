"""
What operators see does not change unseen: commands, exit codes, stored documents, served pages, metrics and log events.
"""

import difflib
import sys
from pathlib import Path

import pytest

from tests.support.site import PROGRAM
from tests.support.transcript import transcript

RECORDED = Path(__file__).with_name("transcript.txt")
TO_RECORD = "python -m tests.support.transcript > tests/integration/transcript.txt"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_transcript_is_the_recorded_one(tmp_path: Path) -> None:
    """
    It was recorded before the package was rebuilt, by the program of that time; a wanted change is recorded and reviewed.
    """
    told = transcript(PROGRAM, tmp_path).splitlines()
    changes = list(difflib.unified_diff(RECORDED.read_text().splitlines(), told, "recorded", "now", lineterm="", n=12))
    assert not changes, "\n".join([*changes, f"if that is meant: {TO_RECORD}"])


def test_the_recorded_transcript_holds_no_key_material_and_no_path() -> None:
    """It is a file that everybody reads: what varies was replaced before it was written."""
    recorded = RECORDED.read_text()
    assert "BEGIN" not in recorded
    assert "rotator-transcript-" not in recorded
    assert str(Path(sys.prefix)) not in recorded
