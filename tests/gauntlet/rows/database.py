"""K3, K4, K6: the database dies, or is far away."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.gauntlet.checker import check
from tests.gauntlet.network import BadNetwork, bad_network
from tests.gauntlet.run import PartMissing, Row, Run
from tests.gauntlet.service import Service, prepared, running
from tests.gauntlet.shop import Shop, opened, under_load
from tests.gauntlet.waiting import more_acknowledged, until

READY_WITHIN_S: Final = 15.0
WORKERS: Final = 4
DISK_BYTES: Final = 200 * 1024 * 1024
FULL_WITHIN_S: Final = 40.0


async def k3(run: Run) -> None:
    """``kill -9`` of Postgres under load; it starts again at once and recovers from its log."""
    slowest_s = 0.0
    with running() as service:
        await service.ready()
        async with opened(service) as shop:
            for number in range(1, run.times + 1):
                async with under_load(shop, run.rng, workers=WORKERS):
                    await more_acknowledged(shop, run.rng.randint(2, 25))
                    service.kill_postgres()
                    began_s = time.monotonic()
                    await asyncio.to_thread(service.start_postgres)
                    await service.ready()
                    await shop.paid_order(run.rng)
                    took_s = time.monotonic() - began_s
                slowest_s = max(slowest_s, took_s)
                run.say(f"round {number}: payments again after {took_s:.2f} s; {await check(shop)}")
    allowed_s = run.limit_s(READY_WITHIN_S)
    run.say(f"slowest return: {slowest_s:.2f} s (allowed at this load: {allowed_s:.1f} s)")
    if slowest_s > allowed_s:
        raise AssertionError(f"ready only after {slowest_s:.1f} s")


async def k4(run: Run) -> None:
    """Connections that are cut, reset, slow or silent, between the service and Postgres."""
    with prepared() as service:
        async with bad_network(service.postgres.socket_dir) as network:
            service.settings["DATABASE_URL"] = network.dsn(service.app_dsn)
            for name in ("sandbox", "api", "relay"):
                service.part(name).start()
            await asyncio.to_thread(service.wait_for_ports)
            await service.ready()
            async with opened(service) as shop:
                for number in range(1, run.times + 1):
                    for fault in ("cut", "reset", "slow", "silent"):
                        took_s = await _under(fault, network, shop, run)
                        run.say(f"round {number}: {fault}: payments again after {took_s:.2f} s; {await check(shop)}")


async def _under(fault: str, network: BadNetwork, shop: Shop, run: Run) -> float:
    """Seconds from the fault until a payment goes through again."""
    async with under_load(shop, run.rng, workers=WORKERS):
        await more_acknowledged(shop, run.rng.randint(2, 15))
        began_s = time.monotonic()
        match fault:
            case "cut":
                network.cut(reset=False)
            case "reset":
                network.cut(reset=True)
            case "slow":
                network.delay_s = run.rng.uniform(0.02, 0.1)
                await more_acknowledged(shop, 5)
                network.delay_s = 0.0
            case _:
                network.silence()
        await shop.paid_order(run.rng)
        return time.monotonic() - began_s


async def k6(run: Run) -> None:
    """The disk of the database is full for a while."""
    with small_disk() as disk, prepared(disk=disk) as service:
        for name in ("sandbox", "api", "relay"):
            service.part(name).start()
        await asyncio.to_thread(service.wait_for_ports)
        async with opened(service) as shop:
            for number in range(1, run.times + 1):
                async with under_load(shop, run.rng, workers=WORKERS):
                    await more_acknowledged(shop, run.rng.randint(2, 15))
                    filler = disk / "filler"
                    _fill(filler)
                    how, writing = await _until_it_is_noticed(service, shop, run)
                    filler.unlink()
                    began_s = time.monotonic()
                    if not service.postgres.is_running():
                        await asyncio.to_thread(service.start_postgres)
                    await shop.paid_order(run.rng)
                    took_s = time.monotonic() - began_s
                    await writing
                run.say(f"round {number}: {how}; payments again after {took_s:.2f} s; {await check(shop)}")


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of DISK_BYTES. Raises PartMissing when we may not mount one."""
    place = Path(tempfile.mkdtemp(prefix="payloops-disk-"))
    place.chmod(0o755)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    try:
        if mounted.returncode != 0:
            raise PartMissing(f"a small disk: {mounted.stderr.decode(errors='replace').strip()}")
        yield place
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(place)], check=False)
        place.rmdir()


def _fill(filler: Path) -> None:
    block = b"x" * 65_536
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(block):
            pass


async def _until_it_is_noticed(service: Service, shop: Shop, run: Run) -> tuple[str, asyncio.Future[list[None]]]:
    """Write large orders until the database can take no more: it says so, or it stops.

    Gives which of the two, and the writers, which go on asking until there is room again.
    """
    before = shop.api.unavailable

    async def write() -> None:
        while shop.api.unavailable == before and service.postgres.is_running():
            await shop.order(run.rng, metadata={f"k{number}": run.rng.randbytes(150).hex() for number in range(40)})

    writing = asyncio.gather(*(write() for _ in range(WORKERS)))
    await until(
        lambda: shop.api.unavailable > before or not service.postgres.is_running(), FULL_WITHIN_S, "the disk is full"
    )
    return ("answered 503" if service.postgres.is_running() else "Postgres stopped"), writing


ROWS: Final = (
    Row("K3", "kill -9 of Postgres under load", "own", smoke=1, full=10, own=k3),
    Row("K4", "cut, reset, slow and silent database connections", "own", smoke=1, full=5, own=k4),
    Row("K6", "the database's disk is full", "own", smoke=1, full=3, own=k6),
)
