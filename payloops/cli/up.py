"""``payloops up``: everything on one machine, each part a process that is started again when it dies."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Final, NoReturn

from payloops import telemetry
from payloops.cli.api import api_children, child_environ, stop_on_signals
from payloops.cli.own_servers import OwnServers, own_servers
from payloops.cli.sandbox import ensure_sandbox_ports_free
from payloops.cli.supervisor import Child, PartFailed, Stage, supervise
from payloops.cli.surroundings import ensure_port_free
from payloops.config import SANDBOX_HOST, Settings, http_url
from payloops.errors import ConfigurationError
from payloops.migrations import runner

_API_STOPS_WITHIN_S: Final = 3.8
_RELAY_STOPS_WITHIN_S: Final = 2.0
_SANDBOX_STOPS_WITHIN_S: Final = 1.2
_READY_WITHIN_S: Final = 60.0
_ASK_EVERY_S: Final = 0.1
_PROBE_TIMEOUT_S: Final = 2.0
_SAMPLE_ACCOUNT: Final = '{"name":"My shop","email":"me@shop.test","password":"a long password"}'


class _Stopped(BaseException):
    """A signal came before everything was running; not an Exception, so that nothing on the way swallows it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments: none."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - every command has them
    """Start everything, say when it is ready, keep it running until SIGTERM or SIGINT; 0 after an orderly stop.

    :raises ConfigurationError: a port is taken, another ``up`` has the same PAYLOOPS_DATA, or one of our own
        servers can't start.
    :raises PartFailed: a part can't be kept alive.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_early)
    reporting = telemetry.start(settings, "up")
    try:
        with contextlib.ExitStack() as stack:
            if not settings.production:
                stack.enter_context(_only_one(settings))
                ensure_sandbox_ports_free(settings)
            ensure_port_free(settings.host, settings.port, "PORT")
            own = stack.enter_context(own_servers(settings))
            ready = own.apply(settings).with_secrets()
            runner.migrate(ready.migration_database_url, app_dsn=ready.database_url)
            asyncio.run(_serve(ready, own))
    except _Stopped:
        pass
    finally:
        reporting.stop()
    return 0


async def _serve(settings: Settings, own: OwnServers) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()
    stop_on_signals(stop, hurry)
    stages = _stages(settings)

    async def announce() -> None:
        await _until_ready(settings)
        for stage in stages:
            for child in stage.children:
                child.proven = True
        print(_announcement(settings, own), flush=True)

    await supervise(stages, stop, hurry, others=own.keeping(), once_running=announce)


def _stages(settings: Settings) -> list[Stage]:
    """The parts in the order in which they stop: nobody may be left calling what is gone."""
    environ = child_environ(settings)
    engine = ("relay", "worker") if settings.workflow_engine == "temporal" else ("relay",)
    stages = [
        Stage(api_children(environ, settings.api_workers), _API_STOPS_WITHIN_S),
        Stage([_part(name, environ) for name in engine], _RELAY_STOPS_WITHIN_S),
    ]
    if not settings.production:
        stages.append(Stage([_part("sandbox", environ)], _SANDBOX_STOPS_WITHIN_S))
    return stages


def _part(name: str, environ: dict[str, str]) -> Child:
    command = (sys.executable, "-m", "payloops", name, "--supervised-by", str(os.getpid()))
    return Child(name, command, environ)


@contextlib.contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """A lock on the data directory that the kernel drops however this process ends."""
    path = settings.data_dir / "up.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+", encoding="ascii")
    except OSError as problem:
        raise ConfigurationError(f"PAYLOOPS_DATA can't be used: {problem.strerror} ({path.parent})") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read(32).strip() or "unknown"
            raise ConfigurationError(
                f"another payloops up (process {owner}) uses {path.parent}; stop it or set PAYLOOPS_DATA"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


async def _until_ready(settings: Settings) -> None:
    """Until the API says that it can serve, and the sandbox listens where there is one."""
    deadline_s = time.monotonic() + _READY_WITHIN_S
    while not (await _is_ready(settings) and (settings.production or await _sandbox_listens(settings))):
        if time.monotonic() > deadline_s:
            raise PartFailed(f"not ready within {_READY_WITHIN_S:g} s; the log says why")
        await asyncio.sleep(_ASK_EVERY_S)


async def _sandbox_listens(settings: Settings) -> bool:
    for port in (settings.sandbox_port, settings.sandbox_port + 1):
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                _, writer = await asyncio.open_connection(SANDBOX_HOST, port)
        except (OSError, TimeoutError):
            return False
        writer.close()
    return True


async def _is_ready(settings: Settings) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    request = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, settings.port)
            try:
                writer.write(request)
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False


def _announcement(settings: Settings, own: OwnServers) -> str:
    base = settings.base_url
    lines = [
        f"ready {base}",
        f"  API           {base}/v1",
        f"  health        {base}/health/ready",
        f"  engine        {settings.workflow_engine}",
        *own.describe(),
    ]
    if not settings.production:
        stripe, razorpay = (http_url(SANDBOX_HOST, settings.sandbox_port + offset) for offset in (0, 1))
        lines += [
            f"  sandbox       Stripe {stripe}/v1   Razorpay {razorpay}/v1   control: {stripe}/_sandbox/ledger",
            "Make an account:",
            f"  curl -s {base}/api/auth/register -H 'Content-Type: application/json' -d '{_SAMPLE_ACCOUNT}'",
        ]
    return "\n".join(lines)


def _stop_early(number: int, _frame: object) -> NoReturn:
    raise _Stopped(number)
