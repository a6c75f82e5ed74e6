"""A run of the measurements from end to end, as short as it can be: what it writes is in the promised form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {
    "id": str,
    "what": str,
    "unit": str,
    "value": float,
    "baseline": float,
    "ratio": float,
    "goal": str,
    "met": bool,
    "rounds": int,
}


@pytest.mark.slow
def test_a_quick_run_writes_results_that_conform(tmp_path: Path) -> None:
    environ = {**os.environ, "QUICK": "1", "BENCH_OUT": str(tmp_path)}
    environ.pop("ROWS", None)
    done = subprocess.run(
        [sys.executable, "-m", "bench", "P1"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [result["id"] for result in results] == ["P1", "P1a"]
    for result in results:
        assert {name: type(value) for name, value in result.items()} == FIELDS
        assert result["what"] in done.stdout
    assert "its figures mean nothing" in done.stdout


def test_an_unknown_row_is_refused_in_one_line(tmp_path: Path) -> None:
    environ = {**os.environ, "BENCH_OUT": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "P99"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("bench: there is no row P99; there are ")
    assert {"P1", "P10"} < set(line.split())
    assert not list(tmp_path.iterdir())
