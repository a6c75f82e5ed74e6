"""Temporal servers for tests: a dev server of each test process, and a server that skips time.

A dev server is up in half a second and shares nothing with other test processes; both come from the machine's cache
once they were brought. What can't be had is remembered for the run, so that the next process need not try again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from temporalio.client import Client, WorkflowExecution
from temporalio.testing import WorkflowEnvironment

from payloops import temporal_server
from payloops.temporal_server import TemporalServer, TemporalServerError, cache_dir, find_program
from tests.parts import fast_place, missing_part, open_directory

NAMESPACE: Final = "loop"
DOWNLOAD_WITHIN_S: Final = 60.0
MAVEN_WITHIN_S: Final = 300.0
START_WITHIN: Final = timedelta(seconds=60)
"""A Java server needs a second, on a machine that is busy with other tests many."""
LISTED_WITHIN_S: Final = 60.0
POM: Final = Path(__file__).with_name("test_server") / "pom.xml"
TEST_SERVER_SCRIPT: Final = """#!/bin/sh
# Told to start quickly rather than to run fast.
exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -cp "$(dirname "$0")/jars/*" \\
  io.temporal.testserver.TestServer "$@"
"""


class NotToBeHad(Exception):
    """A part can't be had; the text says why, way by way."""


@contextlib.contextmanager
def dev_server(data_dir: Path | None = None) -> Iterator[TemporalServer]:
    """A dev server of this block's own, with the namespace and the search attributes; skips the test without one."""
    program = once_a_run("Temporal dev server", _find_dev_server)
    with contextlib.ExitStack() as stack:
        place = data_dir or stack.enter_context(open_directory())
        server = temporal_server.start(place, namespace=NAMESPACE, program=program)
        stack.callback(server.stop)
        yield server


@contextlib.asynccontextmanager
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose time jumps to the next timer while nothing else happens; skips the test without one."""
    program = await asyncio.to_thread(once_a_run, "Temporal test server", _find_test_server)
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(program), test_server_startup_timeout=START_WITHIN
    )
    try:
        yield environment
    finally:
        await environment.shutdown()


async def listed(client: Client, query: str, count: int = 1) -> list[WorkflowExecution]:
    """What the server lists, once it lists so many: the list lags behind what it was told."""
    deadline_s = time.monotonic() + LISTED_WITHIN_S
    while True:
        found = [each async for each in client.list_workflows(query)]
        if len(found) >= count or time.monotonic() > deadline_s:
            return found
        await asyncio.sleep(0.05)


def _find_dev_server() -> Path:
    try:
        return find_program()
    except TemporalServerError as problem:
        raise NotToBeHad(problem.message) from None


def _find_test_server() -> Path:
    """The SDK's own download, else Maven's packages behind a script."""
    cache = cache_dir()
    kept = _kept_test_server(cache)
    if kept is not None:
        return kept
    missed: list[str] = []
    for name, bring in (("download", _download_test_server), ("Maven", _fetch_test_server)):
        try:
            return bring(cache)
        except NotToBeHad as problem:
            missed.append(f"{name}: {problem}")
    raise NotToBeHad("; ".join(missed))


def _kept_test_server(cache: Path) -> Path | None:
    script = _home(cache) / "temporal-test-server"
    if shutil.which("java") and os.access(script, os.X_OK):
        return script
    return next((found for found in sorted((cache / "sdk").glob("temporal-test-server-*"))), None)


def _home(cache: Path) -> Path:
    made_by = POM.read_bytes() + TEST_SERVER_SCRIPT.encode()
    return cache / f"temporal-test-server-{hashlib.sha256(made_by).hexdigest()[:12]}"


def _download_test_server(cache: Path) -> Path:
    place = cache / "sdk"
    place.mkdir(parents=True, exist_ok=True)

    async def download() -> None:
        async with asyncio.timeout(DOWNLOAD_WITHIN_S):
            environment = await WorkflowEnvironment.start_time_skipping(download_dest_dir=str(place))
            await environment.shutdown()

    try:
        asyncio.run(download())
    except (RuntimeError, OSError, TimeoutError) as problem:
        raise NotToBeHad(str(problem).splitlines()[0][:200] if str(problem) else "not done in time") from None
    found = _kept_test_server(cache)
    if found is None:
        raise NotToBeHad("it left no program")
    return found


def _fetch_test_server(cache: Path) -> Path:
    for program in ("mvn", "java"):
        if shutil.which(program) is None:
            raise NotToBeHad(f"{program} is not on PATH")
    home = _home(cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix="test-server-") as draft:
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
        try:
            fetched = subprocess.run(
                [*command, f"-DoutputDirectory={draft}/jars"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=MAVEN_WITHIN_S,
            )
        except subprocess.TimeoutExpired:
            raise NotToBeHad(f"not done within {MAVEN_WITHIN_S:g} s") from None
        if fetched.returncode != 0:
            said = [line for line in (fetched.stdout + fetched.stderr).splitlines() if line.strip()]
            raise NotToBeHad(said[0][:200] if said else f"status {fetched.returncode}")
        script = Path(draft) / "temporal-test-server"
        script.write_text(TEST_SERVER_SCRIPT)
        script.chmod(0o755)
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(draft, home)
    return home / "temporal-test-server"


def once_a_run(part: str, find: Callable[[], Path]) -> Path:
    """What ``find`` brings. One process looks at a time; when it looked in vain, the others of the run believe it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    key = hashlib.sha256(f"{os.geteuid()}-{run}-{part}".encode()).hexdigest()[:16]
    note = fast_place() / f"payloops-missing-{key}"
    with (Path(tempfile.gettempdir()) / f"payloops-looking-{os.geteuid()}-{part.replace(' ', '-')}").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if note.exists():
            missing_part(part, note.read_text())
        try:
            return find()
        except NotToBeHad as problem:
            note.write_text(str(problem))
            missing_part(part, str(problem))
