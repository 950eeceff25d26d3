"""
The benchmarks: they run rarely, so that a change of what they import would be noticed late.
"""

import runpy
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
SCRIPTS = sorted(path.name for path in BENCH.iterdir() if path.is_file())


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_finds_what_it_measures(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each loads, and has a `main`; `make check` finds the calls in it that no longer fit."""
    monkeypatch.syspath_prepend(BENCH.parent)
    assert callable(runpy.run_path(str(BENCH / script))["main"])


def test_all_benchmarks_are_run() -> None:
    """By `make bench`."""
    makefile = (BENCH.parent / "Makefile").read_text()
    assert [script for script in SCRIPTS if f"\t$(BIN)/python bench/{script}\n" in makefile] == SCRIPTS
