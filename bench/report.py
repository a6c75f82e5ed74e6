"""Results as the table that is printed and as the file that other programs read."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.harness import Options, Result

RESULTS_FILE: Final = "results.json"
ROUNDS_FILE: Final = "rounds.json"
_HEAD: Final = ("row", "what", "unit", "value", "baseline", "ratio", "goal", "")


def write(
    out_dir: Path,
    results: Sequence[Result],
    samples: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> None:
    """Write both files, each whole or not at all."""
    _write(out_dir / RESULTS_FILE, [asdict(result) for result in results])
    _write(out_dir / ROUNDS_FILE, {"machine": machine, "rounds": samples})


def read(out_dir: Path) -> list[Result]:
    """The results that were written. Raises FileNotFoundError; TypeError for a file of another form."""
    return [Result(**entry) for entry in json.loads((out_dir / RESULTS_FILE).read_text(encoding="utf-8"))]


def table(results: Sequence[Result]) -> str:
    """The results as aligned lines."""
    lines = [_HEAD, *map(_cells, results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join(_aligned(line, widths) for line in lines)


def machine(options: Options, postgres_version: str) -> dict[str, Any]:
    """What the figures were measured on and how."""
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgres": postgres_version,
        "durability": "fsync, synchronous_commit and full_page_writes on",
        "rounds": options.rounds,
        "seconds": options.seconds,
        "quick": options.quick,
    }


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.id,
        result.what,
        result.unit,
        _figure(result.value),
        _figure(result.baseline),
        f"{result.ratio:.2f}×",
        result.goal,
        "met" if result.met else "NOT MET",
    )


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:,.4g}"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.rjust(width) if column in {3, 4, 5} else text.ljust(width)
        for column, (text, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)
