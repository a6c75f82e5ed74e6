"""``python -m tests.gauntlet [--row K1] [--times 20] [--seed 7]``, called by ``make gauntlet T=K1 N=20 SEED=7``.

Without a row: all rows of the table at their full size. ``T=mutants`` plants bugs and says which tests notice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys
import time
import traceback
from collections.abc import Iterator, Sequence

from tests.gauntlet import mutants
from tests.gauntlet.rows import ROWS
from tests.gauntlet.run import PartMissing, Row, Run
from tests.gauntlet.service import Service, running

MUTANTS = "mutants"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rows that were asked for. Returns 1 when one of them found something."""
    asked = _arguments(argv)
    if asked.row == MUTANTS:
        return mutants.run()
    names = list(ROWS) if asked.row is None else asked.row.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        print(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}, {MUTANTS}")
        return 2
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    broken = []
    with _services() as shared:
        for name in names:
            row = ROWS[name]
            if not _run(row, asked.times or row.full, seed, shared):
                broken.append(name)
    print("all rows hold" if not broken else f"broken: {', '.join(broken)} (SEED={seed})")
    return 1 if broken else 0


def _run(row: Row, times: int, seed: int, shared: Shared) -> bool:
    print(f"{row.id}: {row.what}; N={times} SEED={seed}", flush=True)
    run, began_s = Run.of(row.id, times, seed, loud=True), time.monotonic()
    try:
        if row.shared is not None:
            asyncio.run(row.shared(run, shared.service()))
        elif row.own is not None:
            asyncio.run(row.own(run))
    except PartMissing as missing:
        print(f"{row.id} NOT RUN: this machine lacks {missing}", flush=True)
        return False
    except Exception as problem:  # noqa: BLE001 - whatever went wrong, the other rows are run and this one is named
        print(f"{row.id} BROKEN (make gauntlet T={row.id} N={times} SEED={seed}):", flush=True)
        traceback.print_exception(problem, limit=-4, file=sys.stdout)
        return False
    print(f"{row.id} holds, {time.monotonic() - began_s:.1f} s", flush=True)
    return True


class Shared:
    """The service of the rows that break none, started when the first of them comes."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._service: Service | None = None

    def service(self) -> Service:
        """Two API processes, so that races are not only within one."""
        if self._service is None:
            self._service = self._stack.enter_context(running(API_WORKERS="2"))
            asyncio.run(self._service.ready())
        return self._service


@contextlib.contextmanager
def _services() -> Iterator[Shared]:
    with contextlib.ExitStack() as stack:
        yield Shared(stack)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gauntlet", description=__doc__)
    parser.add_argument("--row", help=f"one row or several with commas: {', '.join(ROWS)}; or {MUTANTS}")
    parser.add_argument("--times", type=int, help="how often; by default the full size of the row")
    parser.add_argument("--seed", type=int, help="what chance begins with; printed at each run")
    given = sys.argv[1:] if argv is None else argv
    # T=K1 N=20 SEED=7 may be said as it is to make.
    names = {"T": "--row", "N": "--times", "SEED": "--seed"}
    plain = [f"{names[part.partition('=')[0]]}={part.partition('=')[2]}" if part.partition("=")[0] in names else part
             for part in given]  # fmt: skip
    return parser.parse_args(plain)


if __name__ == "__main__":
    sys.exit(main())
