"""K1 and K3 as one machine has them: `payloops up`, whose children and whose Postgres are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import Final

import psutil

from payloops import embedded_postgres
from tests.gauntlet.checker import check
from tests.gauntlet.run import Row, Run
from tests.gauntlet.service import STOP_WITHIN_S, NotReady, Part, Service, prepared
from tests.gauntlet.shop import Shop, opened, under_load
from tests.gauntlet.waiting import more_acknowledged, until

READY_WITHIN_S: Final = {"api": 5.0, "relay": 5.0, "sandbox": 5.0, "postgres": 15.0}
START_WITHIN_S: Final = 60.0


async def k1_up(run: Run) -> None:
    """Each child, then Postgres, is killed under load; the supervisor brings it back by itself."""
    with prepared() as service:
        # `up` runs the server itself, on the same data.
        service.postgres.stop()
        for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL"):
            del service.settings[name]
        up = service.part("up")
        process = _start(up)
        try:
            await service.ready(within_s=START_WITHIN_S)
            await until(lambda: "ready http" in up.tail(), START_WITHIN_S, "up says that it is ready")
            async with opened(service) as shop:
                for _ in range(run.times):
                    for name in READY_WITHIN_S:
                        await _kill_child(service, process, shop, name, run)
        finally:
            _stop(process)
    if process.returncode != 0:
        raise AssertionError(f"up ended with status {process.returncode}\n{up.tail()}")


def _start(up: Part) -> subprocess.Popen[bytes]:
    # `up` itself is nobody's child, so it takes no --supervised-by.
    with up.log.open("ab") as output:
        process = subprocess.Popen(
            list(up.command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=up.log.parent,
            env=dict(up.environ),
        )  # fmt: skip
    up.process = process
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S + 2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_WITHIN_S)


async def _kill_child(service: Service, up: subprocess.Popen[bytes], shop: Shop, name: str, run: Run) -> None:
    async with under_load(shop, run.rng):
        await more_acknowledged(shop, run.rng.randint(2, 15))
        pid = _child(service, up, name)
        os.kill(pid, signal.SIGKILL)
        began_s = time.monotonic()
        await until(lambda: not _alive(pid), 5.0, f"{name} is gone")
        await shop.paid_order(run.rng)
        await service.ready()
        took_s = time.monotonic() - began_s
    address = embedded_postgres.find_running(service.directory)
    if address is None:
        raise NotReady("Postgres does not run")
    # The checker looks at the database; its address is up's now.
    service.postgres = replace(service.postgres, socket_dir=address.socket_dir)
    run.say(f"up: {name} back after {took_s:.2f} s; {await check(shop)}")
    if took_s > run.limit_s(READY_WITHIN_S[name]):
        raise AssertionError(f"{name} was back only after {took_s:.1f} s")


def _child(service: Service, up: subprocess.Popen[bytes], name: str) -> int:
    for child in psutil.Process(up.pid).children():
        command = child.cmdline()
        if name == "postgres":
            if command and command[0].endswith("/postgres") and str(service.directory) in " ".join(command):
                return child.pid
        elif command[1:4] == ["-m", "payloops", name] and command[0] == sys.executable:
            return child.pid
    raise AssertionError(f"up has no child {name}")


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


ROWS: Final = (Row("K1-up", "kill -9 of each child of `payloops up`, Postgres too", "own", smoke=1, full=2, own=k1_up),)
