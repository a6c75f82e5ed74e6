"""``python -m bench [ROW…]``: measure, print the table, write bench/out/results.json.

ROWS (as arguments or in the environment), ROUNDS, SECONDS per measurement and QUICK=1 choose what and how long.
The exit status is 0 when every row ran, met or not; 1 when one failed; 2 when the options can't be used.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from bench import report, rows
from bench.harness import Bench, MissingPartError, OptionError, Options, Result
from bench.postgres import start_postgres

OUT_DIR = Path(__file__).resolve().parent / "out"


def main(arguments: Sequence[str]) -> int:
    try:
        options = Options.from_env(os.environ)
        wanted = rows.chosen(arguments or os.environ.get("ROWS", "").split())
    except (OptionError, rows.UnknownRowError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    with start_postgres() as postgres:
        postgres.require_durable()
        bench = Bench(options, postgres, Path(os.environ.get("BENCH_OUT") or OUT_DIR))
        results, skipped, failed = _run(bench, wanted)
        machine = report.machine(options, postgres.version)
    report.write(bench.out_dir, results, bench.samples, machine)
    print(report.table(report.read(bench.out_dir)))
    print(f"\nmedian of {options.rounds} interleaved rounds of {options.seconds:g} s; {machine['cpus']} CPUs,", end=" ")
    print(f"PostgreSQL {machine['postgres']}, {machine['durability']}")
    if options.quick:
        print("QUICK: this run proves that the rows run; its figures mean nothing")
    for line in (*skipped, *failed):
        print(line)
    return 1 if failed else 0


def _run(bench: Bench, wanted: Sequence[str]) -> tuple[list[Result], list[str], list[str]]:
    results: list[Result] = []
    skipped: list[str] = []
    failed: list[str] = []
    for name in wanted:
        bench.row = name
        started_s = time.monotonic()
        try:
            module = rows.load(name)
            bench.say(module.WHAT)
            results += module.run(bench)
        except MissingPartError as problem:
            skipped.append(f"{name} SKIPPED: {problem}")
        except Exception as problem:  # noqa: BLE001 - one row's failure leaves the other rows to be measured
            traceback.print_exc()
            failed.append(f"{name} FAILED: {type(problem).__name__}: {problem}")
        bench.say(f"{time.monotonic() - started_s:.0f} s")
    return results, skipped, failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
