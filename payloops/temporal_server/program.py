"""Where the ``temporal`` program comes from: PATH, the cache, the SDK's own download, or Go; in this order.

What was brought stays in the cache, so that the minutes of a build are spent once per machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from payloops.errors import ConfigurationError

VERSION: Final = "v1.5.1"
"""Of the program that is brought: the newest release that ``go install`` takes (later ones have a replace)."""
MODULE: Final = f"github.com/temporalio/cli/cmd/temporal@{VERSION}"
GO_MIN: Final = (1, 25)

_LOOK_WITHIN_S: Final = 20.0
_DOWNLOAD_WITHIN_S: Final = 90.0
_BUILD_WITHIN_S: Final = 1200.0
_LOCK_POLL_S: Final = 0.2
_WHY_MAX: Final = 240

_log = logging.getLogger(__name__)


class TemporalServerError(ConfigurationError):
    """A Temporal dev server can't be had or started; the message says why and what to do, in one line."""

    code = "temporal_server"


class _NotHere(Exception):
    """A step has no program; the text is the rest of its line."""


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_CACHE_HOME/payloops``, by default ``~/.cache/payloops``: what is brought once per machine."""
    base = environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "payloops"


def find_program(cache: Path | None = None) -> Path:
    """A ``temporal`` program that runs. Each step that fails says so in one line; two of them may take minutes.

    Processes that look at once wait for the one that brings it.

    :raises TemporalServerError: there is none and none can be brought.
    """
    where = cache or cache_dir()
    missed: list[str] = []
    found = _first({"PATH": _on_path, "cache": lambda: _cached(where)}, missed)
    if found is not None:
        return found
    with _one_at_a_time(where):
        with contextlib.suppress(_NotHere):
            return _cached(where)  # another process brought it while we waited
        for line in missed:
            _log.warning("no Temporal dev server: %s", line)
        found = _first({"download": lambda: _downloaded(where), "go install": lambda: _built(where)}, missed, loud=True)
    if found is not None:
        return found
    raise TemporalServerError(
        "no Temporal dev server could be had: set TEMPORAL_ADDRESS, or install the temporal program"
        f" or Go {'.'.join(map(str, GO_MIN))} ({'; '.join(missed)})"
    )


def _first(ways: Mapping[str, Callable[[], Path]], missed: list[str], *, loud: bool = False) -> Path | None:
    for name, look in ways.items():
        try:
            return look()
        except _NotHere as problem:
            missed.append(f"{name}: {problem}")
            if loud:
                _log.warning("no Temporal dev server: %s", missed[-1])
    return None


def _on_path() -> Path:
    found = shutil.which("temporal")
    if found is None:
        raise _NotHere("temporal is not on PATH")
    return _working(Path(found))


def _cached(cache: Path) -> Path:
    for candidate in (cache / "bin" / "temporal", *sorted((cache / "sdk").glob("temporal-cli-*"))):
        if os.access(candidate, os.X_OK):
            return _working(candidate)
    raise _NotHere(f"nothing in {cache}")


def _downloaded(cache: Path) -> Path:
    """By the SDK, which knows where from; it starts what it downloaded, on a free port, and we stop it again."""
    from temporalio.testing import WorkflowEnvironment  # noqa: PLC0415 - half a second that few starts need

    place = cache / "sdk"
    place.mkdir(parents=True, exist_ok=True)

    async def download() -> None:
        async with asyncio.timeout(_DOWNLOAD_WITHIN_S):
            environment = await WorkflowEnvironment.start_local(
                download_dest_dir=str(place), dev_server_download_version=VERSION, dev_server_log_level="never"
            )
            await environment.shutdown()

    try:
        asyncio.run(download())
    except (TimeoutError, RuntimeError, OSError) as problem:
        why = _one_line(str(problem)) or f"not done within {_DOWNLOAD_WITHIN_S:g} s"
        try:
            return _cached(cache)  # it came, and merely was slow to start
        except _NotHere:
            raise _NotHere(why) from None
    return _cached(cache)


def _built(cache: Path) -> Path:
    go = shutil.which("go")
    if go is None:
        raise _NotHere("go is not on PATH")
    version = re.search(r"go(\d+)\.(\d+)", _said([go, "version"]))
    if version is None or (int(version[1]), int(version[2])) < GO_MIN:
        raise _NotHere(f"{version[0] if version else 'this go'} is too old, {'.'.join(map(str, GO_MIN))} is needed")
    binaries = cache / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    _log.warning("building the Temporal dev server with go into %s: some minutes, once", binaries)
    with tempfile.TemporaryDirectory(dir=cache, prefix="build-") as draft:
        try:
            made = subprocess.run(
                [go, "install", MODULE],
                env={**os.environ, "GOBIN": draft},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_BUILD_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _NotHere(f"not built within {_BUILD_WITHIN_S:g} s") from None
        if made.returncode != 0:
            raise _NotHere(_one_line(made.stderr) or f"status {made.returncode}")
        (Path(draft) / "temporal").replace(binaries / "temporal")
    return _working(binaries / "temporal")


def _working(program: Path) -> Path:
    if not _said([str(program), "--version"]).startswith("temporal version"):
        raise _NotHere(f"{program} is not Temporal's program, or does not run")
    return program


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LOOK_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@contextlib.contextmanager
def _one_at_a_time(cache: Path) -> Iterator[None]:
    """A lock that the kernel drops however its owner ends; whoever waits for it waits no longer than a build."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "temporal.lock").open("ab")
    except OSError as problem:
        raise TemporalServerError(f"the cache can't be used: {problem.strerror} ({cache})") from None
    deadline_s = time.monotonic() + _BUILD_WITHIN_S + _DOWNLOAD_WITHIN_S
    with lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline_s:
                    raise TemporalServerError(f"another process holds {cache / 'temporal.lock'} for too long") from None
                time.sleep(_LOCK_POLL_S)
            else:
                break
        yield


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_WHY_MAX] if lines else ""
