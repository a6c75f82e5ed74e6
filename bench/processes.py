"""Processes under measurement: started as a user would start them, ended by their own id."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.worker import ROOT, MeasurementError

READY_TIMEOUT_S: Final = 30.0
_STOP_S: Final = 12.0
_POLL_S: Final = 0.05
_REQUEST_S: Final = 10.0


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], *, log: Path, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of the block; it is asked to end, and made to after a while."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            process.send_signal(signal_number)
            try:
                process.wait(_STOP_S)
                break
            except subprocess.TimeoutExpired:
                continue


def wait_until_served(process: subprocess.Popen[bytes], port: int, path: str, *, log: Path) -> None:
    """Until ``GET path`` is answered 200. Raises MeasurementError when the process ends first, or after a while."""
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise MeasurementError(f"{process.args!r} ended with status {process.returncode}; see {log}")
        try:
            if get_status(port, path) == 200:
                return
        except OSError:
            pass
        time.sleep(_POLL_S)
    raise MeasurementError(f"{process.args!r} did not serve {path} within {READY_TIMEOUT_S:.0f} s; see {log}")


def get_status(port: int, path: str) -> int:
    """The status of one GET on loopback. Raises OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except http.client.HTTPException as problem:
        raise ConnectionError(str(problem)) from problem
    finally:
        connection.close()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_port_pair() -> int:
    """A free port whose successor is free too."""
    for _ in range(100):
        port = free_port()
        try:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port + 1))
                return port
        except OSError:
            continue
    raise MeasurementError("found no two free ports in a row")
