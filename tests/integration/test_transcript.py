"""
What operators see does not change unseen: commands, exit codes, stored documents, served pages, metrics and log events.
"""

import difflib
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.site import PROGRAM
from tests.support.transcript import PREFIX, transcript

RECORDED = Path(__file__).with_name("transcript.txt")
TO_RECORD = "python -m tests.support.transcript > tests/integration/transcript.txt"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_transcript_is_the_recorded_one() -> None:
    """
    It was recorded before the package was rebuilt, by the program of that time; a wanted change is recorded and reviewed.
    """
    with tempfile.TemporaryDirectory(
        prefix=PREFIX
    ) as folder:  # as it was recorded: check names folders that are closed
        told = transcript(PROGRAM, Path(folder).resolve()).splitlines()
    changes = list(difflib.unified_diff(RECORDED.read_text().splitlines(), told, "recorded", "now", lineterm="", n=12))
    assert not changes, "\n".join([*changes, f"if that is meant: {TO_RECORD}"])


def test_the_recorded_transcript_holds_no_key_material_and_no_path() -> None:
    """It is a file that everybody reads: what varies was replaced before it was written."""
    recorded = RECORDED.read_text()
    assert "BEGIN" not in recorded
    assert PREFIX not in recorded
    assert str(Path(sys.prefix)) not in recorded
