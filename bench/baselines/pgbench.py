"""P2's baseline: ``pgbench`` writing what creating an order writes (order_transaction.sql), 16 clients on 2 threads."""

from __future__ import annotations

import base64
import json
import math
import re
import subprocess
from pathlib import Path
from typing import Final

import psycopg

from bench import sample_order
from bench.harness import child_environment
from bench.postgres import BenchDatabase, Postgres
from bench.samples import Sample, Window
from bench.worker import MeasurementError
from payloops.values import new_id

CLIENTS: Final = 16
THREADS: Final = 2
SCRIPT: Final = Path(__file__).with_name("order_transaction.sql")
_TPS: Final = re.compile(r"^tps = ([0-9.]+) \(without initial connection time\)$", re.MULTILINE)
_GRACE_S: Final = 60.0


class OrderTransactions:
    """The baseline on a database of our schema of its own."""

    def __init__(self, postgres: Postgres, database: BenchDatabase) -> None:
        self._pgbench = postgres.pgbench
        self._dsn = database.owner_dsn
        topic, state = sample_order.stored_state()
        row = sample_order.read_row()
        self._values = {
            "topic": topic,
            "state": base64.b64encode(state).decode(),
            "merchant": str(new_id()),
            "metadata": json.dumps(row["metadata"]),
            **{name: str(row[name]) for name in ("external_id", "amount", "currency", "customer_id", "description")},
        }
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute("CREATE SEQUENCE bench_positions")

    def measure(self, window: Window) -> Sample:
        """One run. pgbench counts whole seconds and leaves the time of connecting out; it has no warm-up.

        Raises MeasurementError.
        """
        seconds = math.ceil(window.seconds)
        command = [str(self._pgbench), "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", f"--jobs={THREADS}"]
        command += [f"--time={seconds}", f"--file={SCRIPT}"]
        command += [f"--define={name}={value}" for name, value in self._values.items()]
        done = subprocess.run(
            [*command, self._dsn],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + _GRACE_S,
            env=child_environment(),
        )
        tps = _TPS.search(done.stdout)
        if done.returncode != 0 or tps is None:
            raise MeasurementError(f"pgbench: {done.stderr.strip().splitlines()[-1:] or done.stdout}")
        return Sample(rate_per_s=float(tps[1]))
